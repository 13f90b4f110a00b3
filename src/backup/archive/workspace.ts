/** @module One thread's memory for chunks and what packs and unpacks them in it. Chunks' bytes never enter the JS heap:
 *  readers and writers are told places (offsets) in this memory.
 *  (1) The memory never grows: native addresses are `base` + offset, taken once. */
import { viewSharedMemory } from "../../base/memory.ts";
import { CODEC_TABLES_BYTES, type Codec, codecNameOf, openCodec } from "../codec/codec.ts";
import { FRAME_HEADER_BYTES, FRAME_PLAIN_BYTES_MAX } from "./layout.ts";

const PAGE_BYTES = 65536;

export class Workspace {
  readonly memory: WebAssembly.Memory;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  /** Native address of offset 0. */
  readonly base: number;
  readonly #tablesAt: number;
  readonly #codecs: (Codec | undefined)[] = [];

  /** `tablesAt`: offset of CODEC_TABLES_BYTES for the codecs, a multiple of 64. */
  constructor(memory: WebAssembly.Memory, tablesAt: number) {
    const shared = viewSharedMemory(memory);
    this.memory = memory;
    // Shared memory: Bun's hashes and calls take such views, their types do not say so.
    this.bytes = shared.bytes as Uint8Array<ArrayBuffer>;
    this.view = shared.view;
    this.base = shared.base;
    this.#tablesAt = tablesAt;
  }

  /** The codec of a number in a frame header; null: none that we know. */
  codec(id: number): Codec | null {
    const open = this.#codecs[id];
    if (open !== undefined) return open;
    const name = codecNameOf(id);
    if (name === null) return null;
    const codec = openCodec(name, this.memory, this.#tablesAt);
    this.#codecs[id] = codec;
    return codec;
  }

  /** xxHash3 of `bytes` bytes at an offset. */
  hash(at: number, bytes: number): bigint {
    return BigInt(Bun.hash.xxHash3(this.bytes.subarray(at, at + bytes)));
  }

  /** True if all bytes of [at, at + bytes) are zero. */
  isZero(at: number, bytes: number): boolean {
    const end = at + bytes;
    let here = at;
    for (; here < end && here % 8 !== 0; here++) if (this.bytes[here] !== 0) return false;
    if (end - here >= 64) {
      const words = new BigUint64Array(this.memory.buffer, here, Math.floor((end - here) / 8));
      for (let word = 0; word < words.length; word++) if (words[word] !== 0n) return false;
      here += words.length * 8;
    }
    for (; here < end; here++) if (this.bytes[here] !== 0) return false;
    return true;
  }
}

/** A workspace with room for one frame of any kind. */
export interface FrameRoom {
  readonly workspace: Workspace;
  /** Frame header and stored bytes. */
  readonly storedAt: number;
  /** Plain bytes, up to FRAME_PLAIN_BYTES_MAX. */
  readonly plainAt: number;
}

/** Its memory is committed as it is touched: small frames cost little. One does for all archives of a thread. */
export function createFrameRoom(): FrameRoom {
  const storedAt = Math.ceil(CODEC_TABLES_BYTES / PAGE_BYTES) * PAGE_BYTES;
  const room = Math.ceil((FRAME_PLAIN_BYTES_MAX + FRAME_HEADER_BYTES) / PAGE_BYTES + 1) * PAGE_BYTES;
  const pages = (storedAt + 2 * room) / PAGE_BYTES;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  return { workspace: new Workspace(memory, 0), storedAt, plainAt: storedAt + room };
}
