/** @module What the engine asks of a codec. What fills the port: codec.ts.
 *  (1) A codec works between places of one memory, given at its making; offsets and sizes are bytes.
 *  (2) `compress` never returns more than it was given to pack: what does not shrink is stored plain (0).
 *  (3) `decompress` takes any bytes, as they come from a damaged or hostile store: it writes nothing outside its
 *      target, asks for no more memory than the target holds, and says so (CODEC_MALFORMED) when it cannot. */

/** As written in archives: never renumbered. */
export const CODEC_IDS = { none: 0, lz4: 1, zstd: 2 } as const;
export type CodecName = keyof typeof CODEC_IDS;
export type CodecId = (typeof CODEC_IDS)[CodecName];

/** Any negative outcome of `decompress` is one; this is the one we return. */
export const CODEC_MALFORMED = -1;

export interface Codec {
  readonly id: CodecId;
  readonly name: CodecName;
  /** Packed size in bytes (1 to min(dstBytesMax, srcBytes - 1)), or 0: it does not shrink, or not into
   *  `dstBytesMax`; store it plain. Source and target must not overlap; what lies in the target's room after the
   *  packed bytes is undefined. */
  compress(src: number, srcBytes: number, dst: number, dstBytesMax: number): number;
  /** Plain size in bytes (0 to dstBytesMax), or negative: malformed, or more than `dstBytesMax`. Source and target
   *  must not overlap; what lies in the target's room after the plain bytes is undefined. */
  decompress(src: number, srcBytes: number, dst: number, dstBytesMax: number): number;
}
