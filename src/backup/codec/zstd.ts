/** @module zstd by Bun, copied into the memory: a third smaller than lz4, and slower to hand over (each chunk crosses
 *  the heap). One chunk is one frame that says how large its content is (RFC 8878). A frame that does not, or says
 *  too much, or is not all there is, is never given to the library: it would open frame after frame, and grow. */
import { CODEC_IDS, CODEC_MALFORMED, type Codec } from "./port.ts";

const MAGIC = 0xfd2fb528;
const BLOCK_HEADER_BYTES = 3;
const CHECKSUM_BYTES = 4;
/** Chunks stand alone, `zstd -1` sees one stream: level 3 more than makes up for it. */
const LEVEL = 3;

export class ZstdCodec implements Codec {
  readonly id = CODEC_IDS.zstd;
  readonly name = "zstd";
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;

  constructor(memory: WebAssembly.Memory) {
    // Bun takes views over shared memory; its types do not say so.
    this.#bytes = new Uint8Array(memory.buffer as ArrayBuffer);
    this.#view = new DataView(memory.buffer);
  }

  compress(src: number, srcBytes: number, dst: number, dstBytesMax: number): number {
    const packed = Bun.zstdCompressSync(this.#bytes.subarray(src, src + srcBytes), { level: LEVEL });
    if (packed.length >= srcBytes || packed.length > dstBytesMax) return 0;
    this.#bytes.set(packed, dst);
    return packed.length;
  }

  decompress(src: number, srcBytes: number, dst: number, dstBytesMax: number): number {
    const plainBytes = frameContentBytes(this.#view, src, srcBytes);
    if (plainBytes < 0 || plainBytes > dstBytesMax) return CODEC_MALFORMED;
    try {
      const plain = Bun.zstdDecompressSync(this.#bytes.subarray(src, src + srcBytes));
      if (plain.length !== plainBytes) return CODEC_MALFORMED;
      this.#bytes.set(plain, dst);
      return plainBytes;
    } catch {
      // The library throws at what it cannot read; whatever it says of it, the frame is no good.
      return CODEC_MALFORMED;
    }
  }
}

/** The content size, in bytes, that the header of a frame of exactly `bytes` at `at` gives. Negative: there is no such
 *  frame, it needs a dictionary, it says no size, or it ends elsewhere. */
export function frameContentBytes(view: DataView, at: number, bytes: number): number {
  const end = at + bytes;
  // Magic, descriptor, and the least that may follow: one byte of size and a block's header.
  if (bytes < 6 + BLOCK_HEADER_BYTES || view.getUint32(at, true) !== MAGIC) return CODEC_MALFORMED;
  const descriptor = view.getUint8(at + 4);
  const sizeFlag = descriptor >>> 6;
  const singleSegment = (descriptor & 0x20) !== 0;
  const hasChecksum = (descriptor & 0x04) !== 0;
  const needsDictionary = (descriptor & 0x03) !== 0;
  if (needsDictionary || (sizeFlag === 0 && !singleSegment)) return CODEC_MALFORMED;
  const sizeAt = at + 5 + (singleSegment ? 0 : 1);
  let next = sizeAt + (1 << sizeFlag);
  if (next > end) return CODEC_MALFORMED;
  for (let last = false; !last; ) {
    if (next + BLOCK_HEADER_BYTES > end) return CODEC_MALFORMED;
    const header = view.getUint16(next, true) | (view.getUint8(next + 2) << 16);
    last = (header & 1) !== 0;
    const isRun = ((header >>> 1) & 3) === 1;
    next += BLOCK_HEADER_BYTES + (isRun ? 1 : header >>> 3);
  }
  if (next + (hasChecksum ? CHECKSUM_BYTES : 0) !== end) return CODEC_MALFORMED;
  return contentSize(view, sizeAt, sizeFlag);
}

/** RFC 8878 §3.1.1.1.4. */
function contentSize(view: DataView, at: number, flag: number): number {
  switch (flag) {
    case 0:
      return view.getUint8(at);
    case 1:
      return view.getUint16(at, true) + 256;
    case 2:
      return view.getUint32(at, true);
    default:
      return Number(view.getBigUint64(at, true));
  }
}
