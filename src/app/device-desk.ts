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
import { NO_SCORES } from "../director/classify.ts";
import type { DirectorEffect, DirectorEvent, DirectorState, Flow } from "../director/states.ts";
import { step } from "../director/step.ts";
import type { AlignOutcome } from "../director/tee/align.ts";
import type { DeviceMemory } from "../director/tee/device-memory.ts";
import { parseSense } from "../scsi/sense.ts";
import type { WorkerHandle } from "../workers/handle.ts";
import type { CacheFacts, FailureNotice } from "../workers/protocol.ts";
import type { Stock } from "./stock.ts";

const log = logOf("director");

const FLOW_WORDS: Readonly<Record<Flow, number>> = {
  normal: at.FLOW_NORMAL,
  suspended: at.FLOW_SUSPENDED,
  reduced: at.FLOW_REDUCED,
  busy: at.FLOW_BUSY,
  report: at.FLOW_REPORT,
};

const EVIDENCE_WITHIN_MS = 2000;
const EJECT_WITHIN_MS = 120_000;
const READY_WITHIN_MS = 300_000;

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

  constructor(readonly parts: DeskParts) {}

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
        void stock.worker(effect.drive).order({ kind: "unfollow" });
        return;
      case "demoteFollower":
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
      case "couple":
        stock.couple(this.parts.settings.name, effect.drive);
        this.later({ kind: "coupled", attempt: effect.attempt });
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
        void this.parts.front()?.order({ kind: "report", device: this.index, sense: effect.sense });
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

  /** 613: the drive gives its cartridge up, or does not. */
  private async unload(attempt: number, drive: DriveId): Promise<void> {
    const ejected = await this.parts.stock.worker(drive).order<string>({ kind: "eject" }, EJECT_WITHIN_MS);
    if (ejected === "ejected" || ejected === "empty") this.dispatch({ kind: "unloaded", attempt });
    else
      this.dispatch({
        kind: "unloadFailed",
        attempt,
        text: `drive ${drive}: ${ejected ?? "it does not answer"}`,
      });
  }

  /** 614 */
  private async move(effect: DirectorEffect & { kind: "move" }): Promise<void> {
    const { attempt, cartridge, from, to } = effect;
    const outcome = await this.parts.stock.moveToDrive(cartridge, to);
    if (outcome.kind === "moved") {
      this.dispatch({ kind: "moved", attempt });
      return;
    }
    const where = this.parts.stock.whereIs(cartridge, from, to);
    // In a slot and not taken by this drive; a robot that cannot move it serves no other drive either.
    const cartridgeAt = where === "slot" && outcome.reason !== "loadFailed" ? "unknown" : where;
    this.dispatch({ kind: "moveFailed", attempt, text: outcome.text, cartridgeAt });
  }

  private async load(attempt: number, drive: DriveId): Promise<void> {
    const found = await this.parts.stock
      .worker(drive)
      .order<DriveCartridge>({ kind: "identify" }, READY_WITHIN_MS);
    if (found?.kind === "inserted") {
      this.cartridge = { ...found, remainingBytes: this.cartridge?.remainingBytes ?? found.remainingBytes };
      this.dispatch({ kind: "loaded", attempt });
      return;
    }
    const evidence = evidenceFrom(found?.senseHex ?? "", found?.outcome ?? "unreachable", "timed out");
    this.dispatch({ kind: "loadFailed", attempt, evidence });
  }

  /** 615 */
  private async verify(effect: DirectorEffect & { kind: "verify" }): Promise<void> {
    const { attempt, drive, onTapeJ } = effect;
    const result = await this.parts.stock.worker(drive).order<AlignOutcome>({
      kind: "align",
      device: this.index,
      onTapeJ,
      onTapePosition: this.memory.get(at.ON_TAPE_POSITION),
      serial: this.cartridge?.serial ?? "",
      readyWithinMs: READY_WITHIN_MS,
    });
    if (result === undefined) return;
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

export type { Barcode };
