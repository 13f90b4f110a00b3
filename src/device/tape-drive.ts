/** @module A real drive, whatever it is reached through: one method a command, outcomes as literals, so that the stream
 *  of writes allocates nothing.
 *  (1) A write is sent once. What is unclear is reported, never repeated.
 *  (2) Unit attentions after a reset, a medium change or new microcode belong to whoever put this drive in place: they
 *      are swallowed for commands that neither write, read nor depend on the position. Absolute movements let a reset
 *      pass, but report a changed medium; relative ones, READ and WRITE report every unit attention.
 *  (3) After an outcome, `senseKey`, `asc`, `ascq`, `information`, `transferredBytes` tell the rest. */
import { ptr } from "bun:ffi";
import { type DataDirection, type Transport, TransportReply } from "./transport.ts";

export type DriveOutcome =
  | "good"
  /** The data was written; the end of the medium is near (NO SENSE or RECOVERED, EOM). */
  | "earlyWarning"
  /** A filemark was met (reading, spacing). */
  | "filemark"
  | "endOfData"
  | "beginningOfMedium"
  /** READ: the block has another length; `information` says by how much. */
  | "incorrectLength"
  /** VOLUME OVERFLOW: not (all) written; `information` is the rest. */
  | "endOfMedium"
  | "unitAttention"
  | "notReady"
  /** A command that was answered GOOD before has failed since (71h, 73h). */
  | "deferredError"
  /** Any other CHECK CONDITION. */
  | "error"
  | "busy"
  | "reservationConflict"
  /** Transport lost or timed out: carried out or not, nobody knows. */
  | "unreachable";

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

export const DEFAULT_TIMEOUTS: DriveTimeouts = { commandMs: 60_000, writeMs: 900_000, movementMs: 3_600_000 };

const PARAMETERS_BYTES = 4096;
const UNIT_ATTENTIONS_SWALLOWED = 4;

export class TapeDrive {
  readonly transport: Transport;
  readonly reply = new TransportReply();
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
  readonly #cdb = new Uint8Array(16);
  readonly #cdb6 = this.#cdb.subarray(0, 6);
  readonly #cdb10 = this.#cdb.subarray(0, 10);
  readonly #parameters = new Uint8Array(new ArrayBuffer(PARAMETERS_BYTES));
  readonly #parametersView = new DataView(this.#parameters.buffer);
  readonly #parametersAddress = Number(ptr(this.#parameters));
  #blockBytes = 0;
  #buffered = true;
  #modeKnown = false;

  constructor(transport: Transport, timeouts: DriveTimeouts = DEFAULT_TIMEOUTS) {
    this.transport = transport;
    this.#timeouts = timeouts;
  }

  // --- what the last reply said ---

