/** @module One directing device on the main thread: feeds the pure director with what happens, and carries out its
 *  effects on Workers, robot, pool and catalog. It decides nothing itself.
 *
 *  (1) Events are stepped one at a time; the effects of one step are carried out in order before the next event.
 *  (2) What takes time answers by an event with its attempt, however it ends: an answer that does not come is a failure. */
import * as at from "../../wasm/ring/layout.ts";
import type { Barcode, DriveId } from "../base/brands.ts";
import type { Clock } from "../base/clock.ts";
import { logOf } from "../base/log.ts";
import type { DeviceSettings } from "../config.ts";
import type { FaultEvidence, SenseCode } from "../director/classify.ts";
import { alertsForHost, NO_SCORES } from "../director/classify.ts";
import type { DirectorEffect, DirectorEvent, DirectorState, Flow } from "../director/states.ts";
import { step } from "../director/step.ts";
import type { AlignOutcome } from "../director/tee/align.ts";
import type { DeviceMemory } from "../director/tee/device-memory.ts";
import { parseSense } from "../scsi/sense.ts";
import type { WorkerHandle } from "../workers/handle.ts";
import type { CacheFacts, FailureNotice } from "../workers/protocol.ts";
import { HangWatch } from "./hang-watch.ts";
import { ProtectionNote } from "./protection-note.ts";
import { addressOf, type Stock } from "./stock.ts";

const log = logOf("director");

const FLOW_WORDS: Readonly<Record<Flow, number>> = {
  normal: at.FLOW_NORMAL,
  suspended: at.FLOW_SUSPENDED,
  reduced: at.FLOW_REDUCED,
  busy: at.FLOW_BUSY,
  report: at.FLOW_REPORT,
};

const ASC_NO_MEDIUM = 0x3a;
const EVIDENCE_WITHIN_MS = 2000;
const ANSWER_WITHIN_MS = 2000;
const EJECT_WITHIN_MS = 120_000;
const READY_WITHIN_MS = 300_000;
/** 615: some locates and a few blocks. */
const VERIFIED_WITHIN_MS = 600_000;

/** What a drive's Worker says of the cartridge in it. */
export interface DriveCartridge {
  readonly kind: "inserted" | "notReady";
  readonly serial: string;
  readonly barcode: string;
  readonly capacityBytes: number;
  readonly remainingBytes: number;
  readonly writeProtected: boolean;
  readonly densityCode: number;
  readonly mediumType: number;
  readonly outcome: string;
  readonly senseHex: string;
}

export interface DeskParts {
  readonly index: number;
  readonly settings: DeviceSettings;
  readonly memory: DeviceMemory;
  readonly stock: Stock;
  readonly clock: Clock;
  readonly front: () => WorkerHandle | null;
  readonly cacheWorker: WorkerHandle | null;
}

export class DeviceDesk {
  state!: DirectorState;
  /** Of the array as it is now; it changes with each disk. */
  cacheFacts: CacheFacts | null = null;
  /** What the last run left in it, as found once at the start. */
  recovered: CacheFacts["recovered"] = null;
  cartridge: DriveCartridge | null = null;
  /** The journal of the last run is being written to tape; the front is not there yet. */
  draining = false;
  /** Host bytes that the status showed behind each mark. They are lower bounds made from journal bytes, which count headers
   *  and padding too: the best one so far holds. */
  readonly shownBytes = { cached: 0, onTape: 0 };
  readonly readyToStop = Promise.withResolvers<number>();
  private readonly streaming: (() => void)[] = [];
  private queue: DirectorEvent[] = [];
  private stepping = false;

  readonly protection: ProtectionNote;
  private readonly hang: HangWatch;

  constructor(readonly parts: DeskParts) {
    this.hang = new HangWatch(parts.memory);
    this.protection = new ProtectionNote(parts.settings.name, parts.memory, parts.stock);
  }

