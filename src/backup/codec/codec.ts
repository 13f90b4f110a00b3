/** @module How a chunk's bytes are made smaller: a port, and what fills it.
 *  (1) A codec works between places of one memory, given at its making; offsets and sizes are bytes.
 *  (2) `compress` never returns more than it was given to pack: what does not shrink is stored plain (0).
 *  (3) `decompress` takes any bytes, as they come from a damaged or hostile store: it writes nothing outside its
 *      target, asks for no more memory than the target holds, and says so (CODEC_MALFORMED) when it cannot. */
import { LZ4_TABLES_BYTES, Lz4 } from "../../../wasm/lz4/lz4.ts";
import { ZstdCodec } from "./zstd.ts";

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
   *  `dstBytesMax`; store it plain. Source and target must not overlap. */
  compress(src: number, srcBytes: number, dst: number, dstBytesMax: number): number;
  /** Plain size in bytes (0 to dstBytesMax), or negative: malformed, or more than `dstBytesMax`. */
  decompress(src: number, srcBytes: number, dst: number, dstBytesMax: number): number;
}

/** Bytes of working memory that a codec may ask for at `tablesAt`. */
export const CODEC_TABLES_BYTES: number = LZ4_TABLES_BYTES;

export function codecNameOf(id: number): CodecName | null {
  for (const [name, known] of Object.entries(CODEC_IDS)) if (known === id) return name as CodecName;
  return null;
}

/** A codec for one thread. `memory`: shared; `tablesAt`: offset of CODEC_TABLES_BYTES, a multiple of 64, which
 *  codecs of the same thread may share. */
export function openCodec(name: CodecName, memory: WebAssembly.Memory, tablesAt: number): Codec {
  switch (name) {
    case "none":
      return new PlainCodec(memory);
    case "lz4":
      return new Lz4Codec(memory, tablesAt);
    case "zstd":
      return new ZstdCodec(memory);
  }
}

class PlainCodec implements Codec {
  readonly id = CODEC_IDS.none;
  readonly name = "none";
  readonly #bytes: Uint8Array;

  constructor(memory: WebAssembly.Memory) {
    this.#bytes = new Uint8Array(memory.buffer);
  }

  compress(): number {
    return 0;
  }

  decompress(src: number, srcBytes: number, dst: number, dstBytesMax: number): number {
    if (srcBytes > dstBytesMax) return CODEC_MALFORMED;
    this.#bytes.copyWithin(dst, src, src + srcBytes);
    return srcBytes;
  }
}

class Lz4Codec implements Codec {
  readonly id = CODEC_IDS.lz4;
  readonly name = "lz4";
  readonly #lz4: Lz4;

  constructor(memory: WebAssembly.Memory, tablesAt: number) {
    this.#lz4 = new Lz4(memory, tablesAt);
  }

  compress(src: number, srcBytes: number, dst: number, dstBytesMax: number): number {
    if (srcBytes === 0) return 0;
    return this.#lz4.compress(src, srcBytes, dst, Math.min(dstBytesMax, srcBytes - 1));
  }

  decompress(src: number, srcBytes: number, dst: number, dstBytesMax: number): number {
    return this.#lz4.decompress(src, srcBytes, dst, dstBytesMax);
  }
}
