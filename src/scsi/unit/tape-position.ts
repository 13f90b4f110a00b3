/** @module READ POSITION in its three forms (SSC-5): one position, encoded and parsed.
 *
 *      short, 20 bytes   0 flags  1 partition  4 first (32)  8 last (32)  13 blocks in buffer (24)  16 bytes in buffer (32)
 *      long, 32 bytes    0 flags  4 partition (32)  8 logical object number (64)  16 logical file identifier (64)
 *      extended, 32      0 flags  1 partition  2 length 1Ch  5 blocks in buffer (24)  8 first (64)  16 last (64)  24 bytes (64)
 */
import { putU16, putU24, putU32, putU64, u8, u24, u32, u64 } from "../bytes.ts";
import type { Task } from "./task.ts";

export const READ_POSITION_SHORT = 0x00;
export const READ_POSITION_LONG = 0x06;
export const READ_POSITION_EXTENDED = 0x08;
export const SHORT_POSITION_BYTES = 20;
export const LONG_POSITION_BYTES = 32;
export const EXTENDED_POSITION_BYTES = 32;

/** One object is used again and again: ports keep it current and encode from it. */
export class TapePosition {
  bop = false;
  eop = false;
  /** The device does not know where the medium stands (short, extended: LOLU, once BPU; long: MPU and LONU). */
  positionUnknown = false;
  /** LOCU: the count of logical objects in the buffer is not known. */
  objectCountUnknown = false;
  /** BYCU: the count of bytes in the buffer is not known. */
  byteCountUnknown = false;
  /** PERR: a number does not fit its field; the encoders set it by themselves where that is so. */
  overflow = false;
  /** BPEW: beyond programmable early warning. */
  beyondProgrammableEarlyWarning = false;
  partition = 0;
  /** First logical object location: the host's position. */
  first = 0;
  /** Last logical object location: the first object that is not on the medium yet. */
  last = 0;
  blocksInBuffer = 0;
  bytesInBuffer = 0;
  /** Filemarks between the beginning of the partition and here. */
  fileNumber = 0;
}

const U24_MAX = 0xff_ffff;
const U32_MAX = 0xffff_ffff;

/** Byte 0 as the short and the extended form share it. */
function flags(position: TapePosition, overflow: boolean): number {
  return (
    (position.bop ? 0x80 : 0) |
    (position.eop ? 0x40 : 0) |
    (position.objectCountUnknown ? 0x20 : 0) |
    (position.byteCountUnknown ? 0x10 : 0) |
    (position.positionUnknown ? 0x04 : 0) |
    (overflow || position.overflow ? 0x02 : 0) |
    (position.beyondProgrammableEarlyWarning ? 0x01 : 0)
  );
}

export function encodeReadPositionShort(position: TapePosition, into: Uint8Array): number {
  into.fill(0, 0, SHORT_POSITION_BYTES);
  const overflow =
    position.first > U32_MAX ||
    position.last > U32_MAX ||
    position.blocksInBuffer > U24_MAX ||
    position.bytesInBuffer > U32_MAX;
  into[0] = flags(position, overflow);
  into[1] = position.partition;
  putU32(into, 4, Math.min(position.first, U32_MAX));
  putU32(into, 8, Math.min(position.last, U32_MAX));
  putU24(into, 13, Math.min(position.blocksInBuffer, U24_MAX));
  putU32(into, 16, Math.min(position.bytesInBuffer, U32_MAX));
  return SHORT_POSITION_BYTES;
}

export function encodeReadPositionLong(position: TapePosition, into: Uint8Array): number {
  into.fill(0, 0, LONG_POSITION_BYTES);
  into[0] =
    (position.bop ? 0x80 : 0) |
    (position.eop ? 0x40 : 0) |
    (position.positionUnknown ? 0x0c : 0) |
    (position.beyondProgrammableEarlyWarning ? 0x01 : 0);
  putU32(into, 4, position.partition);
  putU64(into, 8, position.first);
  putU64(into, 16, position.fileNumber);
  return LONG_POSITION_BYTES;
}

export function encodeReadPositionExtended(position: TapePosition, into: Uint8Array): number {
  into.fill(0, 0, EXTENDED_POSITION_BYTES);
  into[0] = flags(position, position.blocksInBuffer > U24_MAX);
  into[1] = position.partition;
  putU16(into, 2, EXTENDED_POSITION_BYTES - 4);
  putU24(into, 5, Math.min(position.blocksInBuffer, U24_MAX));
  putU64(into, 8, position.first);
  putU64(into, 16, position.last);
  putU64(into, 24, position.bytesInBuffer);
  return EXTENDED_POSITION_BYTES;
}

/** Ends a "readPosition" task with the form that it asked for. */
export function completeReadPosition(task: Task, position: TapePosition): void {
  switch (task.tape.serviceAction) {
    case READ_POSITION_LONG:
      task.completeWithData(encodeReadPositionLong(position, task.parameters));
      return;
    case READ_POSITION_EXTENDED:
      task.completeWithData(Math.min(encodeReadPositionExtended(position, task.parameters), task.tape.count));
      return;
    default:
      task.completeWithData(encodeReadPositionShort(position, task.parameters));
  }
}

/** Fills `position` from the short form; false where the reply is too short to be one. */
export function parseReadPositionShort(reply: Uint8Array, position: TapePosition): boolean {
  if (reply.length < SHORT_POSITION_BYTES) return false;
  parseFlags(u8(reply, 0), position);
  position.partition = u8(reply, 1);
  position.first = u32(reply, 4);
  position.last = u32(reply, 8);
  position.blocksInBuffer = u24(reply, 13);
  position.bytesInBuffer = u32(reply, 16);
  return true;
}

/** Fills what the long form has: flags, partition, `first`, `fileNumber`. */
export function parseReadPositionLong(reply: Uint8Array, position: TapePosition): boolean {
  if (reply.length < LONG_POSITION_BYTES) return false;
  const byte = u8(reply, 0);
  position.bop = (byte & 0x80) !== 0;
  position.eop = (byte & 0x40) !== 0;
  position.positionUnknown = (byte & 0x0c) !== 0;
  position.beyondProgrammableEarlyWarning = (byte & 0x01) !== 0;
  position.partition = u32(reply, 4);
  position.first = u64(reply, 8);
  position.fileNumber = u64(reply, 16);
  return true;
}

export function parseReadPositionExtended(reply: Uint8Array, position: TapePosition): boolean {
  if (reply.length < EXTENDED_POSITION_BYTES) return false;
  parseFlags(u8(reply, 0), position);
  position.partition = u8(reply, 1);
  position.blocksInBuffer = u24(reply, 5);
  position.first = u64(reply, 8);
  position.last = u64(reply, 16);
  position.bytesInBuffer = u64(reply, 24);
  return true;
}

function parseFlags(byte: number, position: TapePosition): void {
  position.bop = (byte & 0x80) !== 0;
  position.eop = (byte & 0x40) !== 0;
  position.objectCountUnknown = (byte & 0x20) !== 0;
  position.byteCountUnknown = (byte & 0x10) !== 0;
  position.positionUnknown = (byte & 0x04) !== 0;
  position.overflow = (byte & 0x02) !== 0;
  position.beyondProgrammableEarlyWarning = (byte & 0x01) !== 0;
}
