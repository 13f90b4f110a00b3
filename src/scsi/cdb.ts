/** @module CDBs as an initiator sends them. Each builder fills a buffer of 16 bytes that the caller owns, zeros in the rest,
 *  and returns the CDB's real length: nothing is allocated for a block.
 *  The parsers of the replies are in inquiry.ts, sense.ts, unit/tape-position.ts, unit/log.ts, unit/element-status.ts
 *  and unit/attributes.ts, each beside its encoder; `replies.ts` gathers them. */
import { putU16, putU24, putU32, putU64 } from "./bytes.ts";
import * as op from "./opcodes.ts";

export const CDB_BYTES_MAX = 16;
const MODE_LIST_6_BYTES = 12;

/** A buffer for the builders, and views of it cut to every length, made once:
 *  `cdb.cut(putRewind(cdb.bytes))` is the CDB to send, without an allocation. */
export class CdbBuffer {
  readonly bytes = new Uint8Array(CDB_BYTES_MAX);
  readonly #cuts = Array.from({ length: CDB_BYTES_MAX + 1 }, (_, bytes) => this.bytes.subarray(0, bytes));

  cut(bytes: number): Uint8Array {
    return this.#cuts[bytes] ?? this.bytes;
  }
}

function begin(cdb: Uint8Array, opcode: number): number {
  cdb.fill(0, 0, CDB_BYTES_MAX);
  cdb[0] = opcode;
  return op.cdbBytes(opcode);
}

// --- every device (SPC-5) ---

export function putTestUnitReady(cdb: Uint8Array): number {
  return begin(cdb, op.TEST_UNIT_READY);
}

export function putRequestSense(cdb: Uint8Array, allocationBytes = 252): number {
  const bytes = begin(cdb, op.REQUEST_SENSE);
  cdb[4] = allocationBytes;
  return bytes;
}

export function putInquiry(cdb: Uint8Array, allocationBytes: number): number {
  const bytes = begin(cdb, op.INQUIRY);
  putU16(cdb, 3, allocationBytes);
  return bytes;
}

export function putInquiryVpd(cdb: Uint8Array, page: number, allocationBytes: number): number {
  const bytes = putInquiry(cdb, allocationBytes);
  cdb[1] = 1;
  cdb[2] = page;
  return bytes;
}

export function putReportLuns(cdb: Uint8Array, allocationBytes: number, select = 0): number {
  const bytes = begin(cdb, op.REPORT_LUNS);
  cdb[2] = select;
  putU32(cdb, 6, allocationBytes);
  return bytes;
}

/** `control`: 0 current, 1 changeable, 2 default, 3 saved. */
export function putModeSense6(
  cdb: Uint8Array,
  page: number,
  allocationBytes: number,
  control = 0,
  withoutBlockDescriptor = false,
): number {
  const bytes = begin(cdb, op.MODE_SENSE_6);
  cdb[1] = withoutBlockDescriptor ? 0x08 : 0;
  cdb[2] = (control << 6) | page;
  cdb[4] = allocationBytes;
  return bytes;
}

export function putModeSense10(
  cdb: Uint8Array,
  page: number,
  allocationBytes: number,
  control = 0,
  withoutBlockDescriptor = false,
): number {
  const bytes = begin(cdb, op.MODE_SENSE_10);
  cdb[1] = withoutBlockDescriptor ? 0x08 : 0;
  cdb[2] = (control << 6) | page;
  putU16(cdb, 7, allocationBytes);
  return bytes;
}

export function putModeSelect6(cdb: Uint8Array, listBytes: number): number {
  const bytes = begin(cdb, op.MODE_SELECT_6);
  cdb[1] = 0x10; // PF
  cdb[4] = listBytes;
  return bytes;
}

export function putModeSelect10(cdb: Uint8Array, listBytes: number): number {
  const bytes = begin(cdb, op.MODE_SELECT_10);
  cdb[1] = 0x10; // PF
  putU16(cdb, 7, listBytes);
  return bytes;
}

