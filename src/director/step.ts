/** @module The director decides: `step(state, event, now) -> { state, effects }`, pure; method 600 of the seed.
 *
 *                      601-603 tee
 *                    +-----------+   618, 619: caught up
 *      +-----------> | Streaming | <-------------------------------------------------+
 *      |             +-----------+                                                   |
 *      |                   | 604-606: drive failed; suspend                          |
 *      |                   v                                                         |
 *      |             +-------------+  607: reset, becoming ready, recovered          |
 *      |             | Classifying | --------------------------------+               |
 *      |             +-------------+                                 |               |
 *      |                   | 607: not this drive                     |               |
 *      |                   v                                         v               |
 *      |  no spare   +----------+ 608   +-----------+ 614 +-----------+ 615 +-----------+
 *      |  609  +---- | Choosing | ----> | Switching | --> | Verifying | --> | Replaying |
 *      |       |     +----------+ 611   +-----------+     +-----------+     +-----------+
 *      |       v        ^   ^ |  612-614: couple, unload,      | drive fails      | 616
 *      |  +--------+    |   | |           move, load           v                  | drive fails
 *      |  | Halted | ---+   +-+------------------------- Choosing     Classifying <-+
 *      |  +--------+  driveReturned (no spare), operatorRetry
 *      |       ^
 *      +- - - -+- - robot, no spare cartridge, image not whole in the cache, no cache: from every state
 *
 *  A cartridge that failed, ended too soon, or is stuck in its drive (613: no) leads from any state to Switching(image):
 *
 *      Switching(image) -- stuck: the spare drive is coupled already ------------> move, load -> Verifying -> Replaying
 *             |            620                                                      ^   ^          632        621, 633
 *             |  badCartridge = swap                 badCartridge = otherDrive      |   |
 *             +--> takeOut (631) ------------------------------------------ - - - --+   |
 *             +--> Choosing (608, 620) --> couple --------------------------------------+
 *
 *  A drive that says it is empty in mid-job leads to Switching(find): the robot looks where the cartridge is. Still there:
 *  Choosing, without that drive; elsewhere: Choosing, to fetch it back; nowhere: Halted.
 *
 *  Invariants
 *  (1) The follower writes only in Streaming and Replaying, and only from a place that was verified on the medium of
 *      this very cartridge after the last fault: `follow` is given only after `verified`, and never below the on-tape mark.
 *  (2) Before a drive's failure is looked at, its follower is stopped and demoted: the ring is freed by the cache alone.
 *  (3) At most one effect that takes time is under way a device; its answer carries `state.attempt`, others are ignored.
 *  (4) A spare that failed in a recovery is not asked again in it. A drive not proven guilty goes back as a suspect.
 *  (5) The host hears of it only in Halted, and only where the policy says so (or nothing was protected).
 *  (6) The whole image goes to another cartridge only from a journal that holds all of it (`imageReady`): then the
 *      on-tape mark falls to its beginning, and rises with the new cartridge alone.
 *  (7) A stop ends no recovery: it is finished (or Halted) with the host held at BUSY, then `readyToStop`.
 *
 *  What may be trusted: in Streaming and Replaying the marks; in Classifying to Verifying only `received` and `cached` move,
 *  `onTape` stands. Where the cartridge is, the library says anew with every choice of a spare. */
import type { FaultEvidence } from "./classify.ts";
import { ask, exclude, found, judge, replaceCartridge } from "./judge.ts";
import type {
  Choosing,
  Classifying,
  DirectorEffect,
  DirectorEvent,
  DirectorState,
  Halted,
  Recovery,
  Replaying,
  Step,
  Streaming,
  Switching,
  Verifying,
} from "./states.ts";
import { couple, find, load, moveCartridge, replay, takeOut, unload, verify } from "./switchover.ts";
import { enter, evidenceOf, halt, nextAttempt, regulate, standing, unchanged } from "./transition.ts";

/** 614: a robot that failed is asked once more. */
const MOVE_TRIES_MAX = 2;

