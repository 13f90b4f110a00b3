/** @module What the last run left is written to tape, then the journal is opened for new data: no host is let in before what a
 *  filemark promised is on tape, or is known to be held in the cache (rule 7). */
import * as at from "../../wasm/ring/layout.ts";
import { type Barcode, type DriveId, isMalformed, parseBarcode } from "../base/brands.ts";
import type { Clock } from "../base/clock.ts";
import { logOf } from "../base/log.ts";
import type { DeviceSettings, Settings } from "../config.ts";
import type { RecoverySettings } from "../director/rate.ts";
import { begin } from "../director/switchover.ts";
import type { CacheFacts } from "../workers/protocol.ts";
import type { DeviceDesk } from "./device-desk.ts";
import type { Moves } from "./moves.ts";
import type { Stock } from "./stock.ts";

const log = logOf("house");

export class JournalStart {
  /** Drives that a device has begun with already. */
  private readonly taken = new Set<DriveId>();

  constructor(
    private readonly settings: Settings,
    private readonly stock: Stock,
    private readonly moves: Moves,
    private readonly clock: Clock,
    /** Sentences for the operator. */
    private readonly notes: string[],
  ) {}

  /** Writes to tape what the journal holds and the tape does not, then opens the journal for new data. */
  async begin(desk: DeviceDesk): Promise<void> {
    const { memory } = desk;
    const { recovered } = desk;
    const { settings } = desk.parts;
    const start = recovered?.drainJ ?? 0;
    const end = recovered?.endJ ?? 0;
    for (const cursor of [at.RESERVED, at.RECEIVED, at.CACHED, at.DURABLE]) memory.set(cursor, end);
    for (const cursor of [at.TAKEN, at.ON_TAPE, at.CHECKPOINT]) memory.set(cursor, start);
    memory.set(at.ON_TAPE_POSITION, recovered?.drainPosition ?? 0);
    memory.set(at.ON_TAPE_SEQUENCE, recovered?.drainSequence ?? 0);
    memory.set(at.SEQUENCE, recovered?.sequence ?? 0);
    memory.setWord(at.FOLLOWER, at.FOLLOWER_DISK);

    this.keepStandIn(recovered);
    const drive = this.driveFor(settings);
    const inDrive = drive === null ? null : (this.stock.robot.drive(drive)?.barcode ?? null);
    const identity = recovered === null ? null : identityOf(recovered.identity);
    if (drive !== null) this.stock.couple(settings.name, drive);
    // The journal belongs to the cartridge that its checkpoint names, wherever that one is now. With nothing owed it comes
    // to the device's drive all the same where it lies in one that failed, or in the spare of a switch that broke off.
    const owed = end > start && identity !== null;
    const cartridgeIn = identity === null ? null : this.stock.driveWith(identity.barcode);
    const stranded =
      !owed && cartridgeIn !== null && cartridgeIn !== drive && !this.isOfAnother(settings, cartridgeIn);
    const cartridge = owed || stranded ? (identity?.barcode ?? null) : null;
    if (identity !== null)
      desk.cartridge = { ...emptyCartridge, serial: identity.serial, barcode: identity.barcode };
    desk.draining = cartridge !== null;
    const first = begin(
      {
        device: settings.name,
        noSpare: settings.noSpare,
        badCartridge: settings.badCartridge,
        recovery: this.recoverySettings(settings),
      },
      {
        drive,
        cartridge,
        cartridgeIn,
        marks:
          cartridge !== null
            ? { received: end, cached: end, onTape: owed ? start : end }
            : { received: 0, cached: 0, onTape: 0 },
        protected: memory.cacheActive,
      },
      this.clock.nowMs(),
    );
    if (owed)
      log.info(
        `${settings.name}: ${recovered?.blocks ?? 0} blocks of ${identity.barcode} may be owed to tape`,
      );
    desk.adopt(first.state, first.effects);
    const streams = await desk.settled();
    if (!streams) {
      this.notes.push(`${settings.name} is halted: ${desk.state.name === "Halted" ? desk.state.text : ""}`);
      void this.beginLater(desk, recovered);
      return;
    }
    await this.openJournal(desk, recovered);
    if (inDrive === null && desk.state.cartridge === null) memory.setWord(at.FOLLOWER, at.FOLLOWER_RING);
  }

