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

/** Reads sense as a device gave it: fixed (70h, 71h) or descriptor format (72h, 73h); null where it is neither. */
export function parseSense(bytes: Uint8Array): Sense | null {
  if (bytes.length === 0) return null;
  switch (bytes[0]! & 0x7f) {
    case 0x70:
      return parseFixed(bytes, false);
    case 0x71:
      return parseFixed(bytes, true);
    case 0x72:
      return parseDescriptors(bytes, false);
    case 0x73:
      return parseDescriptors(bytes, true);
    default:
      return null;
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function parseFixed(bytes: Uint8Array, deferred: boolean): Sense | null {
  if (bytes.length < 3) return null;
  // ADDITIONAL SENSE LENGTH may promise less than what lies in the buffer: bytes beyond it mean nothing.
  const end = bytes.length < 8 ? bytes.length : Math.min(bytes.length, 8 + bytes[7]!);
  const at = (index: number): number => (index < end ? bytes[index]! : 0);
  const sense: Mutable<Sense> = { key: bytes[2]! & 15, asc: at(12), ascq: at(13) };
  if (deferred) sense.deferred = true;
  if (bytes[2]! & 0x80) sense.filemark = true;
  if (bytes[2]! & 0x40) sense.eom = true;
  if (bytes[2]! & 0x20) sense.ili = true;
  if (bytes[0]! & 0x80) sense.information = (at(3) << 24) | (at(4) << 16) | (at(5) << 8) | at(6);
  readFieldPointer(sense, at(15), (at(16) << 8) | at(17));
  return sense;
}

function parseDescriptors(bytes: Uint8Array, deferred: boolean): Sense | null {
  if (bytes.length < 4) return null;
  const sense: Mutable<Sense> = { key: bytes[1]! & 15, asc: bytes[2]!, ascq: bytes[3]! };
  if (deferred) sense.deferred = true;
  const end = Math.min(bytes.length, 8 + (bytes[7] ?? 0));
  for (let at = 8; at + 1 < end; at += 2 + bytes[at + 1]!) {
    const byte = (offset: number): number => (at + offset < end ? bytes[at + offset]! : 0);
    switch (bytes[at]) {
      case 0x00: // information
        if (byte(2) & 0x80)
          sense.information = (byte(8) << 24) | (byte(9) << 16) | (byte(10) << 8) | byte(11);
        break;
      case 0x02: // sense-key specific
        readFieldPointer(sense, byte(4), (byte(5) << 8) | byte(6));
        break;
      case 0x04: // stream commands
        if (byte(3) & 0x80) sense.filemark = true;
        if (byte(3) & 0x40) sense.eom = true;
        if (byte(3) & 0x20) sense.ili = true;
        break;
    }
  }
  return sense;
}

function readFieldPointer(sense: Mutable<Sense>, flags: number, byte: number): void {
  if (sense.key !== 5 || (flags & 0x80) === 0) return;
  const inCdb = (flags & 0x40) !== 0;
  sense.fieldPointer = flags & 0x08 ? { inCdb, byte, bit: flags & 7 } : { inCdb, byte };
}

/** "5/24/00" as people and the fault table write it. */
export function senseText(sense: Sense): string {
  const hex = (value: number): string => value.toString(16).padStart(2, "0").toUpperCase();
  const flags = [
    sense.deferred ? "deferred" : "",
    sense.filemark ? "filemark" : "",
    sense.eom ? "EOM" : "",
    sense.ili ? "ILI" : "",
    sense.information === undefined ? "" : `information ${sense.information}`,
  ].filter((flag) => flag !== "");
  const code = `${sense.key.toString(16).toUpperCase()}/${hex(sense.asc)}/${hex(sense.ascq)}`;
  return flags.length === 0 ? code : `${code} (${flags.join(", ")})`;
}
