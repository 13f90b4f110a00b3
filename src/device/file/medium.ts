/** @module The tape inside a file drive: the port under the SSC unit, synchronous. Every command is complete when
 *  `submit` returns; waiting (pace, latencies, hangs) blocks the thread, as a drive's call does.
 *  (1) Block data moves between its native address and the cartridge file in one call.
 *  (2) What READ POSITION says is not in the buffer is on the medium; what a synchronising filemark, an unbuffered write,
 *      REWIND or UNLOAD answered is durable (fdatasync).
 *  (3) Losing the buffer cuts the cartridge back to what had reached the medium. */
import type { Sense } from "../../scsi/sense.ts";
import {
  initializingCommandRequired,
  KEY_HARDWARE_ERROR,
  KEY_MEDIUM_ERROR,
  mediumNotPresent,
  writeProtected,
} from "../../scsi/senses.ts";
import { emptyMedium, type TapeFigures, type TapePort } from "../../scsi/unit/ports.ts";
import { completeReadPosition, TapePosition } from "../../scsi/unit/tape-position.ts";
import { earlyWarningSense, transferFault, volumeOverflowSense } from "../../scsi/unit/tape-sense.ts";
import { STATUS_GOOD, type Task } from "../../scsi/unit/task.ts";
import { Cartridge, type CartridgeProblem } from "./cartridge.ts";
import { ALERT_EJECT, ALERT_READ_FAILURE, ALERT_WRITE_FAILURE, FaultGate } from "./fault-gate.ts";
import { DriveFaults } from "./faults.ts";
import type { Hash64 } from "./hash.ts";
import { locate, readBlocks, space } from "./medium-read.ts";
import { DriveBuffer, type DriveClock } from "./pace.ts";

/** How long the mechanism takes (ms). */
export interface DriveLatencies {
  readonly commandMs: number;
  readonly loadMs: number;
  readonly unloadMs: number;
  readonly rewindMs: number;
  readonly locateMs: number;
}

export const NO_LATENCIES: DriveLatencies = {
  commandMs: 0,
  loadMs: 0,
  unloadMs: 0,
  rewindMs: 0,
  locateMs: 0,
};
export const PACED_BUFFER_BYTES = 32 * 1024 * 1024;

export interface FileMediumOptions {
  readonly clock: DriveClock;
  /** 0: as fast as the file system. */
  readonly paceBytesPerSecond?: number;
  /** Default: 32 MiB with a pace, else 0 (a block is on the medium when its WRITE is answered). */
  readonly bufferBytes?: number;
  /** With a pace: so much is in the buffer before the tape starts. Default: it starts at once. */
  readonly startBytes?: number;
  readonly latencies?: Partial<DriveLatencies>;
  readonly hash64?: Hash64;
  readonly scratch?: Uint8Array;
  /** Called every few milliseconds while a fault makes the drive hang. */
  readonly whileHung?: () => void;
}

/** Counters of the drive since it started; nothing is compressed. */
class FileFigures implements TapeFigures {
  writtenBytes = 0;
  readBytes = 0;
  writeErrors = 0;
  readErrors = 0;
  loads = 0;

  get mediumWrittenBytes(): number {
    return this.writtenBytes;
  }

  get mediumReadBytes(): number {
    return this.readBytes;
  }
}

const ejectFailed: Sense = { key: KEY_HARDWARE_ERROR, asc: 0x53, ascq: 0x00 };

export class FileMedium implements TapePort {
  readonly medium = emptyMedium();
  readonly figures = new FileFigures();
  readonly faults = new DriveFaults();
  readonly gate: FaultGate;
  readonly buffer: DriveBuffer;
  /** The host of this drive keeps the cartridge in. */
  removalPrevented = false;
  /** Bytes that fit at `task.inAddress`. Set by the transport for each command. */
  inCapacityBytes = 0;
  /** Where the data-out of the command in hand lies already, 0: nowhere. */
  outAddress = 0;
  /** Why the file system refused the last write or read, for diagnosis. */
  lastErrno = 0;

  readonly #options: FileMediumOptions;
  readonly #clock: DriveClock;
  readonly #latencies: DriveLatencies;
  readonly #position = new TapePosition();
  #cartridge: Cartridge | null = null;

  constructor(options: FileMediumOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#latencies = { ...NO_LATENCIES, ...options.latencies };
    this.gate = new FaultGate(this.faults, options.clock, () => this.loseBuffer(), options.whileHung);
    const pace = options.paceBytesPerSecond ?? 0;
    this.buffer = new DriveBuffer(
      options.clock,
      pace,
      options.bufferBytes ?? (pace === 0 ? 0 : PACED_BUFFER_BYTES),
      options.startBytes,
    );
  }

  /** The cartridge in the drive, for diagnosis and tests. */
  get cartridge(): Cartridge | null {
    return this.#cartridge;
  }

  // --- the robot's side ---