export function step(state: DirectorState, event: DirectorEvent, nowMs: number): Step {
  if ("attempt" in event && event.attempt !== state.attempt) return unchanged(state);
  if (event.kind === "marks") return onMarks(state, event, nowMs);
  if (event.kind === "stopRequested") return onStop(state, nowMs);
  switch (state.name) {
    case "Streaming":
      return streaming(state, event, nowMs);
    case "Classifying":
      return classifying(state, event, nowMs);
    case "Choosing":
      return choosing(state, event, nowMs);
    case "Switching":
      return switching(state, event, nowMs);
    case "Verifying":
      return verifying(state, event, nowMs);
    case "Replaying":
      return replaying(state, event, nowMs);
    case "Halted":
      return halted(state, event, nowMs);
  }
}

function onMarks(state: DirectorState, event: DirectorEvent & { kind: "marks" }, nowMs: number): Step {
  const next = regulate(
    { ...state, marks: event.marks, protected: event.protected },
    nowMs,
    event.driveBytesPerSecond,
  );
  const drained = state.name === "Streaming" && event.marks.onTape >= event.marks.received;
  if (!state.stopping || !drained) return next;
  return { state: next.state, effects: [...next.effects, { kind: "readyToStop", owedBytes: 0 }] };
}

function onStop(state: DirectorState, nowMs: number): Step {
  const next = regulate({ ...state, stopping: true }, nowMs);
  if (state.name !== "Halted") return next;
  const owedBytes = Math.max(0, state.marks.received - state.marks.onTape);
  return { state: next.state, effects: [...next.effects, { kind: "readyToStop", owedBytes }] };
}

function streaming(state: Streaming, event: DirectorEvent, nowMs: number): Step {
  if (event.kind === "cartridgeChanged")
    return { state: { ...state, cartridge: event.cartridge }, effects: [] };
  if (event.kind !== "driveFailed" || event.drive !== state.drive) return unchanged(state);
  const recovery: Recovery = {
    startedMs: nowMs,
    startJ: state.marks.received,
    evidence: event.evidence,
    verdict: null,
    excluded: [],
    cartridgeIn: state.cartridge === null ? null : state.drive,
    sameDriveTries: 0,
    imageJ: null,
    cartridgeFault: null,
  };
  const stop: DirectorEffect = { kind: "stopFollower", drive: state.drive };
  // 605 as it is: nothing stands between the host and the failure.
  if (!state.protected && state.marks.received > state.marks.onTape)
    return halt(state, recovery, state.drive, "unprotected", `drive ${state.drive} failed`, nowMs, [stop]);
  return beginClassifying(state, recovery, event.evidence, nowMs);
}

/** 604-606 */
function beginClassifying(
  state: Streaming | Replaying,
  recovery: Recovery,
  evidence: FaultEvidence,
  nowMs: number,
): Step {
  const { drive } = state;
  const next: Classifying = { ...nextAttempt(state), name: "Classifying", drive, recovery };
  return enter(state, next, nowMs, {
    boxes: "604-606",
    text: `drive ${drive} failed a backup operation; transfer is held while the reason is found`,
    severity: "warning",
    evidence: evidenceOf(evidence),
    effects: [
      { kind: "stopFollower", drive },
      { kind: "demoteFollower" },
      { kind: "gatherEvidence", attempt: next.attempt, drive, evidence },
    ],
  });
}

function classifying(state: Classifying, event: DirectorEvent, nowMs: number): Step {
  if (event.kind !== "gathered") return unchanged(state);
  return judge(state, state.drive, event.evidence, nowMs);
}

function choosing(state: Choosing, event: DirectorEvent, nowMs: number): Step {
  if (event.kind === "spareChosen") {
    const recovery: Recovery = { ...state.recovery, cartridgeIn: event.cartridgeIn };
    return couple({ ...state, recovery }, event.drive, nowMs);
  }
  if (event.kind === "driveReturned") return { state: { ...state, again: true }, effects: [] };
  if (event.kind === "noSpare" && state.again) {
    const recovery: Recovery = { ...state.recovery, excluded: [], sameDriveTries: 0 };
    return ask(state, recovery, null, nowMs, "a drive is back", []);
  }
  if (event.kind === "noSpare")
    return halt(state, state.recovery, null, "noSpare", state.recovery.verdict?.meaning ?? "", nowMs);
  return unchanged(state);
}

