/** @module Densities and REPORT DENSITY SUPPORT (SSC-5).
 *
 *      header      0 length (16)
 *      descriptor  0 primary code  1 secondary code  2 WRTOK DUP DEFLT DLV  3 length (16)  5 bits/mm (24)  8 width, 0.1 mm
 *                  10 tracks  12 capacity, 10^6 bytes (32)  16 organisation (8)  24 name (8)  32 description (20) */
import { putAscii, putU16, putU24, putU32 } from "../bytes.ts";

export interface Density {
  readonly code: number;
  readonly bitsPerMm: number;
  readonly tracks: number;
  readonly capacityMegabytes: number;
  readonly name: string;
  readonly description: string;
  readonly writable: boolean;
  readonly isDefault: boolean;
}

export const LTO8_DENSITY = 0x5e;

/** What an LTO-8 drive takes. */
export const densities: readonly Density[] = [
  {
    code: 0x5c,
    bitsPerMm: 19107,
    tracks: 3584,
    capacityMegabytes: 6_000_000,
    name: "U-732",
    description: "Ultrium 7/32T",
    writable: true,
    isDefault: false,
  },
  {
    code: LTO8_DENSITY,
    bitsPerMm: 20669,
    tracks: 6656,
    capacityMegabytes: 12_000_000,
    name: "U-832",
    description: "Ultrium 8/32T",
    writable: true,
    isDefault: true,
  },
];

const DESCRIPTOR_BYTES = 52;

/** Writes the descriptors (of the loaded medium alone where `mediumCode` is given); returns the whole length. */
export function encodeDensitySupport(
  mediumCode: number | null,
  capacityBytes: number,
  into: Uint8Array,
): number {
  let at = 4;
  for (const density of densities) {
    if (mediumCode !== null && density.code !== mediumCode) continue;
    into.fill(0, at, at + DESCRIPTOR_BYTES);
    into[at] = into[at + 1] = density.code;
    into[at + 2] = (density.writable ? 0x80 : 0) | (density.isDefault ? 0x20 : 0);
    putU24(into, at + 5, density.bitsPerMm);
    putU16(into, at + 8, 127);
    putU16(into, at + 10, density.tracks);
    const megabytes = mediumCode === null ? density.capacityMegabytes : Math.floor(capacityBytes / 1e6);
    putU32(into, at + 12, Math.min(megabytes, 0xffff_ffff));
    putAscii(into, at + 16, 8, "LTO-CVE");
    putAscii(into, at + 24, 8, density.name);
    putAscii(into, at + 32, 20, density.description);
    at += DESCRIPTOR_BYTES;
  }
  into[2] = into[3] = 0;
  putU16(into, 0, at - 2);
  return at;
}