  /** Looked at every tick. */
  watch(nowMs: number): void {
    const { state } = this;
    if (state.name !== "Streaming" && state.name !== "Replaying") return;
    const { drive, attempt } = state;
    const hungMs = this.hang.look(drive, nowMs);
    if (hungMs === 0) return;
    log.warning(`drive ${drive} has not answered for ${Math.round(hungMs)} ms`, { device: this.name });
    this.tellMarks();
    this.dispatch({ kind: "driveFailed", attempt, drive, evidence: NO_ANSWER });
  }

  /** The marks as they stand. The director is told every tick, before each failure (what the last tick saw may be of
   *  the journal before it jumped), and when the journal was opened. */
  tellMarks(driveBytesPerSecond: number | null = this.driveBytesPerSecond): void {
    const { memory } = this;
    this.driveBytesPerSecond = driveBytesPerSecond;
    this.dispatch({
      kind: "marks",
      marks: {
        received: memory.get(at.RECEIVED),
        cached: memory.get(at.DURABLE),
        onTape: memory.get(at.ON_TAPE),
      },
      protected: memory.cacheActive,
      driveBytesPerSecond,
    });
  }
  private driveBytesPerSecond: number | null = null;

  get index(): number {
    return this.parts.index;
  }
  get name(): string {
    return this.parts.settings.name;
  }
  get memory(): DeviceMemory {
    return this.parts.memory;
  }

  /** The real drive behind now; null: none. */
  get drive(): DriveId | null {
    return "drive" in this.state ? this.state.drive : null;
  }

  /** Resolves when the device streams, or is halted for good (false). */
  settled(): Promise<boolean> {
    const settled = () => this.state.name === "Streaming" || this.state.name === "Halted";
    if (settled()) return Promise.resolve(this.state.name === "Streaming");
    return new Promise((resolve) => {
      const look = () => {
        if (settled()) resolve(this.state.name === "Streaming");
        else this.streaming.push(look);
      };
      this.streaming.push(look);
    });
  }

  /** Resolves when the device streams, however long it is halted before. */
  async streams(): Promise<void> {
    while (this.state.name !== "Streaming")
      await new Promise<void>((resolve) => this.streaming.push(resolve));
  }

