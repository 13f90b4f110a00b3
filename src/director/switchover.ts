/** @module The way of a cartridge to another drive, one timed effect after the other (612-616), the way of an image to
 *  another cartridge (620-621, 631-633), and the way in after a restart. Each function enters one state. */

import { present } from "../base/assert.ts";
import type { Barcode, DriveId } from "../base/brands.ts";
import { NO_SCORES } from "./classify.ts";
import type {
  CartridgeFault,
  Choosing,
  DirectorEffect,
  DirectorSettings,
  DirectorState,
  LedgerMarks,
  Recovering,
  Recovery,
  Standing,
  Step,
  Switching,
} from "./states.ts";
import { enter, evidenceOf, nextAttempt, regulate } from "./transition.ts";

type RecoveringState = DirectorState & Recovering;

function switchingTo(
  state: RecoveringState,
  drive: DriveId,
  doing: Switching["doing"],
  moveTries: number,
  recovery: Recovery = state.recovery,
): Switching {
  return { ...nextAttempt(state), name: "Switching", drive, doing, moveTries, recovery };
}

/** 607: the drive says that it is empty. Elements are read again before anybody is blamed. */
export function find(
  state: RecoveringState,
  drive: DriveId,
  effects: readonly DirectorEffect[],
  nowMs: number,
): Step {
  const cartridge = present(state.cartridge, "the cartridge that is to be found");
  const next = switchingTo(state, drive, "find", 0);
  return enter(state, next, nowMs, {
    boxes: "607",
    text: `drive ${drive} says that it is empty; the robot looks where ${cartridge} is`,
    severity: "warning",
    evidence: { drive, ...evidenceOf(state.recovery.evidence) },
    effects: [...effects, { kind: "findCartridge", attempt: next.attempt, cartridge }],
  });
}

/** 611, 612: the slow lane opens; the spare is coupled through the switch. */
export function couple(state: RecoveringState, drive: DriveId, nowMs: number): Step {
  const next = switchingTo(state, drive, "couple", 0);
  return enter(state, next, nowMs, {
    boxes: "608, 611-612",
    text: `drive ${drive} stands in; transfer goes on at a reduced rate`,
    evidence: { drive },
    effects: [{ kind: "couple", attempt: next.attempt, drive }],
  });
}

/** 613: can the cartridge be unloaded from the failed drive? */
export function unload(state: RecoveringState, drive: DriveId, from: DriveId, nowMs: number): Step {
  const next = switchingTo(state, drive, "unload", 0);
  return enter(state, next, nowMs, {
    boxes: "613",
    text: `the cartridge is unloaded from drive ${from}`,
    evidence: { from },
    effects: [{ kind: "unload", attempt: next.attempt, drive: from }],
  });
}

/** 620, 631: the cartridge failed, or its drive keeps it: a spare cartridge is to get the whole image. */
export function prepareImage(
  state: RecoveringState,
  drive: DriveId,
  fault: CartridgeFault,
  nowMs: number,
  effects: readonly DirectorEffect[] = [],
): Step {
  const cartridge = present(state.cartridge, "the cartridge that is to be replaced");
  const next = switchingTo(state, drive, "image", 0, { ...state.recovery, cartridgeFault: fault });
  const { reason, text } = fault;
  return enter(state, next, nowMs, {
    boxes: reason === "cartridgeStuck" ? "613, 620" : "607, 620 or 631",
    text: `${text}; a spare cartridge is to get the whole image of ${cartridge}`,
    severity: "warning",
    evidence: { drive, reason, ...evidenceOf(state.recovery.evidence) },
    effects: [
      ...effects,
      { kind: "prepareImage", attempt: next.attempt, cartridge, larger: reason === "endOfMedium", text },
    ],
  });
}

/** 631: the robot takes the failed cartridge out of the good drive. */
export function takeOut(state: RecoveringState, drive: DriveId, nowMs: number): Step {
  const next = switchingTo(state, drive, "takeOut", 0);
  return enter(state, next, nowMs, {
    boxes: "631",
    text: `the robot takes the failed cartridge out of drive ${drive}`,
    evidence: { drive },
    effects: [{ kind: "takeOut", attempt: next.attempt, drive }],
  });
}

/** 614, 620, 631: the robot's work. */
export function moveCartridge(state: RecoveringState, drive: DriveId, tries: number, nowMs: number): Step {
  const next = switchingTo(state, drive, "move", tries);
  const cartridge = present(state.cartridge, "the cartridge that is to be moved");
  const from = state.recovery.cartridgeIn;
  return enter(state, next, nowMs, {
    boxes: state.recovery.imageJ === null ? "614" : "620 or 631",
    text: `the robot moves ${cartridge} to drive ${drive}${tries > 1 ? ", second try" : ""}`,
    evidence: { from, to: drive, tries },
    effects: [{ kind: "move", attempt: next.attempt, cartridge, from, to: drive }],
  });
}

