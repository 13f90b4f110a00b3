/** @module REPORT LUNS (SPC-5): LUNs in peripheral device addressing (to 255), else flat space addressing. */
import { putU16, putU32 } from "../bytes.ts";

/** Writes the list for a SELECT REPORT code; returns the whole length, -1 where the code is unknown. */
export function encodeReportLuns(select: number, luns: readonly number[], into: Uint8Array): number {
  if (select > 2) return -1;
  const reported = select === 1 ? [] : luns; // 1: well-known logical units only, of which there are none
  into.fill(0, 0, Math.min(into.length, 8 + reported.length * 8));
  putU32(into, 0, reported.length * 8);
  for (const [index, lun] of reported.entries()) {
    putU16(into, 8 + index * 8, lun < 256 ? lun : 0x4000 | (lun & 0x3fff));
  }
  return 8 + reported.length * 8;
}

/** LUNs out of a reply, as far as it reaches; addressing methods 0 and 1. */
export function parseReportLuns(reply: Uint8Array): number[] {
  const luns: number[] = [];
  for (let at = 8; at + 8 <= reply.length; at += 8) luns.push(((reply[at]! & 0x3f) << 8) | reply[at + 1]!);
  return luns;
}
