/** @module Sense data (SPC-5 §4.4): fixed format, current 70h and deferred 71h. */

export interface Sense {
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  readonly filemark?: boolean;
  readonly eom?: boolean;
  readonly ili?: boolean;
  /** INFORMATION field; VALID is set where this is given. May be negative (two's complement). */
  readonly information?: number;
  readonly deferred?: boolean;
  /** Sense-key specific: byte (and bit) of the CDB or parameter list in error (SPC-5 §4.4.2.4.2). */
  readonly fieldPointer?: { readonly inCdb: boolean; readonly byte: number; readonly bit?: number };
}

export const FIXED_SENSE_BYTES = 18;

/** Writes fixed-format sense; returns its length (18). */
export function encodeFixedSense(sense: Sense, into: Uint8Array): number {
  into.fill(0, 0, FIXED_SENSE_BYTES);
  into[0] = (sense.deferred ? 0x71 : 0x70) | (sense.information === undefined ? 0 : 0x80);
  into[2] = (sense.filemark ? 0x80 : 0) | (sense.eom ? 0x40 : 0) | (sense.ili ? 0x20 : 0) | (sense.key & 15);
  const information = (sense.information ?? 0) | 0;
  into[3] = information >>> 24;
  into[4] = information >>> 16;
  into[5] = information >>> 8;
  into[6] = information;
  into[7] = FIXED_SENSE_BYTES - 8;
  into[12] = sense.asc;
  into[13] = sense.ascq;
  if (sense.fieldPointer !== undefined) {
    const { inCdb, byte, bit } = sense.fieldPointer;
    into[15] = 0x80 | (inCdb ? 0x40 : 0) | (bit === undefined ? 0 : 0x08 | bit);
    into[16] = byte >>> 8;
    into[17] = byte;
  }
  return FIXED_SENSE_BYTES;
}