  /** The checkpoint names a spare cartridge that was to stand in for a failed one: the library knows it, or is told now. */
  private keepStandIn(recovered: CacheFacts["recovered"]): void {
    const identity = recovered === null ? null : identityOf(recovered.identity);
    if (identity === null || identity.replaces === null) return;
    this.stock.standIn(identity.replaces, identity.barcode, "failed before the restart");
  }

  /** What the last run left could not be written to tape; after the operator's retry it was. */
  private async beginLater(desk: DeviceDesk, recovered: CacheFacts["recovered"]): Promise<void> {
    await desk.streams();
    await this.openJournal(desk, recovered);
    if (!(await this.moves.take(desk, true)))
      log.warning(`${desk.name}: no cartridge is in its drive; restart to go on`);
  }

  /** Does the drive stand behind another device? */
  private isOfAnother(settings: DeviceSettings, drive: DriveId): boolean {
    return this.settings.devices.some((other) => {
      if (other.name === settings.name) return false;
      return (this.stock.coupledBefore(other.name) ?? other.drive) === drive;
    });
  }

  /** Everything before is on tape: the journal goes on behind every offset that the last run can have used. */
  private async openJournal(desk: DeviceDesk, recovered: CacheFacts["recovered"]): Promise<void> {
    const { memory } = desk;
    const ringBytes = memory.ringBytes;
    const resumeJ = recovered === null ? 0 : (Math.floor(recovered.resumeJ / ringBytes) + 2) * ringBytes;
    const sequence = recovered?.resumeSequence ?? 0;
    desk.draining = false;
    if (desk.drive !== null) await this.stock.worker(desk.drive).order({ kind: "unfollow" });
    for (const cursor of [at.RESERVED, at.RECEIVED, at.CACHED, at.DURABLE, at.TAKEN])
      memory.set(cursor, resumeJ);
    memory.set(at.SEQUENCE, sequence);
    memory.set(at.HISTORY_NEXT, 0);
    memory.set(at.ON_TAPE_SEQUENCE, -1);
    memory.set(at.ON_TAPE_POSITION, 0);
    memory.set(at.ON_TAPE, resumeJ);
    memory.set(at.ON_TAPE_SEQUENCE, sequence);
    await desk.parts.cacheWorker?.order({ kind: "resume", J: resumeJ, sequence });
    desk.tellMarks();
  }

  private driveFor(settings: DeviceSettings): DriveId | null {
    for (const drive of [this.stock.coupledBefore(settings.name), settings.drive]) {
      if (drive === null || this.taken.has(drive) || this.stock.isFailed(drive)) continue;
      this.taken.add(drive);
      return drive;
    }
    return null;
  }

  private recoverySettings(device: DeviceSettings): RecoverySettings {
    const { library } = this.settings;
    const { latencies } = library;
    return {
      cartridgeBytes: library.capacityBytes,
      cacheBytes: device.cache.cacheBytes,
      beyondCartridge: false,
      driveBytesPerSecond: library.paceBytesPerSecond > 0 ? library.paceBytesPerSecond : 400e6,
      switchMs: latencies.unloadMs + latencies.moveMs + latencies.loadMs + 2 * latencies.locateMs + 1000,
      hostTimerMs: 900_000,
      blockBytesMax: device.maxBlockBytes,
      commandsMax: 32,
    };
  }
}

const emptyCartridge = {
  kind: "inserted",
  serial: "",
  barcode: "",
  capacityBytes: 0,
  remainingBytes: 0,
  writeProtected: false,
  densityCode: 0,
  mediumType: 0,
  outcome: "good",
  senseHex: "",
} as const;

function identityOf(json: string): { barcode: Barcode; serial: string; replaces: Barcode | null } | null {
  try {
    const identity = JSON.parse(json) as { barcode?: string; serial?: string; replaces?: string };
    const barcode = parseBarcode(identity.barcode ?? "");
    const replaces = parseBarcode(identity.replaces ?? "");
    return isMalformed(barcode)
      ? null
      : { barcode, serial: identity.serial ?? "", replaces: isMalformed(replaces) ? null : replaces };
  } catch {
    return null;
  }
}

/** null: the device has no cache. */
