/** @module Where the bytes of an archive file stand (docs/FORMATS.md, "Backup archive"). Little-endian.
 *
 *      0            header block: 4096 bytes, or as many times 4096 as its JSON needs
 *      ...          data frames in any order, each at a multiple of 16, zeros between them
 *      ...          chunk table frames, index frames, extra frames: each section without a gap, one after the other
 *      size - 512   footer
 *
 *  Every byte that belongs to nothing is zero, and is checked. */

export const HEADER_BLOCK_BYTES = 4096;
export const HEADER_MAGIC = "UNDERSTUDY-TREE\0";
export const FOOTER_MAGIC = "UNDERSTUDY-FOOT\0";
export const JOURNAL_MAGIC = "UNDERSTUDY-JRNL\0";
export const MAGIC_BYTES = 16;
export const ARCHIVE_VERSION = 1;

/** Header block. */
export const HEADER = { version: 16, jsonBytes: 20, jsonHash: 24, json: 32 } as const;

/** Frame header. */
export const FRAME = {
  magic: 0,
  kind: 4,
  codec: 5,
  zero: 6,
  plainBytes: 8,
  storedBytes: 12,
  number: 16,
  check: 20,
  hash: 24,
} as const;
export const FRAME_MAGIC = 0x4d415246;
export const FRAME_HEADER_BYTES = 32;
export const FRAME_ALIGN_BYTES = 16;
export const FRAME_KIND = { chunk: 1, table: 2, index: 3, extra: 4 } as const;
export type FrameKind = (typeof FRAME_KIND)[keyof typeof FRAME_KIND];

/** In front of each piece of a file's data within a chunk. */
export const PIECE = { magic: 0, pathHash: 2, dataBytes: 4 } as const;
export const PIECE_HEADER_BYTES = 8;
export const PIECE_MAGIC = 0x4655;

/** A chunk holds at most one whole piece and its header. */
export const CHUNK_PLAIN_BYTES_MAX = 256 * 1024 + PIECE_HEADER_BYTES;
/** No frame of any kind holds more. */
export const FRAME_PLAIN_BYTES_MAX = 16 * 1024 * 1024;

/** A row of the chunk table. All zero: the number was never written. */
export const ROW = { offset: 0, storedBytes: 8, plainBytes: 12, hash: 16 } as const;
export const ROW_BYTES = 24;
/** Rows in each frame of the chunk table but the last. */
export const TABLE_FRAME_ROWS = 8192;

export const FOOTER_BYTES = 512;
export const FOOTER = {
  version: 16,
  tableOffset: 24,
  tableBytes: 32,
  indexOffset: 40,
  indexBytes: 48,
  extraOffset: 56,
  extraBytes: 64,
  entries: 72,
  chunks: 80,
  files: 88,
  plainBytes: 96,
  storedBytes: 104,
  finishedAtMs: 112,
  tableFrames: 120,
  indexFrames: 124,
  extraFrames: 128,
  root: 136,
  salt: 168,
  number: 176,
  hash: 504,
} as const;

export function aligned(bytes: number): number {
  return Math.ceil(bytes / FRAME_ALIGN_BYTES) * FRAME_ALIGN_BYTES;
}

/** Length of the header block with a JSON text of `jsonBytes`. */
export function headerBlockBytes(jsonBytes: number): number {
  return Math.ceil((HEADER.json + jsonBytes) / HEADER_BLOCK_BYTES) * HEADER_BLOCK_BYTES;
}