  get #isDescriptorSense(): boolean {
    return (this.reply.sense[0]! & 0x7e) === 0x72;
  }

  get senseKey(): number {
    if (this.reply.senseBytes === 0) return 0;
    return this.reply.sense[this.#isDescriptorSense ? 1 : 2]! & 15;
  }

  get asc(): number {
    return this.reply.senseBytes === 0 ? 0 : this.reply.sense[this.#isDescriptorSense ? 2 : 12]!;
  }

  get ascq(): number {
    return this.reply.senseBytes === 0 ? 0 : this.reply.sense[this.#isDescriptorSense ? 3 : 13]!;
  }

  /** INFORMATION field (signed), 0 where it is not valid. */
  get information(): number {
    const { sense, senseBytes } = this.reply;
    if (senseBytes < 7 || this.#isDescriptorSense || (sense[0]! & 0x80) === 0) return 0;
    return (sense[3]! << 24) | (sense[4]! << 16) | (sense[5]! << 8) | sense[6]!;
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

  #outcome(): DriveOutcome {
    const reply = this.reply;
    if (!reply.reached) return "unreachable";
    if (reply.status === 0x00) return "good";
    if (reply.status === 0x08 || reply.status === 0x28) return "busy";
    if (reply.status === 0x18) return "reservationConflict";
    if (reply.status !== 0x02) return "error";
    const format = reply.sense[0]! & 0x7f;
    if (format === 0x71 || format === 0x73) return "deferredError";
    const key = this.senseKey;
    const flags = this.#isDescriptorSense ? this.#streamFlags() : reply.sense[2]!;
    if (key <= 1) {
      if ((flags & 0x80) !== 0) return "filemark";
      if ((flags & 0x20) !== 0) return "incorrectLength";
      if ((flags & 0x40) !== 0)
        return this.asc === 0 && this.ascq === 4 ? "beginningOfMedium" : "earlyWarning";
      return key === 1 ? "good" : "error";
    }
    if (key === 2) return "notReady";
    if (key === 6) return "unitAttention";
    if (key === 8) return "endOfData";
    if (key === 13) return "endOfMedium";
    return "error";
  }

  /** FILEMARK, EOM, ILI of a stream commands descriptor (SSC-5, type 04h). */
  #streamFlags(): number {
    const { sense, senseBytes } = this.reply;
    for (let at = 8; at + 2 <= senseBytes; at += 2 + sense[at + 1]!) {
      if (sense[at] === 0x04) return sense[at + 3]!;
    }
    return 0;
  }

  #send(
    cdb: Uint8Array,
    direction: DataDirection,
    address: number,
    bytes: number,
    timeoutMs: number,
  ): DriveOutcome {
    this.transport.execute(cdb, direction, address, bytes, timeoutMs, this.reply);
    return this.#outcome();
  }

  /** As `#send`, past unit attentions (rule 2). */
  #sendPast(
    cdb: Uint8Array,
    direction: DataDirection,
    address: number,
    bytes: number,
    timeoutMs: number,
    isMovement = false,
  ): DriveOutcome {
    for (let left = UNIT_ATTENTIONS_SWALLOWED; ; left--) {
      const outcome = this.#send(cdb, direction, address, bytes, timeoutMs);
      if (outcome !== "unitAttention" || left === 0) return outcome;
      if (isMovement && this.asc === 0x28) return outcome;
      this.unitAttentions++;
    }
  }

  #build6(opcode: number, byte1: number, byte2: number, byte3: number, byte4: number): Uint8Array {
    const cdb = this.#cdb;
    cdb.fill(0);
    cdb[0] = opcode;
    cdb[1] = byte1;
    cdb[2] = byte2;
    cdb[3] = byte3;
    cdb[4] = byte4;
    return this.#cdb6;
  }

  #buildCount6(opcode: number, byte1: number, count: number): Uint8Array {
    return this.#build6(opcode, byte1, (count >> 16) & 255, (count >> 8) & 255, count & 255);
  }

  #build16(opcode: number, byte1: number): Uint8Array {
    const cdb = this.#cdb;
    cdb.fill(0);
    cdb[0] = opcode;
    cdb[1] = byte1;
    return cdb;
  }

  // --- the stream ---

  /** One WRITE(6): in variable mode one block of `bytes`; in fixed mode `bytes / blockBytes` blocks. Never repeated. */
  write(address: number, bytes: number): DriveOutcome {
    const fixed = this.#blockBytes !== 0;
    const count = fixed ? bytes / this.#blockBytes : bytes;
    return this.#send(
      this.#buildCount6(0x0a, fixed ? 1 : 0, count),
      "out",
      address,
      bytes,
      this.#timeouts.writeMs,
    );
  }

  /** `immediate` false: synchronises, and takes as long as that takes. Never repeated. */
  writeFilemarks(count: number, immediate: boolean): DriveOutcome {
    return this.#send(
      this.#buildCount6(0x10, immediate ? 1 : 0, count),
      "none",
      0,
      0,
      this.#timeouts.writeMs,
    );
  }

  /** One READ(6): in variable mode one block of at most `capacityBytes` (a shorter one is "good", see
   *  `transferredBytes`; a longer one "incorrectLength"); in fixed mode as many whole blocks as fit. */
  read(address: number, capacityBytes: number): DriveOutcome {
    const fixed = this.#blockBytes !== 0;
    const count = fixed ? Math.floor(capacityBytes / this.#blockBytes) : capacityBytes;
    const bytes = fixed ? count * this.#blockBytes : count;
    const outcome = this.#send(
      this.#buildCount6(0x08, fixed ? 1 : 0, count),
      "in",
      address,
      bytes,
      this.#timeouts.writeMs,
    );
    if (outcome === "incorrectLength" && !fixed && this.information > 0) return "good";
    return outcome;
  }

  // --- moving ---

  /** SPACE(6): code 0 blocks, 1 filemarks, 3 end of data; negative: backwards. */
  space(code: 0 | 1 | 3, count = 0): DriveOutcome {
    const cdb = this.#buildCount6(0x11, code, count);
    if (code !== 3) return this.#send(cdb, "none", 0, 0, this.#timeouts.movementMs);
    return this.#sendPast(cdb, "none", 0, 0, this.#timeouts.movementMs, true);
  }

  spaceToEndOfData(): DriveOutcome {
    return this.space(3);
  }

  /** LOCATE(10), or LOCATE(16) where the number asks for it. */
  locate(lba: number): DriveOutcome {
    if (lba < 4294967296) {
      const cdb = this.#build16(0x2b, 0);
      cdb[3] = lba >>> 24;
      cdb[4] = lba >>> 16;
      cdb[5] = lba >>> 8;
      cdb[6] = lba;
      return this.#sendPast(this.#cdb10, "none", 0, 0, this.#timeouts.movementMs, true);
    }
    const cdb = this.#build16(0x92, 0);
    const high = Math.floor(lba / 4294967296);
    cdb[6] = high >>> 8;
    cdb[7] = high;
    cdb[8] = lba >>> 24;
    cdb[9] = lba >>> 16;
    cdb[10] = lba >>> 8;
    cdb[11] = lba;
    return this.#sendPast(cdb, "none", 0, 0, this.#timeouts.movementMs, true);
  }

  rewind(): DriveOutcome {
    return this.#sendPast(this.#build6(0x01, 0, 0, 0, 0), "none", 0, 0, this.#timeouts.movementMs, true);
  }

  load(): DriveOutcome {
    return this.#sendPast(this.#build6(0x1b, 0, 0, 0, 1), "none", 0, 0, this.#timeouts.movementMs);
  }

  unload(): DriveOutcome {
    return this.#sendPast(this.#build6(0x1b, 0, 0, 0, 0), "none", 0, 0, this.#timeouts.movementMs);
  }

  testUnitReady(): DriveOutcome {
    return this.#sendPast(this.#build6(0x00, 0, 0, 0, 0), "none", 0, 0, this.#timeouts.commandMs);
  }

  // --- asking ---

  /** READ POSITION, short form, into `this.position` (where the drive is, what it still holds in its buffer). */
  readPosition(): DriveOutcome {
    const outcome = this.#sendPast(
      this.#position(0),
      "in",
      this.#parametersAddress,
      20,
      this.#timeouts.commandMs,
    );
    const position = this.position;
    position.valid = false;
    position.fileNumber = -1;
    if (outcome !== "good" || this.reply.transferredBytes < 20) return outcome;
    const view = this.#parametersView;
    const flags = view.getUint8(0);
    position.beginningOfMedium = (flags & 0x80) !== 0;
    position.endOfMedium = (flags & 0x40) !== 0;
    // LOLU (20h) and BYCU/LOCU: a position that the drive cannot say is none.
    position.valid = (flags & 0x04) === 0 && (flags & 0x02) === 0;
    position.position = view.getUint32(4);
    position.lastOnMedium = view.getUint32(8);
    const countsKnown = (flags & 0x20) === 0;
    const bytesKnown = (flags & 0x10) === 0;
    position.blocksInBuffer = countsKnown
      ? view.getUint32(12) & 0xffffff
      : Math.max(0, position.position - position.lastOnMedium);
    position.bytesInBuffer = bytesKnown ? view.getUint32(16) : 0;
    return outcome;
  }

  /** READ POSITION, long form: 64-bit object number and file number, no word of the buffer. */
  readPositionLong(): DriveOutcome {
    const outcome = this.#sendPast(
      this.#position(6),
      "in",
      this.#parametersAddress,
      32,
      this.#timeouts.commandMs,
    );
    const position = this.position;
    position.valid = false;
    if (outcome !== "good" || this.reply.transferredBytes < 32) return outcome;
    const view = this.#parametersView;
    const flags = view.getUint8(0);
    position.beginningOfMedium = (flags & 0x80) !== 0;
    position.endOfMedium = (flags & 0x40) !== 0;
    position.valid = (flags & 0x04) === 0;
    position.position = view.getUint32(8) * 4294967296 + view.getUint32(12);
    position.lastOnMedium = position.position;
    position.blocksInBuffer = position.bytesInBuffer = 0;
    position.fileNumber = (flags & 0x08) === 0 ? view.getUint32(16) * 4294967296 + view.getUint32(20) : -1;
    return outcome;
  }

  #position(serviceAction: number): Uint8Array {
    this.#build16(0x34, serviceAction);
    return this.#cdb10;
  }

  #text(at: number, bytes: number): string {
    const text = new TextDecoder("latin1").decode(this.#parameters.subarray(at, at + bytes));
    return text.replace(/[\0 ]+$/, "").trimStart();
  }

  /** INQUIRY and VPD page 80h; null: the drive does not answer. */
  inquiry(): DriveIdentity | null {
    this.#parameters.fill(0);
    const inquiry = this.#build6(0x12, 0, 0, 0, 96);
    if (this.#sendPast(inquiry, "in", this.#parametersAddress, 96, this.#timeouts.commandMs) !== "good")
      return null;
    const vendor = this.#text(8, 8);
    const product = this.#text(16, 16);
    const revision = this.#text(32, 4);
    return { vendor, product, revision, serial: this.serial() };
  }

  /** Unit serial number (VPD 80h), "" where there is none. */
  serial(): string {
    const vpd = this.#build6(0x12, 1, 0x80, 0, 252);
    this.#parameters.fill(0, 0, 252);
    if (this.#sendPast(vpd, "in", this.#parametersAddress, 252, this.#timeouts.commandMs) !== "good")
      return "";
    return this.#text(4, this.#parameters[3]!);
  }

  /** Native capacity and remainder from the drive's log pages (31h, else 17h), null where it has neither. Both are
   *  rounded down by the drive: to 2^20 bytes, to 10^6 bytes. */
  capacity(): DriveCapacity | null {
    return this.#tapeCapacity() ?? this.#volumeStatistics();
  }

  #logPage(page: number): number {
    const cdb = this.#build16(0x4d, 0);
    cdb[2] = 0x40 | page;
    cdb[7] = PARAMETERS_BYTES >>> 8;
    cdb[8] = PARAMETERS_BYTES & 255;
    this.#parameters.fill(0);
    const outcome = this.#sendPast(
      this.#cdb10,
      "in",
      this.#parametersAddress,
      PARAMETERS_BYTES,
      this.#timeouts.commandMs,
    );
    if (outcome !== "good" || (this.#parameters[0]! & 0x3f) !== page) return 0;
    return Math.min(PARAMETERS_BYTES, 4 + this.#parametersView.getUint16(2));
  }

  /** Value of a plain big-endian parameter of the log page read last, null: not there. */
  #logValue(pageEnd: number, code: number): number | null {
    const view = this.#parametersView;
    for (let at = 4; at + 4 <= pageEnd; at += 4 + view.getUint8(at + 3)) {
      const bytes = view.getUint8(at + 3);
      if (view.getUint16(at) !== code || bytes === 0 || bytes > 8 || at + 4 + bytes > pageEnd) continue;
      let value = 0;
      for (let index = 0; index < bytes; index++) value = value * 256 + view.getUint8(at + 4 + index);
      return value;
    }
    return null;
  }

  /** Page 17h: 0016h native capacity, 0017h used native capacity, in megabytes (10^6). */
  #volumeStatistics(): DriveCapacity | null {
    const end = this.#logPage(0x17);
    const capacity = this.#logValue(end, 0x0016);
    const used = this.#logValue(end, 0x0017);
    if (capacity === null || used === null || capacity === 0) return null;
    return { capacityBytes: capacity * 1e6, remainingBytes: Math.max(0, capacity - used) * 1e6 };
  }

  /** Page 31h: 0001h remaining, 0003h maximum capacity of the main partition, in mebibytes. */
  #tapeCapacity(): DriveCapacity | null {
    const end = this.#logPage(0x31);
    const remaining = this.#logValue(end, 0x0001);
    const capacity = this.#logValue(end, 0x0003);
    if (remaining === null || capacity === null || capacity === 0) return null;
    return { capacityBytes: capacity * 1048576, remainingBytes: remaining * 1048576 };
  }

  /** Serial (MAM 0401h) and barcode (MAM 0806h) of the loaded cartridge; null: the drive has no READ ATTRIBUTE. */
  identifyCartridge(): CartridgeIdentity | null {
    const serial = this.#attribute(0x0401);
    const barcode = this.#attribute(0x0806);
    if (serial === null && barcode === null) return null;
    return { serial: serial ?? "", barcode: barcode ?? "" };
  }

  #attribute(id: number): string | null {
    const cdb = this.#build16(0x8c, 0);
    cdb[8] = id >>> 8;
    cdb[9] = id & 255;
    cdb[12] = 2;
    this.#parameters.fill(0, 0, 512);
    if (this.#sendPast(cdb, "in", this.#parametersAddress, 512, this.#timeouts.commandMs) !== "good")
      return null;
    const view = this.#parametersView;
    if (this.reply.transferredBytes < 9 || view.getUint16(4) !== id) return null;
    return this.#text(9, view.getUint16(7));
  }

  // --- modes ---

  /** Block length in force from now on (MODE SELECT block descriptor); 0: variable. Nothing is sent if it is so already. */
  setBlockLength(blockBytes: number, buffered = true): DriveOutcome {
    if (this.#modeKnown && blockBytes === this.#blockBytes && buffered === this.#buffered) return "good";
    const parameters = this.#parameters;
    parameters.fill(0, 0, 12);
    parameters[2] = buffered ? 0x10 : 0;
    parameters[3] = 8;
    parameters[9] = blockBytes >>> 16;
    parameters[10] = blockBytes >>> 8;
    parameters[11] = blockBytes;
    const outcome = this.#sendPast(
      this.#build6(0x15, 0x10, 0, 0, 12),
      "out",
      this.#parametersAddress,
      12,
      this.#timeouts.commandMs,
    );
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
