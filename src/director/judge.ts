/** @module 607 and 608: has the drive failed, and what follows from it. The same questions are asked of a drive that broke
 *  down in mid-work and of a spare that would not load or verify. */
import type { DriveId } from "../base/brands.ts";
import { classify, type FaultEvidence, type Verdict } from "./classify.ts";
import type {
  CartridgeFault,
  Choosing,
  Classifying,
  DirectorEffect,
  DirectorState,
  Halted,
  Recovering,
  Recovery,
  Step,
  Switching,
  Verifying,
} from "./states.ts";
import { find, load, prepareImage, verify } from "./switchover.ts";
import { enter, evidenceOf, halt, nextAttempt } from "./transition.ts";

/** Times that a drive which only lost its position, or was not ready, is tried again before it counts as failed. */
const SAME_DRIVE_TRIES_MAX = 3;

/** 607: has the drive failed? The same question for a drive that broke down in mid-work and for a spare. */
export function judge(
  state: Classifying | Switching | Verifying,
  drive: DriveId,
  evidence: FaultEvidence,
  nowMs: number,
): Step {
  const verdict = classify(evidence);
  const recovery: Recovery = { ...state.recovery, evidence, verdict };
  const scored: DirectorEffect = { kind: "score", drive, cartridge: state.cartridge, verdict };
  const replace = (reason: CartridgeFault["reason"]) =>
    replaceCartridge(
      { ...state, recovery },
      drive,
      { reason, text: `drive ${drive}: ${verdict.meaning}` },
      nowMs,
      [scored],
    );
  const stopAt = (reason: Halted["reason"]) =>
    halt(state, recovery, drive, reason, `drive ${drive}: ${verdict.meaning}`, nowMs, [scored]);
  switch (verdict.act) {
    case "replaceCartridge":
    case "neverData":
      return replace("cartridgeFault");
    // The physical end before all was on it: the host was warned in time, so the cartridge holds less than it should.
    case "endOfMedium":
      return replace("endOfMedium");
    case "writeProtected":
      return stopAt("writeProtected");
    case "readElements":
      if (state.cartridge === null) return stopAt("mediumGone");
      return find({ ...state, recovery }, drive, [scored], nowMs);
    case "score":
    case "cleanAfterJob":
    case "waitUntilReady":
    case "readPosition":
      if (recovery.sameDriveTries < SAME_DRIVE_TRIES_MAX)
        return sameDrive(state, drive, recovery, verdict, scored, nowMs);
      return giveUpDrive(state, drive, recovery, verdict, [scored], nowMs);
    default:
      return giveUpDrive(state, drive, recovery, verdict, [scored], nowMs);
  }
}

/** 607: the robot has looked for a cartridge that its drive says it does not have.
 *  Still there: it is told to load it (another initiator may have unloaded it), and if that does not help another drive
 *  takes over. Elsewhere: somebody moved it, and it is fetched back. Nowhere: only a person can bring it. Wherever it comes
 *  from, what is on it is compared before anything is written. */
export function found(state: Switching, at: DriveId | "slot" | null, nowMs: number): Step {
  const { drive, recovery } = state;
  const meaning = recovery.verdict?.meaning ?? "";
  const tries = recovery.sameDriveTries + 1;
  if (at === null || tries > SAME_DRIVE_TRIES_MAX) {
    // The drive stays: after a retry the robot looks again for what a person has brought.
    const known = { ...recovery, cartridgeIn: drive };
    return halt(state, known, drive, "mediumGone", `drive ${drive}: ${meaning}`, nowMs);
  }
  if (at === drive && tries === 1)
    return load({ ...state, recovery: { ...recovery, sameDriveTries: tries } }, drive, 0, nowMs);
  if (at === drive) {
    const text = `drive ${drive}: ${meaning}, and the robot sees the cartridge there`;
    return ask(state, exclude({ ...recovery, cartridgeIn: drive }, drive), null, nowMs, text, [
      { kind: "releaseDrive", drive, suspect: true },
    ]);
  }
  const where = at === "slot" ? "a slot" : `drive ${at}`;
  const next: Recovery = { ...recovery, cartridgeIn: at === "slot" ? null : at, sameDriveTries: tries };
  return ask(state, next, drive, nowMs, `the cartridge is in ${where} now`, [
    { kind: "releaseDrive", drive, suspect: false },
  ]);
}

/** Not the drive: 620 or 631. Where the cache keeps nothing there is no image to write. */
export function replaceCartridge(
  state: DirectorState & Recovering,
  drive: DriveId,
  fault: CartridgeFault,
  nowMs: number,
  effects: readonly DirectorEffect[] = [],
): Step {
  if (state.cartridge === null || !state.protected)
    return halt(state, state.recovery, drive, fault.reason, fault.text, nowMs, effects);
  return prepareImage(state, drive, fault, nowMs, effects);
}

/** Not the drive: its position is found again, and it goes on from there. */
function sameDrive(
  state: Classifying | Switching | Verifying,
  drive: DriveId,
  before: Recovery,
  verdict: Verdict,
  scored: DirectorEffect,
  nowMs: number,
): Step {
  const recovery: Recovery = { ...before, sameDriveTries: before.sameDriveTries + 1 };
  const again = { ...state, recovery };
  const next = state.name === "Switching" ? load(again, drive, 0, nowMs) : verify(again, drive, nowMs);
  return { state: next.state, effects: [scored, ...next.effects, notifyOf(drive, verdict)] };
}

function notifyOf(drive: DriveId, verdict: Verdict): DirectorEffect {
  return { kind: "notify", severity: "warning", text: `drive ${drive}: ${verdict.meaning}` };
}

/** 607 -> 608: this drive no more. */
function giveUpDrive(
  state: Classifying | Switching | Verifying,
  drive: DriveId,
  recovery: Recovery,
  verdict: Verdict,
  effects: readonly DirectorEffect[],
  nowMs: number,
): Step {
  const { unreachable, timedOut } = recovery.evidence;
  const notProven =
    verdict.act !== "replaceDrive" &&
    (verdict.blame === "unclear" || verdict.blame === "path") &&
    !unreachable &&
    !timedOut;
  const out: DirectorEffect = notProven
    ? { kind: "releaseDrive", drive, suspect: true }
    : { kind: "markDriveFailed", drive, text: verdict.meaning };
  return ask(state, exclude(recovery, drive), null, nowMs, `drive ${drive}: ${verdict.meaning}`, [
    ...effects,
    out,
    notifyOf(drive, verdict),
  ]);
}

export function exclude(recovery: Recovery, drive: DriveId): Recovery {
  return { ...recovery, excluded: [...recovery.excluded, drive], sameDriveTries: 0 };
}

/** 608: is there a spare? */
export function ask(
  state: DirectorState,
  recovery: Recovery,
  wanted: DriveId | null,
  nowMs: number,
  why: string,
  effects: readonly DirectorEffect[],
): Step {
  const next: Choosing = { ...nextAttempt(state), name: "Choosing", again: false, recovery };
  return enter(state, next, nowMs, {
    boxes: "607-608",
    text: `${why}; looking for a drive to go on with`,
    severity: "warning",
    evidence: { row: recovery.verdict?.row ?? null, ...evidenceOf(recovery.evidence) },
    effects: [
      ...effects,
      { kind: "reserveSpare", attempt: next.attempt, excluded: recovery.excluded, wanted },
    ],
  });
}
