/** @module LOCATE and READ POSITION for drives that have neither (Linux' tgtd, old drives): by counting, REWIND and SPACE.
 *  Stands between `TapeDrive` and any transport; a drive that can tell its place is left alone.
 *  (1) What the drive can is found out at the first REWIND: it stands at the beginning then, and must say so.
 *  (2) READ POSITION of a drive that cannot tell what is on its medium synchronises first: what is confirmed is on the
 *      medium because nothing is in the drive's buffer.
 *  (3) Objects that nobody has counted are walked over by READ, one by one: drives differ in what SPACE over blocks does
 *      at a filemark (tgtd passes it) and at the end of data, READ is clear. So SPACE is used only over objects that
 *      are mapped, and the answers given upwards are those of the standard.
 *  (4) A command that moves relatively is passed on once, as it is. */
import { ptr } from "bun:ffi";
import { CommandReply, type DataDirection } from "../base/command-reply.ts";
import { libc } from "../base/ffi.ts";
import { i24, i64, u8, u24, u32, u64 } from "../scsi/bytes.ts";
import * as put from "../scsi/cdb.ts";
import * as op from "../scsi/opcodes.ts";
import { encodeFixedSense, parseSense, type Sense } from "../scsi/sense.ts";
import * as key from "../scsi/senses.ts";
import {
  encodeReadPositionLong,
  encodeReadPositionShort,
  parseReadPositionShort,
  READ_POSITION_LONG,
  READ_POSITION_SHORT,
  SHORT_POSITION_BYTES,
  TapePosition,
} from "../scsi/unit/tape-position.ts";
import { STATUS_CHECK_CONDITION, STATUS_GOOD } from "../scsi/unit/task.ts";
import { type DriveOutcome, outcomeOf } from "./outcome.ts";
import { TapeMap } from "./tape-map.ts";
import type { Transport } from "./transport.ts";

/** "locate": the drive tells its place. "space": it does not, we count. "unknown": not found out yet. */
export type Positioning = "unknown" | "locate" | "space";

const SPACE_COUNT_MAX = 0x7fffff;
/** Own buffer: a walk reads so much of each block, a position is encoded behind it. */
const WALK_BYTES = 64;
const BUFFER_BYTES = 128;
const endOfDataSense = { key: key.KEY_BLANK_CHECK, asc: 0x00, ascq: 0x05 };
const filemarkSense = { key: 0, asc: 0x00, ascq: 0x01, filemark: true };
const beginningSense = { key: 0, asc: 0x00, ascq: 0x04, eom: true };

export class SpacingTransport implements Transport {
  readonly inner: Transport;
  readonly map = new TapeMap();
  positioning: Positioning = "unknown";
  readonly #cdbs = new put.CdbBuffer();
  readonly #buffer = new Uint8Array(new ArrayBuffer(BUFFER_BYTES));
  readonly #bufferAddress = Number(ptr(this.#buffer));
  readonly #encoded = this.#buffer.subarray(WALK_BYTES);
  readonly #told = new TapePosition();
  readonly #probed = new CommandReply();
  #deadlineMs = 0;

  constructor(inner: Transport) {
    this.inner = inner;
  }

  get describe(): string {
    return this.inner.describe;
  }

