/** @module What every transition of the director does alike: it sets the flow that belongs to the new state, counts
 *  attempts, and leaves a record with the evidence. */
import type { DriveId } from "../base/brands.ts";
import type { Evidence, Severity } from "../base/events.ts";
import { formatBytes, formatRate } from "../base/units.ts";
import { type FaultEvidence, senseWord } from "./classify.ts";
import { mustBeBusy, type RecoveryLoad, reducedBytesPerSecond } from "./rate.ts";
import type {
  DirectorEffect,
  DirectorState,
  Flow,
  HaltReason,
  Recovering,
  Recovery,
  Standing,
  Step,
} from "./states.ts";
import { HALT_REASONS } from "./states.ts";

/** What every state knows, without what only the present one does. */
export function standing(state: DirectorState): Standing {
  return {
    settings: state.settings,
    cartridge: state.cartridge,
    marks: state.marks,
    protected: state.protected,
    attempt: state.attempt,
    flow: state.flow,
    flowBytesPerSecond: state.flowBytesPerSecond,
    stopping: state.stopping,
  };
}

/** The same with the next attempt's number: for states entered with an effect that takes time. */
export function nextAttempt(state: DirectorState): Standing {
  return { ...standing(state), attempt: state.attempt + 1 };
}

export function unchanged(state: DirectorState): Step {
  return { state, effects: [] };
}

/** The switch is never taken to be nearer its end than this part of its usual time. */
const SWITCH_LEFT_MIN = 0.1;
/** A new rate is worth an order when it differs by this part. */
const RATE_STEP = 0.1;

function loadOf(
  state: DirectorState & Recovering,
  nowMs: number,
  driveBytesPerSecond: number | null,
): RecoveryLoad {
  const { marks, recovery, settings } = state;
  const { switchMs } = settings.recovery;
  const left = Math.max(switchMs * SWITCH_LEFT_MIN, switchMs - (nowMs - recovery.startedMs));
  return {
    arrivedBytes: Math.max(0, marks.received - recovery.startJ),
    backlogBytes: Math.max(0, marks.received - marks.onTape),
    switchLeftMs: state.name === "Replaying" ? 0 : state.name === "Halted" ? switchMs : left,
    driveBytesPerSecond,
  };
}

/** 611 and 619: the reduced rate, or BUSY. */
function recoveringFlow(
  state: DirectorState & Recovering,
  nowMs: number,
  driveBytesPerSecond: number | null,
): { flow: Flow; rate: number } {
  const load = loadOf(state, nowMs, driveBytesPerSecond);
  const settings = state.settings.recovery;
  if (state.stopping || mustBeBusy(settings, load, state.flow === "busy")) return { flow: "busy", rate: 0 };
  return { flow: "reduced", rate: reducedBytesPerSecond(settings, load) };
}

function flowOf(
  state: DirectorState,
  nowMs: number,
  driveBytesPerSecond: number | null,
): { flow: Flow; rate: number } {
  switch (state.name) {
    case "Streaming":
      return { flow: state.stopping ? "busy" : "normal", rate: 0 };
    // 606: suspended until it is known what to do; a failure on top of a failure leaves the slow lane open.
    case "Classifying":
    case "Choosing":
      if (state.flow === "reduced" || state.flow === "busy")
        return recoveringFlow(state, nowMs, driveBytesPerSecond);
      return { flow: state.flow === "report" ? "report" : "suspended", rate: 0 };
    case "Halted":
      if (reportsToHost(state.settings.noSpare, state.reason)) return { flow: "report", rate: 0 };
      return recoveringFlow(state, nowMs, driveBytesPerSecond);
    default:
      return recoveringFlow(state, nowMs, driveBytesPerSecond);
  }
}

/** Without a cache there is nothing to hold with. */
export function reportsToHost(noSpare: "report" | "hold", reason: HaltReason): boolean {
  return noSpare === "report" || reason === "unprotected";
}

