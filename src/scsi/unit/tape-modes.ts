/** @module Mode pages of a tape drive (SSC-5): 01 02 0A 0F 10 11 1C. */
import { putU16 } from "../bytes.ts";
import { type ModePage, modePage } from "./mode.ts";
import type { TapeMedium } from "./ports.ts";

export const PAGE_DATA_COMPRESSION = 0x0f;
export const PAGE_DEVICE_CONFIGURATION = 0x10;
export const PAGE_MEDIUM_PARTITION = 0x11;

/** Data Compression page, byte 2: DCE and DCC; byte 3: DDE. */
export const DCE = 0x80;
const DCC = 0x40;
const DDE = 0x80;
/** Compression algorithm, last byte of its field. */
export const ALGORITHM_AT = 7;
const ALGORITHM_DEFAULT = 0x01;
/** Device Configuration page: SELECT DATA COMPRESSION ALGORITHM. */
export const SELECT_ALGORITHM_AT = 14;

export interface TapePages {
  readonly all: readonly ModePage[];
  readonly compression: ModePage;
  readonly configuration: ModePage;
}

export function tapePages(medium: TapeMedium): TapePages {
  const compression = modePage(
    PAGE_DATA_COMPRESSION,
    16,
    { 2: DCE | DCC, 3: DDE, [ALGORITHM_AT]: ALGORITHM_DEFAULT, 11: ALGORITHM_DEFAULT },
    { 2: DCE, [ALGORITHM_AT]: 0xff },
    { check: (bytes) => (bytes[ALGORITHM_AT]! > ALGORITHM_DEFAULT ? ALGORITHM_AT : -1) },
  );
  const configuration = modePage(
    PAGE_DEVICE_CONFIGURATION,
    16,
    {
      8: 0x40, // LOIS: logical objects have identifiers
      10: 0x18, // EEG, SEW: end of data is written, early warning synchronises
      [SELECT_ALGORITHM_AT]: 1,
    },
    { [SELECT_ALGORITHM_AT]: 0xff },
    { check: (bytes) => (bytes[SELECT_ALGORITHM_AT]! > 1 ? SELECT_ALGORITHM_AT : -1) },
  );
  const all = [
    modePage(0x01, 12, {}), // Read-Write Error Recovery
    modePage(0x02, 16, {}), // Disconnect-Reconnect
    modePage(0x0a, 12, {}), // Control
    compression,
    configuration,
    modePage(
      PAGE_MEDIUM_PARTITION,
      10,
      { 4: 0x18, 5: 0x03, 6: 0x09 }, // PSUM 3: units of 10^n bytes, n = 9; medium is recognised with its partitions
      {},
      { refresh: (page) => refreshPartition(page, medium) },
    ),
    modePage(0x1c, 12, { 2: 0x08, 3: 0x03 }), // Informational Exceptions: none reported but by TapeAlert
  ];
  return { all, compression, configuration };
}

/** One partition, of the medium's size in GB. */
function refreshPartition(page: ModePage, medium: TapeMedium): void {
  const gigabytes = medium.loaded ? Math.min(Math.ceil(medium.capacityBytes / 1e9), 0xffff) : 0;
  putU16(page.current, 8, gigabytes);
  putU16(page.defaults, 8, gigabytes);
}
