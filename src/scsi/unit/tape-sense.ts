/** @module Sense that a tape port gives: residuals and flags as SSC-5 says under READ(6), SPACE(6), WRITE(6).
 *
 *  A residual counts blocks where FIXED is one, else bytes; for filemarks and SPACE it counts what was asked and not
 *  passed. VALID is set wherever INFORMATION is given (see sense.ts). */
import type { Sense } from "../sense.ts";
import { KEY_BLANK_CHECK, KEY_MEDIUM_ERROR, KEY_NO_SENSE, KEY_VOLUME_OVERFLOW } from "../senses.ts";

/** READ, VERIFY or SPACE over blocks met a filemark; the medium stands behind it (before it, spacing backwards). */
export function filemarkSense(residual: number): Sense {
  return { key: KEY_NO_SENSE, asc: 0x00, ascq: 0x01, filemark: true, information: residual };
}

/** READ, VERIFY, SPACE or LOCATE met the end of data. */
export function endOfDataSense(residual: number): Sense {
  return { key: KEY_BLANK_CHECK, asc: 0x00, ascq: 0x05, information: residual };
}

/** LOCATE met the end of data: no residual belongs to it. */
export const locateEndOfDataSense: Sense = { key: KEY_BLANK_CHECK, asc: 0x00, ascq: 0x05 };

/** SPACE backwards met the beginning of the partition. */
export function beginningOfPartitionSense(residual: number): Sense {
  return { key: KEY_NO_SENSE, asc: 0x00, ascq: 0x04, eom: true, information: residual };
}

/** WRITE or WRITE FILEMARKS at or past early warning: everything WAS written (residual 0). */
export const earlyWarningSense: Sense = {
  key: KEY_NO_SENSE,
  asc: 0x00,
  ascq: 0x02,
  eom: true,
  information: 0,
};

/** Programmable early warning (00/07): everything was written. */
export const programmableEarlyWarningSense: Sense = {
  key: KEY_NO_SENSE,
  asc: 0x00,
  ascq: 0x07,
  eom: true,
  information: 0,
};

/** WRITE past the physical end: `residual` of the transfer is not on the medium. */
export function volumeOverflowSense(residual: number): Sense {
  return { key: KEY_VOLUME_OVERFLOW, asc: 0x00, ascq: 0x02, eom: true, information: residual };
}

/** READ or SPACE met the end of the partition (no end-of-data mark before it). */
export function endOfPartitionSense(residual: number): Sense {
  return { key: KEY_MEDIUM_ERROR, asc: 0x00, ascq: 0x02, eom: true, information: residual };
}

/** A block had another length than asked for. */
export function incorrectLengthSense(residual: number): Sense {
  return { key: KEY_NO_SENSE, asc: 0x00, ascq: 0x00, ili: true, information: residual };
}

/** READ, FIXED = 0, of one block that was really `actualBytes` long (SSC-5 READ(6)): the sense, or null for GOOD.
 *  SILI lets short blocks pass, and long ones where the mode parameters' block length is 0.
 *  The residual is requested minus actual: negative for a longer block, of which the host gets the first part.
 *  Data-in is min(requested, actual) bytes in every case. */
export function variableReadSense(
  requestedBytes: number,
  actualBytes: number,
  sili: boolean,
  modeBlockBytes: number,
): Sense | null {
  if (actualBytes === requestedBytes) return null;
  if (sili && (actualBytes < requestedBytes || modeBlockBytes === 0)) return null;
  return incorrectLengthSense(requestedBytes - actualBytes);
}

/** READ, FIXED = 1, stopped by a block of another length after `goodBlocks` right ones: the residual counts blocks and
 *  the wrong one is not among the read. The medium stands behind the wrong block. */
export function fixedReadSense(requestedBlocks: number, goodBlocks: number): Sense {
  return incorrectLengthSense(requestedBlocks - goodBlocks);
}

/** A fault of the medium or drive in the middle of a transfer, with what was not done. */
export function transferFault(
  key: number,
  asc: number,
  ascq: number,
  residual?: number,
  deferred = false,
): Sense {
  const base = { key, asc, ascq, ...(deferred ? { deferred } : {}) };
  return residual === undefined ? base : { ...base, information: residual };
}