  execute(
    cdb: Uint8Array,
    direction: DataDirection,
    dataAddress: number,
    dataBytes: number,
    timeoutMs: number,
    reply: CommandReply,
  ): void {
    if (this.positioning === "locate") {
      this.inner.execute(cdb, direction, dataAddress, dataBytes, timeoutMs, reply);
      return;
    }
    this.#deadlineMs = performance.now() + timeoutMs;
    if (this.positioning === "space" && this.#emulated(cdb, dataAddress, dataBytes, reply)) return;
    this.inner.execute(cdb, direction, dataAddress, dataBytes, timeoutMs, reply);
    const outcome = this.#outcome(reply);
    this.#count(cdb, outcome, reply);
    const opcode = u8(cdb, 0);
    if (this.positioning === "space") {
      if (opcode === op.READ_6 && outcome === "incorrectLength") this.#readWhole(cdb, dataAddress, reply);
      return;
    }
    if (opcode === op.REWIND && outcome === "good") this.#probe();
    else if (isUnsupportedLocate(opcode, reply)) {
      this.positioning = "space";
      this.#emulated(cdb, dataAddress, dataBytes, reply);
    }
  }

  close(): void {
    this.inner.close();
  }

  /** tgtd sends as many bytes of a block that is shorter than asked for as are missing: read anew at its own length. */
  #readWhole(cdb: Uint8Array, dataAddress: number, reply: CommandReply): void {
    const information = this.#sense(reply)?.information ?? 0;
    const bytes = u24(cdb, 2) - information;
    if ((u8(cdb, 1) & 1) !== 0 || information <= 0 || bytes <= 0) return;
    if (reply.transferredBytes === bytes || this.map.object < 1) return;
    const object = this.map.object - 1;
    const back = this.#run(put.putSpace6(this.#cdbs.bytes, 0, -1), "none", 0, reply);
    if (back !== "good") return;
    this.map.object = object;
    const again = this.#cdbs.cut(put.putRead6(this.#cdbs.bytes, bytes, false));
    this.inner.execute(again, "in", dataAddress, bytes, this.#leftMs(), reply);
    const outcome = this.#outcome(reply);
    this.#count(again, outcome, reply);
    if (outcome !== "good" || reply.transferredBytes !== bytes) return;
    answer(reply, { key: 0, asc: 0, ascq: 0, ili: true, information });
    reply.transferredBytes = bytes;
  }

  // --- counting ---

  #count(cdb: Uint8Array, outcome: DriveOutcome, reply: CommandReply): void {
    const { map } = this;
    const opcode = u8(cdb, 0);
    const moved = outcome === "good" || outcome === "earlyWarning";
    switch (opcode) {
      case op.WRITE_6: {
        const blocks = (u8(cdb, 1) & 1) !== 0 ? u24(cdb, 2) : 1;
        if (moved) map.wrote(u24(cdb, 2) === 0 ? 0 : blocks);
        else if (outcome === "endOfMedium") this.#wroteInPart(cdb, blocks, reply);
        else if (outcome !== "busy" && !isRefusal(outcome, reply)) map.lose();
        return;
      }
      case op.WRITE_FILEMARKS_6:
        if (moved) {
          map.wroteMarks(u24(cdb, 2));
          if ((u8(cdb, 1) & 1) === 0) map.synchronised();
        } else if (outcome !== "busy" && !isRefusal(outcome, reply)) map.lose();
        return;
      case op.READ_6:
      case op.VERIFY_6:
        this.#countRead(cdb, outcome, reply);
        return;
      case op.REWIND:
        if (outcome === "good") {
          map.synchronised(); // rewinding writes what is in the buffer
          map.object = 0;
        } else if (!isRefusal(outcome, reply)) map.object = -1;
        return;
      case op.LOAD_UNLOAD:
        map.forget();
        if (outcome === "good" && (u8(cdb, 4) & 1) !== 0) map.object = 0;
        return;
      case op.SPACE_6:
      case op.SPACE_16:
      case op.LOCATE_10:
      case op.LOCATE_16:
        if (!isRefusal(outcome, reply)) map.object = -1;
        return;
      case op.ERASE_6:
        if (map.object >= 0 && outcome === "good") map.metEnd();
        else if (!isRefusal(outcome, reply)) map.lose();
    }
  }