  /** Takes a cartridge in and threads it. */
  insert(path: string): CartridgeProblem | null {
    this.#removeCartridge();
    const { hash64, scratch } = this.#options;
    const opened = Cartridge.open(path, {
      ...(hash64 === undefined ? {} : { hash64 }),
      ...(scratch === undefined ? {} : { scratch }),
    });
    if ("kind" in opened) return opened;
    this.#cartridge = opened;
    this.#wait(this.#latencies.loadMs);
    this.figures.loads = opened.mounts;
    const { label } = opened;
    const medium = this.medium;
    medium.present = medium.loaded = true;
    medium.barcode = label.barcode;
    medium.serial = label.serial;
    medium.capacityBytes = label.capacityBytes;
    medium.densityCode = label.densityCode;
    medium.mediumType = label.mediumType;
    this.#refresh();
    medium.loaded = this.gate.passLoad();
    return null;
  }

  /** Lets the cartridge go. "stuck": it cannot be taken out. */
  eject(): "ejected" | "empty" | "stuck" | "prevented" {
    if (this.faults.stuck) return "stuck";
    if (this.#cartridge === null) return "empty";
    if (this.removalPrevented) return "prevented";
    if (this.medium.loaded && this.faults.broken === null && this.#isOurs) this.#synchronize();
    this.#removeCartridge();
    return "ejected";
  }

  #removeCartridge(): void {
    this.#cartridge?.close();
    this.#cartridge = null;
    this.buffer.discard();
    const medium = this.medium;
    medium.present = medium.loaded = false;
    medium.barcode = medium.serial = "";
    medium.capacityBytes = medium.remainingBytes = 0;
    this.removalPrevented = false;
  }

  get #isOurs(): boolean {
    return this.#cartridge?.isOurs ?? false;
  }

