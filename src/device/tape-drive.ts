/** @module A real drive, whatever it is reached through: one method a command, outcomes as literals, so that the stream
 *  of writes allocates nothing.
 *  (1) A write is sent once. What is unclear is reported, never repeated.
 *  (2) Unit attentions after a reset, a medium change or new microcode belong to whoever put this drive in place: they
 *      are swallowed for commands that neither write, read nor depend on the position. Absolute movements let a reset
 *      pass, but report a changed medium; relative ones, READ and WRITE report every unit attention.
 *  (3) After an outcome, `senseKey`, `asc`, `ascq`, `information`, `transferredBytes` tell the rest. */
import { ptr } from "bun:ffi";
import { CommandReply, type DataDirection } from "../base/command-reply.ts";
import * as put from "../scsi/cdb.ts";
import {
  attributeText,
  logNumber,
  parseAttributes,
  parseInquiry,
  parseLogPage,
  parseReadPositionLong,
  parseReadPositionShort,
  parseSense,
  parseVpd80,
  tapeAlerts,
} from "../scsi/replies.ts";
import type { Sense } from "../scsi/sense.ts";
import { ATTRIBUTE_BARCODE, ATTRIBUTE_MEDIUM_SERIAL } from "../scsi/unit/attributes.ts";
import { LOG_TAPE_ALERT, LOG_TAPE_CAPACITY, LOG_VOLUME_STATISTICS } from "../scsi/unit/log.ts";
import {
  LONG_POSITION_BYTES,
  READ_POSITION_LONG,
  READ_POSITION_SHORT,
  SHORT_POSITION_BYTES,
  TapePosition,
} from "../scsi/unit/tape-position.ts";
import { type DriveOutcome, outcomeOf } from "./outcome.ts";
import type { Transport } from "./transport.ts";

export type { DriveOutcome } from "./outcome.ts";

export interface DrivePosition {
  /** false: the drive does not know its position. */
  valid: boolean;
  /** Logical object number of the next block. */
  position: number;
  /** Logical object number behind the last one on the medium. */
  lastOnMedium: number;
  blocksInBuffer: number;
  bytesInBuffer: number;
  beginningOfMedium: boolean;
  endOfMedium: boolean;
  /** Number of filemarks before the position; -1: not known (short form only). */
  fileNumber: number;
}

export interface DriveIdentity {
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
  readonly serial: string;
}

export interface DriveCapacity {
  readonly remainingBytes: number;
  readonly capacityBytes: number;
}

export interface CartridgeIdentity {
  readonly serial: string;
  readonly barcode: string;
}

/** Longest time that a command may take before its drive counts as hung (ms). */
export interface DriveTimeouts {
  readonly commandMs: number;
  readonly writeMs: number;
  readonly movementMs: number;
}

export const DEFAULT_TIMEOUTS: DriveTimeouts = {
  commandMs: 60_000,
  writeMs: 900_000,
  movementMs: 3_600_000,
};

const PARAMETERS_BYTES = 4096;
const INQUIRY_BYTES = 96;
const VPD_BYTES = 252;
const UNIT_ATTENTIONS_SWALLOWED = 4;
const ASC_MEDIUM_CHANGED = 0x28;

export class TapeDrive {
  readonly transport: Transport;
  readonly reply = new CommandReply();
  readonly position: DrivePosition = {
    valid: false,
    position: 0,
    lastOnMedium: 0,
    blocksInBuffer: 0,
    bytesInBuffer: 0,
    beginningOfMedium: false,
    endOfMedium: false,
    fileNumber: -1,
  };
  /** Unit attentions swallowed so far: a drive that was reset says so here. */
  unitAttentions = 0;

  readonly #timeouts: DriveTimeouts;
  readonly #cdbs = new put.CdbBuffer();
  readonly #cdb = this.#cdbs.bytes;
  readonly #parameters = new Uint8Array(new ArrayBuffer(PARAMETERS_BYTES));
  readonly #parametersAddress = Number(ptr(this.#parameters));
  readonly #told = new TapePosition();
  #sense: Sense | null = null;
  #blockBytes = 0;
  #buffered = true;
  #modeKnown = false;

  constructor(transport: Transport, timeouts: DriveTimeouts = DEFAULT_TIMEOUTS) {
    this.transport = transport;
    this.#timeouts = timeouts;
  }

  // --- what the last reply said ---