  #wroteInPart(cdb: Uint8Array, blocks: number, reply: CommandReply): void {
    const { information } = this.#sense(reply) ?? {};
    const fixed = (u8(cdb, 1) & 1) !== 0;
    if (information === undefined) this.map.lose();
    else if (fixed && information < blocks) this.map.wrote(blocks - information);
  }

  #countRead(cdb: Uint8Array, outcome: DriveOutcome, reply: CommandReply): void {
    const { map } = this;
    const fixed = (u8(cdb, 1) & 1) !== 0;
    const asked = u24(cdb, 2);
    const information = reply.status === STATUS_GOOD ? 0 : (this.#sense(reply)?.information ?? 0);
    const whole = fixed ? Math.max(0, asked - information) : 0;
    if (asked === 0 && outcome === "good") return;
    switch (outcome) {
      case "good":
      case "earlyWarning":
        map.passedBlocks(fixed ? asked : 1);
        return;
      case "incorrectLength":
        map.passedBlocks(whole + 1);
        return;
      case "filemark":
        map.passedBlocks(whole);
        map.passedMark();
        return;
      case "endOfData":
        map.passedBlocks(whole);
        map.metEnd();
        return;
      default:
        if (outcome !== "busy" && !isRefusal(outcome, reply)) map.object = -1;
    }
  }

  #sense(reply: CommandReply): Sense | null {
    return reply.senseBytes > 0 ? parseSense(reply.sense.subarray(0, reply.senseBytes)) : null;
  }

  /** What came of it; a loss, a reset, a new medium are noted here. */
  #outcome(reply: CommandReply): DriveOutcome {
    if (!reply.reached) {
      this.map.lose();
      return "unreachable";
    }
    if (reply.status === STATUS_GOOD) return "good";
    const sense = this.#sense(reply);
    const outcome = outcomeOf(reply.status, sense);
    if (outcome === "unitAttention") {
      if (sense?.asc === 0x28) this.map.forget();
      else this.map.lose();
    } else if (outcome === "deferredError") this.map.lose();
    else if (sense?.asc === 0x3a) this.map.forget();
    return outcome;
  }

  /** The drive stands at the beginning: does it know? */
  #probe(): void {
    const cdb = this.#cdbs.cut(put.putReadPosition(this.#cdbs.bytes, READ_POSITION_SHORT));
    const told = this.#probed;
    this.inner.execute(cdb, "in", this.#bufferAddress, SHORT_POSITION_BYTES, this.#leftMs(), told);
    const outcome = this.#outcome(told);
    const refused = outcome === "error" && this.#sense(told)?.key === key.KEY_ILLEGAL_REQUEST;
    if (outcome !== "good" && !refused) return;
    const parsed = parseReadPositionShort(this.#buffer.subarray(0, told.transferredBytes), this.#told);
    const tells = outcome === "good" && parsed && !this.#told.positionUnknown && this.#told.first === 0;
    this.positioning = tells ? "locate" : "space";
    if (tells) this.map.forget();
  }

  // --- what the drive cannot ---

  /** false: the drive does it itself. */
  #emulated(cdb: Uint8Array, dataAddress: number, dataBytes: number, reply: CommandReply): boolean {
    const code = u8(cdb, 1) & 0x0f;
    switch (u8(cdb, 0)) {
      case op.READ_POSITION:
        this.#tellPosition(u8(cdb, 1) & 0x1f, dataAddress, dataBytes, reply);
        return true;
      case op.LOCATE_10:
        this.#locate(u32(cdb, 3), reply);
        return true;
      case op.LOCATE_16:
        this.#locate(u64(cdb, 4), reply);
        return true;
      case op.SPACE_6:
        return this.#space(code, i24(cdb, 2), reply);
      case op.SPACE_16:
        return this.#space(code, i64(cdb, 4), reply);
      default:
        return false;
    }
  }

  #tellPosition(form: number, dataAddress: number, dataBytes: number, reply: CommandReply): void {
    const { map } = this;
    reply.clear();
    if (map.object >= 0 && map.unsynchronised && !this.#synchronise(reply)) return;
    const told = this.#told;
    told.positionUnknown = map.object < 0;
    told.bop = map.object === 0;
    told.eop = told.objectCountUnknown = told.byteCountUnknown = told.overflow = false;
    told.first = told.last = Math.max(0, map.object);
    told.partition = told.blocksInBuffer = told.bytesInBuffer = 0;
    told.fileNumber = map.firstMark(told.first);
    reply.clear();
    const bytes =
      form === READ_POSITION_LONG
        ? encodeReadPositionLong(told, this.#encoded)
        : encodeReadPositionShort(told, this.#encoded);
    reply.transferredBytes = Math.min(bytes, dataBytes);
    libc.memcpy(dataAddress, this.#bufferAddress + WALK_BYTES, reply.transferredBytes);
  }

  #synchronise(reply: CommandReply): boolean {
    const outcome = this.#run(put.putWriteFilemarks(this.#cdbs.bytes, 0, false), "none", 0, reply);
    return outcome === "good" || outcome === "earlyWarning";
  }

  #locate(object: number, reply: CommandReply): void {
    if (!this.#mapTo(object, 0, reply)) return;
    const { end } = this.map;
    if (end >= 0 && object > end) {
      if (this.#moveTo(end, reply)) answer(reply, endOfDataSense);
    } else if (this.#moveTo(object, reply)) reply.clear();
  }

  #space(code: number, count: number, reply: CommandReply): boolean {
    const { map } = this;
    if (code === 3) {
      if (this.#mapTo(Number.POSITIVE_INFINITY, 0, reply) && this.#moveTo(map.end, reply)) reply.clear();
      return true;
    }
    if (map.object < 0 || code > 1) return false;
    if (map.unsynchronised && !this.#synchronise(reply)) return true;
    if (count === 0) reply.clear();
    else if (code === 0) {
      if (count > 0) this.#blocksOn(count, reply);
      else this.#blocksBack(-count, reply);
    } else if (count > 0) this.#marksOn(count, reply);
    else this.#marksBack(-count, reply);
    return true;
  }

  #blocksOn(count: number, reply: CommandReply): void {
    const { map } = this;
    const start = map.object;
    if (!this.#mapTo(start + count, 1, reply)) return;
    const mark = map.marks[map.firstMark(start)] ?? Number.POSITIVE_INFINITY;
    if (mark < start + count) this.#land(mark + 1, filemarkSense, count - (mark - start), reply);
    else if (map.end >= 0 && map.end < start + count)
      this.#land(map.end, endOfDataSense, count - (map.end - start), reply);
    else this.#land(start + count, null, 0, reply);
  }

  #blocksBack(count: number, reply: CommandReply): void {
    const { map } = this;
    const start = map.object;
    const mark = map.marks[map.firstMark(start) - 1] ?? -1;
    if (mark >= start - count && mark >= 0)
      this.#land(mark, filemarkSense, count - (start - 1 - mark), reply);
    else if (count > start) this.#land(0, beginningSense, count - start, reply);
    else this.#land(start - count, null, 0, reply);
  }

  #marksOn(count: number, reply: CommandReply): void {
    const { map } = this;
    const first = map.firstMark(map.object);
    if (!this.#mapTo(Number.POSITIVE_INFINITY, count, reply)) return;
    const mark = map.marks[first + count - 1];
    if (mark !== undefined) this.#land(mark + 1, null, 0, reply);
    else this.#land(map.end, endOfDataSense, count - (map.marks.length - first), reply);
  }

  #marksBack(count: number, reply: CommandReply): void {
    const { map } = this;
    const before = map.firstMark(map.object);
    const mark = map.marks[before - count];
    if (before >= count && mark !== undefined) this.#land(mark, null, 0, reply);
    else this.#land(0, beginningSense, count - before, reply);
  }

  #land(object: number, sense: Sense | null, information: number, reply: CommandReply): void {
    if (!this.#moveTo(object, reply)) return;
    if (sense === null) reply.clear();
    else answer(reply, { ...sense, information });
  }

  /** Walks until `object` is mapped, the end of data is known, or, `marks` > 0, so many filemarks from here on are. */
  #mapTo(object: number, marks: number, reply: CommandReply): boolean {
    const { map } = this;
    const first = map.firstMark(Math.max(0, map.object));
    const enough = () =>
      map.mapped >= object || map.end >= 0 || (marks > 0 && map.marks.length - first >= marks);
    if (enough()) return true;
    if (!this.#moveTo(map.mapped, reply)) return false;
    while (!enough()) {
      const outcome = this.#run(put.putRead6(this.#cdbs.bytes, WALK_BYTES, false), "in", WALK_BYTES, reply);
      const passed = outcome === "good" || outcome === "incorrectLength" || outcome === "earlyWarning";
      if (!passed && outcome !== "filemark" && outcome !== "endOfData") return false;
    }
    return true;
  }

  /** To a mapped object. false: the reply says why not. */
  #moveTo(object: number, reply: CommandReply): boolean {
    const { map } = this;
    if (map.object === object) return true;
    if (map.unsynchronised && map.object >= 0 && !this.#synchronise(reply)) return false;
    if (object === map.end) {
      const outcome = this.#run(put.putSpace6(this.#cdbs.bytes, 3, 0), "none", 0, reply);
      if (outcome !== "good" && outcome !== "endOfData") return false;
      map.object = object;
      return true;
    }
    if (map.object < 0 || map.object > object) {
      if (this.#run(put.putRewind(this.#cdbs.bytes), "none", 0, reply) !== "good") return false;
    }
    while (map.object < object) if (!this.#spaceOn(object, reply)) return false;
    return true;
  }

  /** One SPACE towards a mapped object. Conforming drives stop behind a filemark, others count it as one more object. */
  #spaceOn(object: number, reply: CommandReply): boolean {
    const { map } = this;
    const start = map.object;
    const count = Math.min(object - start, SPACE_COUNT_MAX);
    const outcome = this.#run(put.putSpace6(this.#cdbs.bytes, 0, count), "none", 0, reply);
    const mark = map.marks[map.firstMark(start)] ?? Number.POSITIVE_INFINITY;
    if (outcome === "good") map.object = start + count;
    else if (outcome === "filemark" && mark < start + count) map.object = mark + 1;
    // Counted to the very last object: some drives say so though nothing is missing.
    else if (outcome === "endOfData" && start + count === map.mapped) map.object = map.end = map.mapped;
    else return false;
    return true;
  }

  /** One command of our own; counted as the host's are. */
  #run(cdbBytes: number, direction: DataDirection, bytes: number, reply: CommandReply): DriveOutcome {
    const cdb = this.#cdbs.cut(cdbBytes);
    this.inner.execute(cdb, direction, this.#bufferAddress, bytes, this.#leftMs(), reply);
    const outcome = this.#outcome(reply);
    this.#count(cdb, outcome, reply);
    return outcome;
  }

  #leftMs(): number {
    return Math.max(1, this.#deadlineMs - performance.now());
  }
}

/** The drive did not take the command: nothing moved. */
function isRefusal(outcome: DriveOutcome, reply: CommandReply): boolean {
  if (outcome === "busy" || outcome === "reservationConflict") return true;
  return outcome === "error" && reply.senseBytes > 2 && (u8(reply.sense, 2) & 15) === key.KEY_ILLEGAL_REQUEST;
}

function isUnsupportedLocate(opcode: number, reply: CommandReply): boolean {
  const isLocate = opcode === op.LOCATE_10 || opcode === op.LOCATE_16;
  return isLocate && reply.reached && reply.senseBytes > 12 && u8(reply.sense, 12) === 0x20;
}

function answer(reply: CommandReply, sense: Sense): void {
  reply.clear();
  reply.status = STATUS_CHECK_CONDITION;
  reply.senseBytes = encodeFixedSense(sense, reply.sense);
}
