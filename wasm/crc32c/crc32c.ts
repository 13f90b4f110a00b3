/** @module Host-side view of wasm/crc32c: checksums over bytes at native addresses, in pieces as they come.
 *  The module cannot see other memories, so a piece is copied next to its tables first: 16 KiB that stay in the
 *  nearest cache, where the sum needs them anyway. Each thread that needs one makes its own. */
import { readFileSync } from "node:fs";
import wasmPath from "./build/crc32c.wasm" with { type: "file" };
import { MEMORY_BYTES, PIECE, PIECE_BYTES } from "./layout.ts";

interface Crc32cExports {
  prepare(): void;
  update(sum: number, at: number, bytes: number): number;
}

/** Copies bytes between native addresses. */
export type CopyBytes = (to: number, from: number, bytes: number) => unknown;

const PAGE_BYTES = 65536;
let compiled: WebAssembly.Module | undefined;

export class Crc32c {
  readonly #exports: Crc32cExports;
  readonly #copy: CopyBytes;
  readonly #piece: number;
  readonly #memory: Uint8Array;

  /** `addressOf`: native address of a view's first byte. */
  constructor(copy: CopyBytes, addressOf: (view: Uint8Array) => number) {
    compiled ??= new WebAssembly.Module(readFileSync(wasmPath));
    const pages = MEMORY_BYTES / PAGE_BYTES;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const instance = new WebAssembly.Instance(compiled, { env: { memory, abort: aborted } });
    this.#exports = instance.exports as unknown as Crc32cExports;
    this.#exports.prepare();
    this.#copy = copy;
    this.#memory = new Uint8Array(memory.buffer);
    this.#piece = addressOf(this.#memory) + PIECE;
  }

  /** Carries a sum on over `bytes` at a native address; 0 begins. */
  update(sum: number, address: number, bytes: number): number {
    let result = sum;
    for (let done = 0; done < bytes; done += PIECE_BYTES) {
      const part = Math.min(PIECE_BYTES, bytes - done);
      this.#copy(this.#piece, address + done, part);
      result = this.#exports.update(result, PIECE, part);
    }
    return result >>> 0;
  }

  /** The same over zeros: padding. */
  zeros(sum: number, bytes: number): number {
    if (bytes === 0) return sum;
    this.#memory.fill(0, PIECE, PIECE + bytes);
    return this.#exports.update(sum, PIECE, bytes) >>> 0;
  }
}

function aborted(): never {
  throw new Error("wasm/crc32c: assertion failed");
}
