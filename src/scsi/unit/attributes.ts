/** @module READ ATTRIBUTE (SPC-5): the attributes of cartridge and device that hosts look for. Read only.
 *
 *      attribute  0 identifier (16)  2 READ ONLY, format  3 length (16)  5 value  */
import { MIB } from "../../base/units.ts";
import { ascii, putAscii, putU16, putU32, putU64, u8, u16, u32 } from "../bytes.ts";
import type { TapeMedium } from "./ports.ts";

const READ_ONLY = 0x80;
const BINARY = 0;
const ASCII = 1;

export const ATTRIBUTE_REMAINING = 0x0000;
export const ATTRIBUTE_CAPACITY = 0x0001;
export const ATTRIBUTE_MANUFACTURER = 0x0400;
export const ATTRIBUTE_MEDIUM_SERIAL = 0x0401;
export const ATTRIBUTE_BARCODE = 0x0806;

export const ATTRIBUTE_VALUES = 0x00;
export const ATTRIBUTE_LIST = 0x01;
export const LOGICAL_VOLUME_LIST = 0x02;
export const PARTITION_LIST = 0x03;
export const SUPPORTED_ATTRIBUTES = 0x05;

interface Attribute {
  readonly id: number;
  readonly format: number;
  readonly bytes: number;
  put(medium: TapeMedium, into: Uint8Array, at: number): void;
}

const attributes: readonly Attribute[] = [
  {
    id: ATTRIBUTE_REMAINING,
    format: BINARY,
    bytes: 8,
    put: (medium, into, at) => putU64(into, at, Math.floor(medium.remainingBytes / MIB)),
  },
  {
    id: ATTRIBUTE_CAPACITY,
    format: BINARY,
    bytes: 8,
    put: (medium, into, at) => putU64(into, at, Math.floor(medium.capacityBytes / MIB)),
  },
  {
    id: ATTRIBUTE_MANUFACTURER,
    format: ASCII,
    bytes: 8,
    put: (_medium, into, at) => putAscii(into, at, 8, "UNDRSTDY"),
  },
  {
    id: ATTRIBUTE_MEDIUM_SERIAL,
    format: ASCII,
    bytes: 32,
    put: (medium, into, at) => putAscii(into, at, 32, medium.serial),
  },
  {
    id: ATTRIBUTE_BARCODE,
    format: ASCII,
    bytes: 32,
    put: (medium, into, at) => putAscii(into, at, 32, medium.barcode),
  },
];

/** Writes the reply to a service action; returns its whole length, or -1 where the action is unknown. */
export function encodeAttributes(
  serviceAction: number,
  first: number,
  medium: TapeMedium,
  into: Uint8Array,
): number {
  switch (serviceAction) {
    case ATTRIBUTE_VALUES: {
      let at = 4;
      for (const attribute of attributes) {
        if (attribute.id < first) continue;
        putU16(into, at, attribute.id);
        into[at + 2] = READ_ONLY | attribute.format;
        putU16(into, at + 3, attribute.bytes);
        attribute.put(medium, into, at + 5);
        at += 5 + attribute.bytes;
      }
      putU32(into, 0, at - 4);
      return at;
    }
    case ATTRIBUTE_LIST:
    case SUPPORTED_ATTRIBUTES: {
      let at = 4;
      for (const attribute of attributes) {
        if (attribute.id < first) continue;
        putU16(into, at, attribute.id);
        at += 2;
      }
      putU32(into, 0, at - 4);
      return at;
    }
    case LOGICAL_VOLUME_LIST:
    case PARTITION_LIST:
      putU16(into, 0, 2); // available data
      into[2] = 0; // first number
      into[3] = 1; // how many
      return 4;
    default:
      return -1;
  }
}

/** Attribute values out of a reply, as far as it reaches. */
export function parseAttributes(reply: Uint8Array): Map<number, Uint8Array> {
  const values = new Map<number, Uint8Array>();
  const end = Math.min(reply.length, 4 + u32(reply, 0));
  for (let at = 4; at + 5 <= end; at += 5 + u16(reply, at + 3)) {
    const stop = at + 5 + u16(reply, at + 3);
    if (stop > end) break;
    values.set(u16(reply, at), reply.slice(at + 5, stop));
  }
  return values;
}

/** Text of an ASCII attribute; null where it is not there. */
export function attributeText(values: ReadonlyMap<number, Uint8Array>, id: number): string | null {
  const value = values.get(id);
  return value === undefined || u8(value, 0) === 0 ? null : ascii(value, 0, value.length).trim();
}