/** 614: the cartridge is in the spare; the spare takes it. */
export function load(state: RecoveringState, drive: DriveId, moveTries: number, nowMs: number): Step {
  const cartridgeIn = state.cartridge === null ? null : drive;
  const next = switchingTo(state, drive, "load", moveTries, { ...state.recovery, cartridgeIn });
  return enter(state, next, nowMs, {
    boxes: "614",
    text: `drive ${drive} loads the cartridge`,
    effects: [{ kind: "load", attempt: next.attempt, drive }],
  });
}

/** 615: what is on it is compared with the cache before anything is written. */
export function verify(state: RecoveringState, drive: DriveId, nowMs: number): Step {
  // A drive with no cartridge has nothing to verify and nothing to replay.
  if (state.cartridge === null) return replay(state, drive, state.marks.received, 0, nowMs);
  const { cartridge, recovery } = state;
  const empty = recovery.imageJ !== null;
  const onTapeJ = recovery.imageJ ?? state.marks.onTape;
  const base: Standing = nextAttempt(state);
  return enter(state, { ...base, name: "Verifying", drive, recovery }, nowMs, {
    boxes: empty ? "632" : "615",
    text: empty
      ? `${cartridge} in drive ${drive} must be empty and work`
      : `what is on ${cartridge} in drive ${drive} is compared with the cache`,
    evidence: { onTapeJ },
    effects: [{ kind: "verify", attempt: base.attempt, drive, cartridge, onTapeJ, empty }],
  });
}

/** 616: from the last good block on, from the cache, while new data comes in. */
export function replay(
  state: RecoveringState,
  drive: DriveId,
  fromJ: number,
  position: number,
  nowMs: number,
): Step {
  const base: Standing = nextAttempt(state);
  const whole = state.recovery.imageJ !== null;
  // From here on it is a cartridge like any other: what is on it, the marks say.
  const recovery: Recovery = { ...state.recovery, imageJ: null, cartridgeFault: null };
  return enter(state, { ...base, name: "Replaying", drive, fromJ, recovery }, nowMs, {
    boxes: whole ? "621, 633" : "615-616",
    text: whole
      ? `drive ${drive} writes the whole image to ${state.cartridge}, from the cache`
      : `drive ${drive} goes on at block ${position}, from the cache`,
    evidence: { fromJ, position },
    effects: [{ kind: "follow", attempt: base.attempt, drive, fromJ, position }],
  });
}

/** What a start finds: in the catalog, in the library, in the journal. */
export interface Whereabouts {
  /** The drive that stood behind the device, where it has not failed; it is in use by the device in the pool. */
  readonly drive: DriveId | null;
  readonly cartridge: Barcode | null;
  readonly cartridgeIn: DriveId | null;
  /** received and cached: the journal's end as recovered; onTape: as the last checkpoint has it. */
  readonly marks: LedgerMarks;
  readonly protected: boolean;
}

/** The way in. A cartridge with a journal is treated as after a failure: identified, verified, and what is owed to it
 *  written, before the host's next block. An empty drive starts in Streaming. */
export function begin(settings: DirectorSettings, found: Whereabouts, nowMs: number): Step {
  const base: Standing = {
    settings,
    cartridge: found.cartridge,
    marks: found.marks,
    protected: found.protected,
    attempt: 0,
    flow: "normal",
    flowBytesPerSecond: 0,
    stopping: false,
  };
  const { drive, marks } = found;
  if (drive !== null && (found.cartridge === null || marks.received === 0))
    return regulate({ ...base, name: "Streaming", drive }, nowMs);
  const recovery: Recovery = {
    startedMs: nowMs,
    startJ: marks.received,
    evidence: { sense: null, tapeAlerts: [], unreachable: false, timedOut: false, scores: NO_SCORES },
    verdict: null,
    excluded: [],
    cartridgeIn: found.cartridgeIn,
    sameDriveTries: 0,
    imageJ: null,
    cartridgeFault: null,
  };
  const start: Choosing = { ...base, name: "Choosing", again: false, recovery };
  if (drive !== null) return couple(start, drive, nowMs);
  const next: Choosing = { ...nextAttempt(start), name: "Choosing", again: false, recovery };
  return enter(start, next, nowMs, {
    boxes: "608",
    text: "started without a drive; looking for one to go on with",
    severity: "warning",
    effects: [{ kind: "reserveSpare", attempt: next.attempt, excluded: [], wanted: null }],
  });
}