/** The parameter list of MODE SELECT(6) that sets the block length and no page; returns its length.
 *  `deviceSpecific`: buffered mode and speed (SSC-5). `blockBytes` 0: variable mode. */
export function putModeList6(
  list: Uint8Array,
  deviceSpecific: number,
  densityCode: number,
  blockBytes: number,
): number {
  list.fill(0, 0, MODE_LIST_6_BYTES);
  list[2] = deviceSpecific;
  list[3] = 8; // one block descriptor
  list[4] = densityCode;
  putU24(list, 9, blockBytes);
  return MODE_LIST_6_BYTES;
}

/** Cumulative values (page control 01b). */
export function putLogSense(cdb: Uint8Array, page: number, allocationBytes: number, pointer = 0): number {
  const bytes = begin(cdb, op.LOG_SENSE);
  cdb[2] = 0x40 | page;
  putU16(cdb, 5, pointer);
  putU16(cdb, 7, allocationBytes);
  return bytes;
}

/** Resets all counters (PCR). */
export function putLogSelectReset(cdb: Uint8Array): number {
  const bytes = begin(cdb, op.LOG_SELECT);
  cdb[1] = 0x02;
  cdb[2] = 0x40;
  return bytes;
}

export function putReserve6(cdb: Uint8Array): number {
  return begin(cdb, op.RESERVE_6);
}

export function putRelease6(cdb: Uint8Array): number {
  return begin(cdb, op.RELEASE_6);
}

export function putPreventAllow(cdb: Uint8Array, prevent: boolean): number {
  const bytes = begin(cdb, op.PREVENT_ALLOW);
  cdb[4] = prevent ? 1 : 0;
  return bytes;
}

/** All attribute values from `first` on. */
export function putReadAttribute(cdb: Uint8Array, first: number, allocationBytes: number): number {
  const bytes = begin(cdb, op.READ_ATTRIBUTE);
  putU16(cdb, 8, first);
  putU32(cdb, 10, allocationBytes);
  return bytes;
}

// --- tape (SSC-5) ---

/** What READ, WRITE, VERIFY, SPACE and WRITE FILEMARKS (6) share: flags in byte 1, a 24-bit count in bytes 2 to 4. */
function beginCounted6(cdb: Uint8Array, opcode: number, flags: number, count: number): number {
  const bytes = begin(cdb, opcode);
  cdb[1] = flags;
  putU24(cdb, 2, count);
  return bytes;
}

/** One variable block of `count` bytes, or, FIXED, `count` blocks. */
export function putWrite6(cdb: Uint8Array, count: number, fixed = false): number {
  return beginCounted6(cdb, op.WRITE_6, fixed ? 1 : 0, count);
}

export function putRead6(cdb: Uint8Array, count: number, fixed = false, sili = false): number {
  return beginCounted6(cdb, op.READ_6, (fixed ? 1 : 0) | (sili ? 2 : 0), count);
}

export function putVerify6(cdb: Uint8Array, count: number, fixed = false): number {
  return beginCounted6(cdb, op.VERIFY_6, fixed ? 1 : 0, count);
}

export function putWriteFilemarks(cdb: Uint8Array, count: number, immediate = false): number {
  return beginCounted6(cdb, op.WRITE_FILEMARKS_6, immediate ? 1 : 0, count);
}

/** `code`: 0 blocks, 1 filemarks, 3 end of data. `count` from -8388608 to 8388607. */
export function putSpace6(cdb: Uint8Array, code: number, count: number): number {
  return beginCounted6(cdb, op.SPACE_6, code, count);
}

export function putSpace16(cdb: Uint8Array, code: number, count: number): number {
  const bytes = begin(cdb, op.SPACE_16);
  cdb[1] = code;
  putU64(cdb, 4, count);
  return bytes;
}

export function putLocate10(cdb: Uint8Array, object: number, immediate = false): number {
  const bytes = begin(cdb, op.LOCATE_10);
  cdb[1] = immediate ? 1 : 0;
  putU32(cdb, 3, object);
  return bytes;
}