/** 612-614, one thing after the other. */
function switching(state: Switching, event: DirectorEvent, nowMs: number): Step {
  const { drive, recovery, doing } = state;
  switch (event.kind) {
    case "cartridgeFound":
      return doing === "find" ? found(state, event.at, nowMs) : unchanged(state);
    case "coupled":
      if (doing !== "couple") return unchanged(state);
      if (state.cartridge === null) return replay(state, drive, state.marks.received, 0, nowMs);
      if (recovery.cartridgeIn === drive) return load(state, drive, 0, nowMs);
      if (recovery.cartridgeIn === null) return moveCartridge(state, drive, 1, nowMs);
      return unload(state, drive, recovery.cartridgeIn, nowMs);
    case "coupleFailed":
      if (doing !== "couple") return unchanged(state);
      return ask(state, exclude(recovery, drive), null, nowMs, `drive ${drive}: ${event.text}`, [
        { kind: "releaseDrive", drive, suspect: true },
      ]);
    case "unloaded":
      return doing === "unload" ? moveCartridge(state, drive, 1, nowMs) : unchanged(state);
    // 613: no. The failed drive keeps it.
    case "unloadFailed":
      if (doing !== "unload") return unchanged(state);
      return replaceCartridge(state, drive, { reason: "cartridgeStuck", text: event.text }, nowMs);
    case "imageReady":
      return doing === "image" ? toReplacement(state, event, nowMs) : unchanged(state);
    case "imageRefused": {
      if (doing !== "image") return unchanged(state);
      const { reason, text } = recovery.cartridgeFault ?? { reason: "cartridgeFault", text: "" };
      return halt(state, recovery, drive, reason, `${text}: ${event.text}`, nowMs);
    }
    case "takenOut":
      return doing === "takeOut" ? moveCartridge(state, drive, 1, nowMs) : unchanged(state);
    // It keeps the failed cartridge: 620 after all.
    case "takeOutFailed":
      if (doing !== "takeOut") return unchanged(state);
      return ask(state, exclude(recovery, drive), null, nowMs, event.text, [
        event.stuck
          ? { kind: "markDriveFailed", drive, text: event.text }
          : { kind: "releaseDrive", drive, suspect: false },
      ]);
    case "moved":
      return doing === "move" ? load(state, drive, state.moveTries, nowMs) : unchanged(state);
    case "moveFailed":
      return doing === "move" ? moveFailed(state, event, nowMs) : unchanged(state);
    case "loaded":
      return doing === "load" ? verify(state, drive, nowMs) : unchanged(state);
    case "loadFailed":
      return doing === "load" ? judge(state, drive, event.evidence, nowMs) : unchanged(state);
    default:
      return unchanged(state);
  }
}

/** The spare cartridge is found and the image pinned: which drive gets it? */
function toReplacement(state: Switching, event: DirectorEvent & { kind: "imageReady" }, nowMs: number): Step {
  const { drive } = state;
  const holdsFailed = state.recovery.cartridgeIn === drive;
  const recovery: Recovery = { ...state.recovery, cartridgeIn: null, imageJ: event.fromJ, sameDriveTries: 0 };
  const marks = { ...state.marks, onTape: event.fromJ };
  const next: Switching = { ...state, cartridge: event.cartridge, marks, recovery };
  // Stuck elsewhere, or in no drive: the spare drive stands ready.
  if (!holdsFailed) return moveCartridge(next, drive, 1, nowMs);
  if (state.settings.badCartridge === "swap") return takeOut(next, drive, nowMs);
  return ask(next, exclude(recovery, drive), null, nowMs, `drive ${drive} keeps the failed cartridge`, [
    { kind: "releaseDrive", drive, suspect: false },
  ]);
}

