/** @module Host-side view of wasm/lz4: LZ4 blocks (no frames) between places of one memory. One a thread.
 *  (1) Decompression takes any bytes: nothing outside source and target is read or written.
 *  (2) What a chunk is compressed to depends on the chunk alone, not on those before it. */
import { readFileSync } from "node:fs";
import wasmPath from "./build/lz4.wasm" with { type: "file" };
import { TABLES_BYTES } from "./layout.ts";

interface Lz4Exports {
  prepare(work: number): void;
  compress(work: number, src: number, srcBytes: number, dst: number, dstBytesMax: number): number;
  decompress(work: number, src: number, srcBytes: number, dst: number, dstBytesMax: number): number;
}

/** Bytes of working memory that an instance needs. */
export const LZ4_TABLES_BYTES: number = TABLES_BYTES;

let compiled: WebAssembly.Module | undefined;

export class Lz4 {
  readonly #exports: Lz4Exports;
  readonly #tablesAt: number;

  /** `memory`: shared; `tablesAt`: offset of LZ4_TABLES_BYTES that nobody else writes, a multiple of 64. */
  constructor(memory: WebAssembly.Memory, tablesAt: number) {
    compiled ??= new WebAssembly.Module(readFileSync(wasmPath));
    const instance = new WebAssembly.Instance(compiled, { env: { memory, abort: aborted } });
    this.#exports = instance.exports as unknown as Lz4Exports;
    this.#tablesAt = tablesAt;
    this.#exports.prepare(tablesAt);
  }

  /** Returns the block's size in bytes, or 0 when it may not fit in `dstBytesMax`. Offsets are into the memory;
   *  source and target must not overlap, and end below 4 GiB - 64 KiB. */
  compress(src: number, srcBytes: number, dst: number, dstBytesMax: number): number {
    return this.#exports.compress(this.#tablesAt, src, srcBytes, dst, dstBytesMax);
  }

  /** Returns the number of bytes written to `dst`; negative: not an LZ4 block, or more than `dstBytesMax`. */
  decompress(src: number, srcBytes: number, dst: number, dstBytesMax: number): number {
    return this.#exports.decompress(this.#tablesAt, src, srcBytes, dst, dstBytesMax);
  }
}

function aborted(): never {
  throw new Error("wasm/lz4: assertion failed");
}