/** `type`: 0 logical object, 1 logical file, 3 end of data. */
export function putLocate16(cdb: Uint8Array, type: number, destination: number, immediate = false): number {
  const bytes = begin(cdb, op.LOCATE_16);
  cdb[1] = (type << 3) | (immediate ? 1 : 0);
  putU64(cdb, 4, destination);
  return bytes;
}

/** `serviceAction`: 0 short, 6 long, 8 extended (which alone has an allocation length). */
export function putReadPosition(cdb: Uint8Array, serviceAction = 0): number {
  const bytes = begin(cdb, op.READ_POSITION);
  cdb[1] = serviceAction;
  if (serviceAction === 8) putU16(cdb, 7, 32);
  return bytes;
}

export function putRewind(cdb: Uint8Array, immediate = false): number {
  const bytes = begin(cdb, op.REWIND);
  cdb[1] = immediate ? 1 : 0;
  return bytes;
}

export function putLoadUnload(cdb: Uint8Array, load: boolean, immediate = false): number {
  const bytes = begin(cdb, op.LOAD_UNLOAD);
  cdb[1] = immediate ? 1 : 0;
  cdb[4] = load ? 1 : 0;
  return bytes;
}

export function putErase6(cdb: Uint8Array, long: boolean, immediate = false): number {
  const bytes = begin(cdb, op.ERASE_6);
  cdb[1] = (long ? 1 : 0) | (immediate ? 2 : 0);
  return bytes;
}

export function putReadBlockLimits(cdb: Uint8Array): number {
  return begin(cdb, op.READ_BLOCK_LIMITS);
}

export function putReportDensitySupport(cdb: Uint8Array, allocationBytes: number, ofMedium: boolean): number {
  const bytes = begin(cdb, op.REPORT_DENSITY_SUPPORT);
  cdb[1] = ofMedium ? 1 : 0;
  putU16(cdb, 7, allocationBytes);
  return bytes;
}

// --- changer (SMC-3) ---

export function putInitializeElementStatus(cdb: Uint8Array): number {
  return begin(cdb, op.INITIALIZE_ELEMENT_STATUS);
}

export function putMoveMedium(
  cdb: Uint8Array,
  transport: number,
  source: number,
  destination: number,
): number {
  const bytes = begin(cdb, op.MOVE_MEDIUM);
  putU16(cdb, 2, transport);
  putU16(cdb, 4, source);
  putU16(cdb, 6, destination);
  return bytes;
}

/** What is at `source` goes to `first`, what was there to `second`. */
export function putExchangeMedium(
  cdb: Uint8Array,
  transport: number,
  source: number,
  first: number,
  second: number,
): number {
  const bytes = begin(cdb, op.EXCHANGE_MEDIUM);
  putU16(cdb, 2, transport);
  putU16(cdb, 4, source);
  putU16(cdb, 6, first);
  putU16(cdb, 8, second);
  return bytes;
}

export function putPositionToElement(cdb: Uint8Array, transport: number, destination: number): number {
  const bytes = begin(cdb, op.POSITION_TO_ELEMENT);
  putU16(cdb, 2, transport);
  putU16(cdb, 4, destination);
  return bytes;
}

export interface ElementStatusOptions {
  /** 0: all types. */
  readonly type?: number;
  readonly first?: number;
  readonly count?: number;
  readonly volumeTags?: boolean;
  /** Let the robot stand still: answer from what is known. */
  readonly currentData?: boolean;
  readonly deviceIds?: boolean;
}

export function putReadElementStatus(
  cdb: Uint8Array,
  allocationBytes: number,
  options: ElementStatusOptions = {},
): number {
  const { type = 0, first = 0, count = 0xffff } = options;
  const { volumeTags = true, currentData = false, deviceIds = false } = options;
  const bytes = begin(cdb, op.READ_ELEMENT_STATUS);
  cdb[1] = (volumeTags ? 0x10 : 0) | type;
  putU16(cdb, 2, first);
  putU16(cdb, 4, count);
  cdb[6] = (currentData ? 0x02 : 0) | (deviceIds ? 0x01 : 0);
  putU24(cdb, 7, allocationBytes);
  return bytes;
}