  #refresh(): void {
    const cartridge = this.#cartridge;
    if (cartridge === null) return;
    this.medium.writeProtected = cartridge.label.writeProtected || this.faults.writeProtected;
    this.medium.remainingBytes = Math.max(0, this.medium.capacityBytes - cartridge.endOfData.usedBytes);
  }

  // --- TapePort ---

  resetFigures(): void {
    const figures = this.figures;
    figures.writtenBytes = figures.readBytes = figures.writeErrors = figures.readErrors = 0;
  }

  notReady(): Sense | null {
    this.#refresh();
    if (this.faults.broken !== null) return this.faults.broken;
    if (!this.medium.present) return mediumNotPresent;
    return this.medium.loaded ? null : initializingCommandRequired;
  }

  takeTapeAlerts(): readonly number[] {
    const flags = [...this.faults.alerts];
    this.faults.alerts.clear();
    return flags;
  }

  setRemovalPrevented(prevented: boolean): void {
    this.removalPrevented = prevented;
  }

  abort(): void {
    // Commands are complete when `submit` returns: there is never one to forget.
  }

  submit(task: Task): void {
    if (task.tape.operation === "write" && task.outAddress === 0) {
      task.place(this.outAddress);
      return;
    }
    this.#execute(task);
  }

  dataOutComplete(task: Task): void {
    this.#execute(task);
  }

  #execute(task: Task): void {
    this.#wait(this.#latencies.commandMs);
    if (!this.gate.pass(task, this.#cartridge?.place.lba ?? 0)) return;
    const cartridge = this.#cartridge;
    if (cartridge !== null && !cartridge.isOurs) this.#removeCartridge();
    if (this.#cartridge === null || cartridge === null) {
      task.completeWithSense(mediumNotPresent);
      return;
    }
    this.#refresh();
    const operation = task.tape.operation;
    if (operation === "load" || operation === "unload") {
      this.#finish(task, operation === "load" ? this.#load(cartridge) : this.#unload(cartridge));
      return;
    }
    if (!this.medium.loaded) {
      task.completeWithSense(initializingCommandRequired);
      return;
    }
    this.#finish(task, this.#perform(cartridge, task));
    this.#refresh();
  }

  #finish(task: Task, sense: Sense | null): void {
    if (task.completed) return;
    if (sense === null) task.complete(STATUS_GOOD);
    else task.completeWithSense(sense);
  }

  #perform(cartridge: Cartridge, task: Task): Sense | null {
    const command = task.tape;
    switch (command.operation) {
      case "write":
        return this.#write(cartridge, task);
      case "writeFilemarks":
        return this.#writeFilemarks(cartridge, command.count, command.immediate);
      case "readPosition":
        this.#tellPosition(cartridge);
        completeReadPosition(task, this.#position);
        return null;
      case "erase":
        if (this.medium.writeProtected) return writeProtected;
        this.#settle();
        return this.#failed(cartridge.cutHere(), undefined);
      case "read":
      case "verify": {
        this.#settle();
        const sense = readBlocks(cartridge, task, this.inCapacityBytes, command.operation === "read");
        this.figures.readBytes += task.inBytes;
        if (sense?.key === KEY_MEDIUM_ERROR) {
          this.figures.readErrors++;
          this.faults.alerts.add(ALERT_READ_FAILURE);
        }
        return sense;
      }
      case "space":
        this.#settle();
        this.#wait(this.#latencies.locateMs);
        return space(cartridge, command);
      case "locate":
        this.#settle();
        this.#wait(this.#latencies.locateMs);
        return locate(cartridge, command);
      case "rewind": {
        const sense = this.#synchronize();
        this.buffer.stop();
        this.#wait(this.#latencies.rewindMs);
        cartridge.rewind();
        return sense;
      }
      default:
        return null;
    }
  }

  // --- writing ---

  #write(cartridge: Cartridge, task: Task): Sense | null {
    if (this.medium.writeProtected) return writeProtected;
    const { fixed, count, blockBytes, bufferedMode } = task.tape;
    const receivedBytes = Math.min(task.outReceived, task.outBytes);
    const size = fixed ? blockBytes : receivedBytes;
    const blocks = fixed ? Math.floor(receivedBytes / blockBytes) : receivedBytes === 0 ? 0 : 1;
    for (let done = 0; done < blocks; done++) {
      const residual = fixed ? count - done : count;
      if (cartridge.usedBytes + size > this.medium.capacityBytes) return volumeOverflowSense(residual);
      this.buffer.makeRoom(size);
      const put = cartridge.writeBlock(task.outAddress + done * size, size);
      if (put < 0) return this.#failed(put, residual);
      this.buffer.put(size);
      this.figures.writtenBytes += size;
    }
    if (bufferedMode === 0) {
      const sense = this.#synchronize();
      if (sense !== null) return sense;
    }
    return blocks > 0 && this.#inEarlyWarning(cartridge) ? earlyWarningSense : null;
  }

  #inEarlyWarning(cartridge: Cartridge): boolean {
    return cartridge.usedBytes > cartridge.label.capacityBytes - cartridge.label.earlyWarningBytes;
  }

  #writeFilemarks(cartridge: Cartridge, count: number, immediate: boolean): Sense | null {
    if (count > 0 && this.medium.writeProtected) return writeProtected;
    for (let done = 0; done < count; done++) {
      const put = cartridge.writeFilemark();
      if (put < 0) return this.#failed(put, count - done);
      this.buffer.put(0);
    }
    if (!immediate) {
      const sense = this.#synchronize();
      if (sense !== null) return sense;
    }
    return count > 0 && this.#inEarlyWarning(cartridge) ? earlyWarningSense : null;
  }

  /** Sense for a -errno of the file system, null for success. */
  #failed(result: number, residual: number | undefined): Sense | null {
    if (result >= 0) return null;
    this.lastErrno = -result;
    this.figures.writeErrors++;
    this.faults.alerts.add(ALERT_WRITE_FAILURE);
    return transferFault(KEY_MEDIUM_ERROR, 0x0c, 0x00, residual);
  }

  /** The buffer runs out before the tape moves otherwise. */
  #settle(): void {
    this.buffer.flush();
    this.buffer.stop();
  }

  /** Everything accepted is on the medium, durably. */
  #synchronize(): Sense | null {
    this.buffer.flush();
    return this.#cartridge === null ? null : this.#failed(this.#cartridge.sync(), undefined);
  }

  // --- loading, position ---

  #load(cartridge: Cartridge): Sense | null {
    const sense = this.medium.loaded ? this.#synchronize() : null;
    this.buffer.stop();
    if (!this.medium.loaded) this.#wait(this.#latencies.loadMs);
    cartridge.rewind();
    this.medium.loaded = true;
    return sense;
  }

  #unload(cartridge: Cartridge): Sense | null {
    if (!this.medium.loaded) return null;
    const sense = this.#synchronize();
    this.buffer.stop();
    if (this.faults.stuck) {
      this.faults.alerts.add(ALERT_EJECT);
      return ejectFailed;
    }
    this.#wait(this.#latencies.unloadMs);
    cartridge.rewind();
    this.medium.loaded = false;
    return sense;
  }

  #tellPosition(cartridge: Cartridge): void {
    const { place } = cartridge;
    const position = this.#position;
    const records = this.buffer.records;
    position.bop = place.lba === 0;
    position.eop = this.#inEarlyWarning(cartridge);
    position.first = place.lba;
    position.last = place.lba - records;
    position.blocksInBuffer = records;
    position.bytesInBuffer = this.buffer.bytes;
    position.fileNumber = place.fileNumber;
  }

  /** Cuts the cartridge back to what was on the medium. */
  loseBuffer(): void {
    const records = this.buffer.records;
    const cartridge = this.#cartridge;
    if (records > 0 && cartridge?.isOurs) {
      cartridge.seek(cartridge.endOfData.lba - records);
      cartridge.cutHere();
    }
    this.buffer.discard();
  }

  #wait(durationMs: number): void {
    if (durationMs > 0) this.#clock.sleepMs(durationMs);
  }

  close(): void {
    if (this.#cartridge !== null && this.#isOurs && this.faults.broken === null) this.#synchronize();
    this.#removeCartridge();
  }
}
