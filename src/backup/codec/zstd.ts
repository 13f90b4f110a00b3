/** @module zstd frames by Bun, copied into the memory. Slower to hand over than lz4 (each chunk crosses the heap), and
 *  a quarter smaller. Frames say how large their content is; one that does not, or that says too much, is not ours. */
import type { Codec } from "./codec.ts";

const MAGIC = 0xfd2fb528;
const HEADER_BYTES_MAX = 18;
const MALFORMED = -1;
/** Independent chunks are smaller than what `zstd -1` sees as one stream: level 3 makes up for it. */
const LEVEL = 3;

export class ZstdCodec implements Codec {
  readonly id = 2;
  readonly name = "zstd";
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #level: number;

  constructor(memory: WebAssembly.Memory, level: number = LEVEL) {
    // Shared memory: Bun takes such views, its types do not say so.
    this.#bytes = new Uint8Array(memory.buffer as ArrayBuffer);
    this.#view = new DataView(memory.buffer);
    this.#level = level;
  }

  compress(src: number, srcBytes: number, dst: number, dstBytesMax: number): number {
    const packed = Bun.zstdCompressSync(this.#bytes.subarray(src, src + srcBytes), { level: this.#level });
    if (packed.length >= srcBytes || packed.length > dstBytesMax) return 0;
    this.#bytes.set(packed, dst);
    return packed.length;
  }

  decompress(src: number, srcBytes: number, dst: number, dstBytesMax: number): number {
    const sizeBytes = contentBytes(this.#view, src, srcBytes);
    if (sizeBytes < 0 || sizeBytes > dstBytesMax) return MALFORMED;
    try {
      const plain = Bun.zstdDecompressSync(this.#bytes.subarray(src, src + srcBytes));
      if (plain.length !== sizeBytes) return MALFORMED;
      this.#bytes.set(plain, dst);
      return plain.length;
    } catch {
      return MALFORMED;
    }
  }
}

/** RFC 8878 §3.1.1.1: the content size that a frame's header gives, in bytes; negative: no frame, or it says none. */
export function contentBytes(view: DataView, at: number, bytes: number): number {
  if (bytes < 6 || view.getUint32(at, true) !== MAGIC) return MALFORMED;
  const descriptor = view.getUint8(at + 4);
  const singleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const place = at + 5 + (singleSegment ? 0 : 1) + dictionaryBytes;
  const flag = descriptor >>> 6;
  if (flag === 0 && !singleSegment) return MALFORMED;
  if (bytes < HEADER_BYTES_MAX && place + (1 << flag) > at + bytes) return MALFORMED;
  switch (flag) {
    case 0:
      return view.getUint8(place);
    case 1:
      return view.getUint16(place, true) + 256;
    case 2:
      return view.getUint32(place, true);
    default:
      return Number(view.getBigUint64(place, true));
  }
}