function moveFailed(state: Switching, event: DirectorEvent & { kind: "moveFailed" }, nowMs: number): Step {
  const { drive, recovery, moveTries } = state;
  if (event.cartridgeAt === "destination") return load(state, drive, moveTries, nowMs);
  // The drive did not take it, and the robot put it down: another drive may.
  if (event.cartridgeAt === "slot")
    return ask(state, exclude({ ...recovery, cartridgeIn: null }, drive), null, nowMs, event.text, [
      { kind: "releaseDrive", drive, suspect: true },
    ]);
  if (event.cartridgeAt === "unknown")
    return halt(state, { ...recovery, cartridgeIn: null }, drive, "robot", event.text, nowMs);
  if (moveTries < MOVE_TRIES_MAX) return moveCartridge(state, drive, moveTries + 1, nowMs);
  return halt(state, recovery, drive, "robot", event.text, nowMs);
}

const VERIFY_WORDS = {
  endOfDataBelowMark: "the cartridge lost what it had confirmed",
  otherData: "what is on the cartridge is not what was written",
  notEmpty: "the spare cartridge is not empty",
} as const;

/** 615, 632 */
function verifying(state: Verifying, event: DirectorEvent, nowMs: number): Step {
  const { drive, recovery, marks } = state;
  if (event.kind === "verified") {
    if (recovery.imageJ !== null) return replay(state, drive, recovery.imageJ, 0, nowMs);
    if (event.fromJ >= marks.onTape) return replay(state, drive, event.fromJ, event.position, nowMs);
    const detail = `verified to ${event.fromJ}, confirmed to ${marks.onTape} before`;
    return halt(state, recovery, drive, "cartridgeFault", detail, nowMs);
  }
  if (event.kind === "journalLost") return journalLost(state, event.text, nowMs);
  if (event.kind !== "verifyFailed") return unchanged(state);
  if (event.cause === "drive") return judge(state, drive, event.evidence, nowMs);
  const known = { ...recovery, evidence: event.evidence };
  if (event.cause === "wrongCartridge")
    return halt(state, known, drive, "cartridgeFault", event.cause, nowMs);
  const text = `drive ${drive}: ${VERIFY_WORDS[event.cause]}`;
  return replaceCartridge({ ...state, recovery: known }, drive, { reason: "cartridgeFault", text }, nowMs);
}

/** 616-619 */
function replaying(state: Replaying, event: DirectorEvent, nowMs: number): Step {
  const { drive, recovery, flow } = state;
  if (event.kind === "driveFailed" && event.drive === drive)
    return beginClassifying(state, { ...recovery, evidence: event.evidence }, event.evidence, nowMs);
  if (event.kind === "journalLost") return journalLost(state, event.text, nowMs);
  if (event.kind !== "caughtUp") return unchanged(state);
  const text = `drive ${drive} has caught up after ${Math.round(nowMs - recovery.startedMs)} ms; the job goes on`;
  return enter(state, { ...standing(state), name: "Streaming", drive }, nowMs, {
    boxes: flow === "busy" ? "617, 619" : "617-618",
    text,
    evidence: { forMs: nowMs - recovery.startedMs, fromJ: state.fromJ },
    effects: [{ kind: "notify", severity: "info", text }],
  });
}

function journalLost(state: Verifying | Replaying, text: string, nowMs: number): Step {
  const stop: DirectorEffect = { kind: "stopFollower", drive: state.drive };
  return halt(state, state.recovery, state.drive, "unprotected", text, nowMs, [stop]);
}

function halted(state: Halted, event: DirectorEvent, nowMs: number): Step {
  const returned = event.kind === "driveReturned" && state.reason === "noSpare";
  if (!returned && event.kind !== "operatorRetry") return unchanged(state);
  if (state.reason === "unprotected") return unchanged(state);
  const recovery: Recovery = { ...state.recovery, excluded: [], sameDriveTries: 0 };
  const again = { ...state, recovery };
  if (
    state.reason === "mediumGone" &&
    state.drive !== null &&
    !returned &&
    event.drive === null &&
    state.cartridge !== null
  )
    return find(again, state.drive, [], nowMs);
  const giveBack: DirectorEffect[] =
    state.drive === null ? [] : [{ kind: "releaseDrive", drive: state.drive, suspect: false }];
  const why = returned ? `drive ${event.drive} is back` : "the operator asked to try again";
  return ask(state, recovery, returned ? null : event.drive, nowMs, why, giveBack);
}
