/** @module Where everything lies in a cartridge file (docs/FORMATS.md, "Cartridge file"). Little-endian, in bytes. */

// --- header page: three sectors of 512, the rest zero ---
export const PAGE_BYTES = 4096;
/** "USTAPE01" as two little-endian u32. */
export const PAGE_MAGIC_LOW = 0x41545355;
export const PAGE_MAGIC_HIGH = 0x31304550;
export const FORMAT_VERSION = 1;
export const PAGE_MAGIC_AT = 0;
export const PAGE_VERSION_AT = 8;
export const PAGE_BYTES_AT = 12;
export const PAGE_ID_AT = 16;
export const PAGE_CAPACITY_AT = 24;
export const PAGE_EARLY_WARNING_AT = 32;
export const PAGE_CREATED_MS_AT = 40;
export const PAGE_FLAGS_AT = 48;
export const PAGE_DENSITY_AT = 52;
export const PAGE_MEDIUM_TYPE_AT = 53;
export const PAGE_BARCODE_AT = 64;
export const PAGE_SERIAL_AT = 96;
export const PAGE_TEXT_BYTES = 32;
export const PAGE_HASHED_BYTES = 504;
export const PAGE_HASH_AT = 504;
export const FLAG_WRITE_PROTECTED = 1;

/** Second sector: offset of a record known to be durable, so that opening need not walk from the start. */
export const HINT_AT = 512;
export const HINT_OFFSET_AT = 0;
export const HINT_HASH_AT = 8;
export const HINT_BYTES = 16;

/** Third sector: how often the cartridge was mounted. A drive that finds another number has lost its cartridge. */
export const MOUNTS_AT = 1024;
export const MOUNTS_BYTES = 8;

// --- record: a header of 512, then the data, padded to 512 ---
export const RECORD_HEADER_BYTES = 512;
export const RECORD_ALIGN = 512;
/** "UTR1" as a little-endian u32. */
export const RECORD_MAGIC = 0x31525455;
export const RECORD_MAGIC_AT = 0;
export const RECORD_KIND_AT = 4;
export const RECORD_DATA_BYTES_AT = 8;
export const RECORD_ID_AT = 16;
export const RECORD_OFFSET_AT = 24;
export const RECORD_LBA_AT = 32;
export const RECORD_FILE_NUMBER_AT = 40;
export const RECORD_PREVIOUS_AT = 48;
export const RECORD_PREVIOUS_FILEMARK_AT = 56;
export const RECORD_USED_BEFORE_AT = 64;
export const RECORD_DATA_HASH_AT = 72;
export const RECORD_HEADER_HASH_AT = 80;
export const RECORD_HASHED_BYTES = 80;

export const RECORD_BLOCK = 1;
export const RECORD_FILEMARK = 2;

export const BLOCK_BYTES_MAX = 8 * 1024 * 1024;

/** A 64-bit number below 2^53, without BigInt. */
export function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 4294967296), true);
}

export function getU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 4294967296;
}

export function paddedBytes(bytes: number): number {
  return Math.ceil(bytes / RECORD_ALIGN) * RECORD_ALIGN;
}