/** The state with the flow that belongs to it now, and the order for it where it is new. */
export function regulate(
  state: DirectorState,
  nowMs: number,
  driveBytesPerSecond: number | null = null,
): Step {
  const { flow, rate } = flowOf(state, nowMs, driveBytesPerSecond);
  const same =
    flow === state.flow && Math.abs(rate - state.flowBytesPerSecond) <= state.flowBytesPerSecond * RATE_STEP;
  if (same) return unchanged(state);
  return {
    state: { ...state, flow, flowBytesPerSecond: rate },
    effects: [{ kind: "setFlow", flow, bytesPerSecond: rate }],
  };
}

export interface Passage {
  /** Boxes of method 600 that this transition carries out. */
  readonly boxes: string;
  /** One sentence for the operator. */
  readonly text: string;
  readonly severity?: Severity;
  readonly evidence?: Evidence;
  /** First of all, before the flow changes. */
  readonly effects: readonly DirectorEffect[];
}

/** From one state to the next: flow first (606), then the effects, then the record. */
export function enter(from: DirectorState, to: DirectorState, nowMs: number, passage: Passage): Step {
  const { state, effects } = regulate(to, nowMs);
  const doing = state.name === "Switching" ? `(${state.doing})` : "";
  return {
    state,
    effects: [
      ...effects,
      ...passage.effects,
      {
        kind: "record",
        event: {
          kind: "transition",
          severity: passage.severity ?? "info",
          device: state.settings.device,
          transition: `${from.name} -> ${state.name}${doing}`,
          text: passage.text,
          evidence: {
            boxes: passage.boxes,
            attempt: state.attempt,
            marks: { ...state.marks },
            flow: state.flow,
            ...(state.flow === "reduced" ? { rate: formatRate(state.flowBytesPerSecond) } : {}),
            ...(state.name === "Streaming" ? {} : { forMs: nowMs - state.recovery.startedMs }),
            ...passage.evidence,
          },
        },
      },
    ],
  };
}

/** Evidence as the catalog keeps it. */
export function evidenceOf(evidence: FaultEvidence): Evidence {
  return {
    sense: evidence.sense === null ? null : senseWord(evidence.sense),
    deferred: evidence.sense?.deferred ?? false,
    tapeAlerts: [...evidence.tapeAlerts],
    unreachable: evidence.unreachable,
    timedOut: evidence.timedOut,
    scores: { ...evidence.scores },
  };
}

/** 609 and every other end without a way on. A spare that does not hold the cartridge goes back to the pool. */
export function halt(
  state: DirectorState,
  recovery: Recovery,
  held: DriveId | null,
  reason: HaltReason,
  detail: string,
  nowMs: number,
  effects: readonly DirectorEffect[] = [],
): Step {
  const keeps = held !== null && recovery.cartridgeIn === held;
  const owedBytes = Math.max(0, state.marks.received - state.marks.onTape);
  const text = `${HALT_REASONS[reason]}: ${detail}; ${formatBytes(owedBytes)} of journal not on tape`;
  const all: DirectorEffect[] = [...effects];
  if (held !== null && !keeps) all.push({ kind: "releaseDrive", drive: held, suspect: false });
  if (reportsToHost(state.settings.noSpare, reason)) {
    // The drive's own words; where it said none, what a dead drive would have said: internal target failure.
    const sense = recovery.evidence.sense ?? { key: 4, asc: 0x44, ascq: 0, deferred: true };
    const { tapeAlerts } = recovery.evidence;
    all.push({ kind: "reportToHost", sense: { ...sense, deferred: true }, tapeAlerts });
  }
  all.push({ kind: "notify", severity: "alarm", text });
  if (state.stopping) all.push({ kind: "readyToStop", owedBytes });
  return enter(
    state,
    { ...standing(state), name: "Halted", recovery, reason, text, drive: keeps ? held : null },
    nowMs,
    {
      boxes: reason === "noSpare" ? "608-609" : "",
      text,
      severity: "alarm",
      evidence: { reason, cartridgeIn: recovery.cartridgeIn, ...evidenceOf(recovery.evidence) },
      effects: all,
    },
  );
}
