/** @module The codecs that archives may be packed with: none, lz4 (wasm/lz4, the default), zstd (Bun's). */
import { LZ4_TABLES_BYTES, Lz4 } from "../../../wasm/lz4/lz4.ts";
import { CODEC_IDS, CODEC_MALFORMED, type Codec, type CodecName } from "./port.ts";
import { ZstdCodec } from "./zstd.ts";

export { CODEC_IDS, CODEC_MALFORMED, type Codec, type CodecId, type CodecName } from "./port.ts";

/** Bytes of working memory that a codec may ask for at `tablesAt`. */
export const CODEC_TABLES_BYTES: number = LZ4_TABLES_BYTES;

/** Which codec an archive's id means; null: none that this version knows. */
export function codecNameOf(id: number): CodecName | null {
  for (const name of ["none", "lz4", "zstd"] as const) if (CODEC_IDS[name] === id) return name;
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
    return srcBytes === 0 ? 0 : this.#lz4.compress(src, srcBytes, dst, Math.min(dstBytesMax, srcBytes - 1));
  }

  decompress(src: number, srcBytes: number, dst: number, dstBytesMax: number): number {
    return this.#lz4.decompress(src, srcBytes, dst, dstBytesMax);
  }
}