  /** Sense of the last reply, null: none. */
  get sense(): Sense | null {
    return this.#sense;
  }

  get senseKey(): number {
    return this.#sense?.key ?? 0;
  }

  get asc(): number {
    return this.#sense?.asc ?? 0;
  }

  get ascq(): number {
    return this.#sense?.ascq ?? 0;
  }

  /** INFORMATION field (signed), 0 where it is not valid. */
  get information(): number {
    return this.#sense?.information ?? 0;
  }

  /** Sense bytes as the drive gave them (a view: valid until the next command). */
  get rawSense(): Uint8Array {
    return this.reply.sense.subarray(0, this.reply.senseBytes);
  }

  get transferredBytes(): number {
    return this.reply.transferredBytes;
  }

  /** Block length in force (bytes), 0: variable. */
  get blockBytes(): number {
    return this.#blockBytes;
  }

  // --- sending ---

  #send(
    cdb: Uint8Array,
    direction: DataDirection,
    address: number,
    bytes: number,
    timeoutMs: number,
  ): DriveOutcome {
    const { reply } = this;
    this.transport.execute(cdb, direction, address, bytes, timeoutMs, reply);
    this.#sense = reply.reached && reply.senseBytes > 0 ? parseSense(this.rawSense) : null;
    return reply.reached ? outcomeOf(reply.status, this.#sense) : "unreachable";
  }

  /** As `#send`, past unit attentions (rule 2). */
  #sendPast(
    cdbBytes: number,
    direction: DataDirection,
    dataBytes: number,
    timeoutMs: number,
    isMovement = false,
  ): DriveOutcome {
    const cdb = this.#cdbs.cut(cdbBytes);
    for (let left = UNIT_ATTENTIONS_SWALLOWED; ; left--) {
      const outcome = this.#send(cdb, direction, this.#parametersAddress, dataBytes, timeoutMs);
      if (outcome !== "unitAttention" || left === 0) return outcome;
      if (isMovement && this.asc === ASC_MEDIUM_CHANGED) return outcome;
      this.unitAttentions++;
    }
  }

  #move(cdbBytes: number): DriveOutcome {
    return this.#sendPast(cdbBytes, "none", 0, this.#timeouts.movementMs, true);
  }

  /** What the drive answers to a question, null where it does not: a view, valid until the next command. */
  #ask(cdbBytes: number, allocationBytes: number): Uint8Array | null {
    const outcome = this.#sendPast(cdbBytes, "in", allocationBytes, this.#timeouts.commandMs);
    return outcome === "good" ? this.#parameters.subarray(0, this.reply.transferredBytes) : null;
  }

  // --- the stream ---

  /** One WRITE(6): in variable mode one block of `bytes`; in fixed mode `bytes / blockBytes` blocks. Never repeated. */
  write(address: number, bytes: number): DriveOutcome {
    const fixed = this.#blockBytes !== 0;
    const cdbBytes = put.putWrite6(this.#cdb, fixed ? bytes / this.#blockBytes : bytes, fixed);
    return this.#send(this.#cdbs.cut(cdbBytes), "out", address, bytes, this.#timeouts.writeMs);
  }

  /** `immediate` false: synchronises, and takes as long as that takes. Never repeated. */
  writeFilemarks(count: number, immediate: boolean): DriveOutcome {
    const cdbBytes = put.putWriteFilemarks(this.#cdb, count, immediate);
    return this.#send(this.#cdbs.cut(cdbBytes), "none", 0, 0, this.#timeouts.writeMs);
  }

  /** One READ(6): in variable mode one block of at most `capacityBytes` (a shorter one is "good", see
   *  `transferredBytes`; a longer one "incorrectLength"); in fixed mode as many whole blocks as fit. */
  read(address: number, capacityBytes: number): DriveOutcome {
    const fixed = this.#blockBytes !== 0;
    const count = fixed ? Math.floor(capacityBytes / this.#blockBytes) : capacityBytes;
    const cdb = this.#cdbs.cut(put.putRead6(this.#cdb, count, fixed));
    const outcome = this.#send(
      cdb,
      "in",
      address,
      fixed ? count * this.#blockBytes : count,
      this.#timeouts.writeMs,
    );
    return outcome === "incorrectLength" && !fixed && this.information > 0 ? "good" : outcome;
  }

  // --- moving ---

  /** SPACE(6): code 0 blocks, 1 filemarks, 3 end of data; negative: backwards. */
  space(code: 0 | 1 | 3, count = 0): DriveOutcome {
    const cdbBytes = put.putSpace6(this.#cdb, code, count);
    if (code === 3) return this.#move(cdbBytes);
    return this.#send(this.#cdbs.cut(cdbBytes), "none", 0, 0, this.#timeouts.movementMs);
  }

  spaceToEndOfData(): DriveOutcome {
    return this.space(3);
  }

  /** LOCATE(10), or LOCATE(16) where the number asks for it. */
  locate(lba: number): DriveOutcome {
    const isShort = lba < 0x1_0000_0000;
    return this.#move(isShort ? put.putLocate10(this.#cdb, lba) : put.putLocate16(this.#cdb, 0, lba));
  }

  rewind(): DriveOutcome {
    return this.#move(put.putRewind(this.#cdb));
  }

  load(): DriveOutcome {
    return this.#sendPast(put.putLoadUnload(this.#cdb, true), "none", 0, this.#timeouts.movementMs);
  }

  unload(): DriveOutcome {
    return this.#sendPast(put.putLoadUnload(this.#cdb, false), "none", 0, this.#timeouts.movementMs);
  }

  testUnitReady(): DriveOutcome {
    return this.#sendPast(put.putTestUnitReady(this.#cdb), "none", 0, this.#timeouts.commandMs);
  }

  // --- asking ---

  /** READ POSITION, short form, into `this.position` (where the drive is, what it still holds in its buffer). */
  readPosition(): DriveOutcome {
    const outcome = this.#askPosition(READ_POSITION_SHORT, SHORT_POSITION_BYTES);
    const { position } = this;
    const told = this.#told;
    position.fileNumber = -1;
    if (outcome !== "good" || !parseReadPositionShort(this.#reply(), told)) return outcome;
    this.#tellPosition();
    position.lastOnMedium = told.last;
    position.blocksInBuffer = told.objectCountUnknown
      ? Math.max(0, told.first - told.last)
      : told.blocksInBuffer;
    position.bytesInBuffer = told.byteCountUnknown ? 0 : told.bytesInBuffer;
    return outcome;
  }

  /** READ POSITION, long form: 64-bit object number and file number, no word of the buffer. */
  readPositionLong(): DriveOutcome {
    const outcome = this.#askPosition(READ_POSITION_LONG, LONG_POSITION_BYTES);
    const { position } = this;
    if (outcome !== "good" || !parseReadPositionLong(this.#reply(), this.#told)) return outcome;
    this.#tellPosition();
    position.lastOnMedium = position.position;
    position.blocksInBuffer = position.bytesInBuffer = 0;
    position.fileNumber = this.#told.fileNumber;
    return outcome;
  }

  #askPosition(serviceAction: number, bytes: number): DriveOutcome {
    this.position.valid = false;
    this.#told.overflow = false;
    return this.#sendPast(
      put.putReadPosition(this.#cdb, serviceAction),
      "in",
      bytes,
      this.#timeouts.commandMs,
    );
  }

  #reply(): Uint8Array {
    return this.#parameters.subarray(0, this.reply.transferredBytes);
  }

  #tellPosition(): void {
    const { position } = this;
    const told = this.#told;
    position.beginningOfMedium = told.bop;
    position.endOfMedium = told.eop;
    position.valid = !told.positionUnknown && !told.overflow;
    position.position = told.first;
  }

  /** INQUIRY and VPD page 80h; null: the drive does not answer. */
  inquiry(): DriveIdentity | null {
    const reply = this.#ask(put.putInquiry(this.#cdb, INQUIRY_BYTES), INQUIRY_BYTES);
    const data = reply === null ? null : parseInquiry(reply);
    if (data === null) return null;
    const { vendor, product, revision } = data;
    return { vendor, product, revision, serial: this.serial() };
  }

  /** Unit serial number (VPD 80h), "" where there is none. */
  serial(): string {
    const reply = this.#ask(put.putInquiryVpd(this.#cdb, 0x80, VPD_BYTES), VPD_BYTES);
    return (reply === null ? null : parseVpd80(reply)) ?? "";
  }

  /** Native capacity and remainder from the drive's log pages (31h, else 17h), null where it has neither. Both are
   *  rounded down by the drive: to 2^20 bytes, to 10^6 bytes. */
  capacity(): DriveCapacity | null {
    return this.#tapeCapacity() ?? this.#volumeStatistics();
  }

  #logPage(code: number) {
    const reply = this.#ask(put.putLogSense(this.#cdb, code, PARAMETERS_BYTES), PARAMETERS_BYTES);
    const page = reply === null ? null : parseLogPage(reply);
    return page?.code === code ? page : null;
  }

  /** Page 31h: 0001h remaining, 0003h maximum capacity of the main partition, in mebibytes. */
  #tapeCapacity(): DriveCapacity | null {
    const page = this.#logPage(LOG_TAPE_CAPACITY);
    const remaining = page === null ? null : logNumber(page, 0x0001);
    const capacity = page === null ? null : logNumber(page, 0x0003);
    if (remaining === null || capacity === null || capacity === 0) return null;
    return { capacityBytes: capacity * 1048576, remainingBytes: remaining * 1048576 };
  }

  /** Page 17h: 0016h native capacity, 0017h used native capacity, in megabytes (10^6). */
  #volumeStatistics(): DriveCapacity | null {
    const page = this.#logPage(LOG_VOLUME_STATISTICS);
    const capacity = page === null ? null : logNumber(page, 0x0016);
    const used = page === null ? null : logNumber(page, 0x0017);
    if (capacity === null || used === null || capacity === 0) return null;
    return { capacityBytes: capacity * 1e6, remainingBytes: Math.max(0, capacity - used) * 1e6 };
  }

  /** Serial (MAM 0401h) and barcode (MAM 0806h) of the loaded cartridge; null: the drive has no READ ATTRIBUTE. */
  identifyCartridge(): CartridgeIdentity | null {
    const reply = this.#ask(
      put.putReadAttribute(this.#cdb, ATTRIBUTE_MEDIUM_SERIAL, PARAMETERS_BYTES),
      PARAMETERS_BYTES,
    );
    if (reply === null) return null;
    const values = parseAttributes(reply);
    return {
      serial: attributeText(values, ATTRIBUTE_MEDIUM_SERIAL) ?? "",
      barcode: attributeText(values, ATTRIBUTE_BARCODE) ?? "",
    };
  }

  /** TapeAlert flags that are set (1..64); reading may clear them. null: the drive has no such page, or does not answer in
   *  time. A unit attention is swallowed like that of any question: whoever writes on looks for the drive's place first. */
  tapeAlerts(timeoutMs: number = this.#timeouts.commandMs): number[] | null {
    const cdbBytes = put.putLogSense(this.#cdb, LOG_TAPE_ALERT, PARAMETERS_BYTES);
    const outcome = this.#sendPast(cdbBytes, "in", PARAMETERS_BYTES, timeoutMs);
    const page = outcome === "good" ? parseLogPage(this.#reply()) : null;
    return page?.code === LOG_TAPE_ALERT ? tapeAlerts(page) : null;
  }

  // --- modes ---

  /** Block length in force from now on (MODE SELECT block descriptor); 0: variable. Nothing is sent if it is so already. */
  setBlockLength(blockBytes: number, buffered = true): DriveOutcome {
    if (this.#modeKnown && blockBytes === this.#blockBytes && buffered === this.#buffered) return "good";
    const listBytes = put.putModeList6(this.#parameters, buffered ? 0x10 : 0, 0, blockBytes);
    const cdbBytes = put.putModeSelect6(this.#cdb, listBytes);
    const outcome = this.#sendPast(cdbBytes, "out", listBytes, this.#timeouts.commandMs);
    this.#modeKnown = outcome === "good";
    if (this.#modeKnown) {
      this.#blockBytes = blockBytes;
      this.#buffered = buffered;
    }
    return outcome;
  }

  /** The drive was reset or changed: what was set before counts no more. */
  forgetModes(): void {
    this.#modeKnown = false;
    this.#blockBytes = 0;
  }

  /** Any CDB as it is; `reply` has the answer. Neither repeated nor interpreted further. */
  executeRaw(
    cdb: Uint8Array,
    direction: DataDirection,
    address: number,
    bytes: number,
    timeoutMs: number = this.#timeouts.movementMs,
  ): DriveOutcome {
    return this.#send(cdb, direction, address, bytes, timeoutMs);
  }

  close(): void {
    this.transport.close();
  }
}