  dispatch(event: DirectorEvent): void {
    this.queue.push(event);
    if (this.stepping) return;
    this.stepping = true;
    try {
      for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) {
        const { state, effects } = step(this.state, next, this.parts.clock.nowMs());
        this.adopt(state, effects);
      }
    } finally {
      this.stepping = false;
    }
  }

  adopt(state: DirectorState, effects: readonly DirectorEffect[]): void {
    const changed = this.state === undefined || this.state.name !== state.name;
    this.state = state;
    for (const effect of effects) this.carryOut(effect);
    if (changed) for (const look of this.streaming.splice(0)) look();
  }

  private carryOut(effect: DirectorEffect): void {
    const { stock, memory } = this.parts;
    switch (effect.kind) {
      case "setFlow":
        memory.setFigure(at.FLOW_RATE, effect.bytesPerSecond);
        memory.setWord(at.FLOW, FLOW_WORDS[effect.flow]);
        memory.wakeFront();
        return;
      case "stopFollower":
        // A hung drive answers when its call has come back: only then is what it reads free again.
        void stock
          .worker(effect.drive)
          .order({ kind: "unfollow" })
          .then(() => this.hang.ended(effect.drive));
        return;
      case "demoteFollower":
        this.hang.giveUp();
        if (memory.cacheActive) memory.setWord(at.FOLLOWER, at.FOLLOWER_DISK);
        memory.wakeFront();
        return;
      case "gatherEvidence":
        void this.gather(effect.attempt, effect.drive, effect.evidence);
        return;
      case "reserveSpare": {
        const drive = stock.chooseSpare(
          this.parts.settings,
          this.state.cartridge,
          effect.excluded,
          effect.wanted,
        );
        const { attempt } = effect;
        const cartridgeIn = stock.driveWith(this.state.cartridge);
        this.later(
          drive === null
            ? { kind: "noSpare", attempt }
            : { kind: "spareChosen", attempt, drive, cartridgeIn },
        );
        return;
      }
      case "findCartridge":
        void this.find(effect.attempt, effect.cartridge);
        return;
      case "couple":
        stock.couple(this.parts.settings.name, effect.drive);
        this.later({ kind: "coupled", attempt: effect.attempt });
        return;
      case "prepareImage":
        void this.prepareImage(effect);
        return;
      case "takeOut":
        void this.takeOut(effect.attempt, effect.drive);
        return;
      case "unload":
        void this.unload(effect.attempt, effect.drive);
        return;
      case "move":
        void this.move(effect);
        return;
      case "load":
        void this.load(effect.attempt, effect.drive);
        return;
      case "verify":
        void this.verify(effect);
        return;
      case "follow":
        void stock.worker(effect.drive).order({
          kind: "follow",
          device: this.index,
          fromJ: effect.fromJ,
          position: effect.position,
          attempt: effect.attempt,
          fromRing: false,
          draining: this.draining,
          answerWithinMs: this.parts.settings.driveAnswerMs,
        });
        return;
      case "markDriveFailed":
        stock.failDrive(effect.drive, effect.text, this.parts.settings.name);
        return;
      case "releaseDrive":
        stock.release(effect.drive, effect.suspect);
        return;
      case "score":
        stock.score(effect.drive, effect.cartridge, effect.verdict.blame);
        return;
      case "reportToHost":
        void this.parts.front()?.order({
          ...{ kind: "report", device: this.index },
          ...{ sense: effect.sense, tapeAlerts: effect.tapeAlerts },
        });
        return;
      case "notify":
        log[effect.severity === "info" ? "info" : "warning"](effect.text, { device: this.name });
        return;
      case "record":
        stock.record(effect.event);
        return;
      case "readyToStop":
        this.readyToStop.resolve(effect.owedBytes);
        return;
    }
  }

  /** Answers come after the step that asked. */
  private later(event: DirectorEvent): void {
    queueMicrotask(() => this.dispatch(event));
  }

  // --- what happened at the drive ---

  failed(notice: FailureNotice): void {
    this.tellMarks();
    if (notice.outcome === "journalUnreadable") {
      this.dispatch({ kind: "journalLost", attempt: notice.attempt, text: notice.text });
      return;
    }
    this.dispatch({
      kind: "driveFailed",
      attempt: notice.attempt,
      drive: notice.driveId as DriveId,
      evidence: evidenceFrom(notice.senseHex, notice.outcome, notice.text),
    });
  }

  /** At a load and before an unload, while nobody writes: the drive's flags, for the host and for the operator. */
  async noteAlerts(drive: DriveId): Promise<void> {
    const told = await this.parts.stock
      .worker(drive)
      .order<{ tapeAlerts: readonly number[] }>({ kind: "evidence" }, EVIDENCE_WITHIN_MS);
    const tapeAlerts = told?.tapeAlerts ?? [];
    if (tapeAlerts.length === 0) return;
    const text = `drive ${drive} raises TapeAlert ${tapeAlerts.join(", ")}`;
    log.warning(text, { device: this.name });
    this.parts.stock.record({
      ...{ kind: "drive", severity: "warning", device: this.parts.settings.name, transition: "tapeAlert" },
      ...{ text, evidence: { drive, tapeAlerts: [...tapeAlerts] } },
    });
    const flags = alertsForHost(tapeAlerts);
    if (flags.length > 0) await this.parts.front()?.order({ kind: "alerts", device: this.index, flags });
  }

  private async gather(attempt: number, drive: DriveId, evidence: FaultEvidence): Promise<void> {
    const more = await this.parts.stock
      .worker(drive)
      .order<{ tapeAlerts: readonly number[]; reachable: boolean }>({ kind: "evidence" }, EVIDENCE_WITHIN_MS);
    this.dispatch({
      kind: "gathered",
      attempt,
      evidence: {
        ...evidence,
        tapeAlerts: more?.tapeAlerts ?? evidence.tapeAlerts,
        unreachable: evidence.unreachable || more === undefined || !more.reachable,
        timedOut: evidence.timedOut || more === undefined,
        scores: this.parts.stock.scoresOf(drive, this.state.cartridge),
      },
    });
  }

  /** 607: what the robot sees, not what we remember. */
  private async find(attempt: number, cartridge: Barcode): Promise<void> {
    this.dispatch({ kind: "cartridgeFound", attempt, at: await this.parts.stock.find(cartridge) });
  }

  /** 613: the drive gives its cartridge up, or does not. */
  private async unload(attempt: number, drive: DriveId): Promise<void> {
    const { robot } = this.parts.stock;
    if (this.drive !== null && !robot.reaches(addressOf(drive), addressOf(this.drive))) {
      const text = `the cartridge cannot be brought from drive ${drive} to drive ${this.drive}: they have different changers`;
      this.dispatch({ kind: "unloadFailed", attempt, text });
      return;
    }
    const worker = this.parts.stock.worker(drive);
    // A Worker that hangs in a call to a drive of others answers nothing: then nobody waits for the whole time of an unload.
    const hangs =
      this.parts.stock.robot.isForeign &&
      (await worker.order({ kind: "faults" }, ANSWER_WITHIN_MS)) === undefined;
    const ejected = hangs ? undefined : await worker.order<string>({ kind: "eject" }, EJECT_WITHIN_MS);
    if (ejected === "ejected" || ejected === "empty") this.dispatch({ kind: "unloaded", attempt });
    else
      this.dispatch({
        kind: "unloadFailed",
        attempt,
        text: `drive ${drive}: ${ejected ?? "it does not answer"}`,
      });
  }

  /** 620, 631: pinned first, on the disks, with the name of the cartridge that is to get it: a crash from then on ends with
   *  that one. The library is told next; should the crash come between, the start tells it (journal-start). */
  private async prepareImage(effect: DirectorEffect & { kind: "prepareImage" }): Promise<void> {
    const { attempt, cartridge: failed, larger } = effect;
    const { stock, memory, cacheWorker } = this.parts;
    const refuse = (text: string) => this.dispatch({ kind: "imageRefused", attempt, text });
    const image = memory.wholeImage();
    if (image === null) return refuse("the cache does not hold its whole image");
    // The journal counts headers and padding; what the host was let write fits a cartridge as large as the failed one.
    const failedBytes = stock.cartridge(failed)?.capacityBytes ?? Number.POSITIVE_INFINITY;
    const neededBytes = Math.min(memory.get(at.RECEIVED) - image.J, failedBytes);
    const spare = stock.chooseCartridge(neededBytes, larger ? failedBytes : null, this.drive);
    if (spare === null) return refuse("there is no spare cartridge for it");
    const { barcode, capacityBytes } = spare;
    // Libraries of others do not tell a cartridge's own serial: the drive that loads it does.
    const serial = String(spare.serial) === String(barcode) ? "" : spare.serial;
    const pinned = await cacheWorker?.order<boolean>({
      kind: "imageAnew",
      J: image.J,
      sequence: image.sequence,
      image: memory.get(at.IMAGE),
      json: JSON.stringify({ image: memory.get(at.IMAGE), barcode, serial, replaces: failed }),
    });
    if (pinned !== true) return refuse("the cache does not hold its whole image any more");
    stock.standIn(failed, barcode, effect.text);
    if (this.cartridge !== null) this.cartridge = { ...this.cartridge, serial, barcode, capacityBytes };
    this.shownBytes.onTape = 0;
    this.dispatch({ kind: "imageReady", attempt, cartridge: barcode, fromJ: image.J });
  }

  /** 631 */
  private async takeOut(attempt: number, drive: DriveId): Promise<void> {
    const outcome = await this.parts.stock.takeOut(drive);
    if (outcome.kind !== "refused") return this.dispatch({ kind: "takenOut", attempt });
    const stuck = outcome.reason === "stuck" || outcome.reason === "removalPrevented";
    this.dispatch({ kind: "takeOutFailed", attempt, stuck, text: outcome.text });
  }

  /** 614, 620, 631 */
  private async move(effect: DirectorEffect & { kind: "move" }): Promise<void> {
    const { attempt, cartridge, from, to } = effect;
    const { stock } = this.parts;
    // After a restart between 631's two moves the failed one may still be there.
    const inTheWay = stock.robot.drive(to)?.barcode ?? null;
    if (inTheWay !== null && stock.cartridge(inTheWay)?.hasFailed === true) await stock.takeOut(to);
    const outcome = await stock.moveToDrive(cartridge, to);
    if (outcome.kind === "moved") {
      this.dispatch({ kind: "moved", attempt });
      void stock.tidy();
      return;
    }
    const where = stock.whereIs(cartridge, from, to);
    // In a slot and not taken by this drive; a robot that cannot move it serves no other drive either.
    const notTaken =
      outcome.reason === "loadFailed" && (where === "slot" || (where === "source" && from === null));
    const cartridgeAt = notTaken ? "slot" : where === "slot" ? "unknown" : where;
    this.dispatch({ kind: "moveFailed", attempt, text: outcome.text, cartridgeAt });
  }

  private async load(attempt: number, drive: DriveId): Promise<void> {
    const worker = this.parts.stock.worker(drive);
    const identify = () => worker.order<DriveCartridge>({ kind: "identify" }, READY_WITHIN_MS);
    let found = await identify();
    // The robot sees it in there, the drive does not: it may have been unloaded, and loads it when it is told to.
    if (found !== undefined && senseCode(found.senseHex)?.asc === ASC_NO_MEDIUM) {
      await worker.order({ kind: "load" }, READY_WITHIN_MS);
      found = await identify();
    }
    if (found?.kind === "inserted") {
      // Who it should be is known, and is compared in the next step; what the drive found is only the rest.
      const serial = this.cartridge?.serial ?? "";
      this.cartridge = {
        ...found,
        serial: serial === "" ? found.serial : serial,
        remainingBytes: this.cartridge?.remainingBytes ?? found.remainingBytes,
      };
      this.dispatch({ kind: "loaded", attempt });
      return;
    }
    const evidence = evidenceFrom(found?.senseHex ?? "", found?.outcome ?? "unreachable", "timed out");
    this.dispatch({ kind: "loadFailed", attempt, evidence });
  }

  /** 615 */
  private async verify(effect: DirectorEffect & { kind: "verify" }): Promise<void> {
    const { attempt, drive, onTapeJ } = effect;
    const order = {
      kind: "align",
      device: this.index,
      onTapeJ,
      onTapePosition: effect.empty ? 0 : this.memory.get(at.ON_TAPE_POSITION),
      serial: this.cartridge?.serial ?? "",
      empty: effect.empty,
      readyWithinMs: READY_WITHIN_MS,
    };
    const result = await this.parts.stock.worker(drive).order<AlignOutcome>(order, VERIFIED_WITHIN_MS);
    if (result === undefined) {
      this.hang.giveUp();
      this.dispatch({ kind: "verifyFailed", attempt, cause: "drive", evidence: NO_ANSWER });
      return;
    }
    if (result.kind === "verified") {
      log.info(`drive ${drive}: ${result.compared} entries read back and compared`, { device: this.name });
      this.dispatch({ kind: "verified", attempt, fromJ: result.fromJ, position: result.position });
      return;
    }
    log.warning(`drive ${drive}: ${result.text}`, { device: this.name });
    const senseHex = Buffer.from(Object.values(result.sense)).toString("hex");
    this.dispatch({
      kind: "verifyFailed",
      attempt,
      cause: result.cause,
      evidence: evidenceFrom(senseHex, result.outcome, result.text),
    });
  }
}

const NO_ANSWER: FaultEvidence = {
  sense: null,
  tapeAlerts: [],
  unreachable: true,
  timedOut: true,
  scores: NO_SCORES,
};

/** A failure as the classifier reads it. */
export function evidenceFrom(senseHex: string, outcome: string, text: string): FaultEvidence {
  const unreachable = outcome === "unreachable";
  return {
    sense: senseHex === "" ? null : senseCode(senseHex),
    tapeAlerts: [],
    unreachable,
    timedOut: unreachable && text.includes("timed out"),
    scores: NO_SCORES,
  };
}

function senseCode(hex: string): SenseCode | null {
  const sense = parseSense(Buffer.from(hex, "hex"));
  if (sense === null) return null;
  return { key: sense.key, asc: sense.asc, ascq: sense.ascq, deferred: sense.deferred ?? false };
}
