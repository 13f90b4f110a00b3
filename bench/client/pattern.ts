/** @module Blocks that can be told apart and checked, at the cost of 32 bytes a block.
 *
 *      0            16                                  bytes-16        bytes
 *      | number, seed | random bytes of a fixed pool ... | number, seed |
 *
 *  Block n lies at place `n mod places` of the pool; its number is stamped in just before it is sent, so as many
 *  blocks as there are places may be on their way at once. */
import { ptr } from "bun:ffi";
import { libc } from "../../src/base/ffi.ts";

const POOL_BYTES = 64 * 1024 * 1024;
export const STAMP_BYTES = 16;

export class BlockPattern {
  readonly blockBytes: number;
  readonly #places: number;
  readonly #pool: Uint8Array;
  readonly #words: DataView;
  readonly #address: number;
  readonly #seed: number;

  /** `inFlight`: blocks that may be on their way at once. */
  constructor(blockBytes: number, inFlight: number, seed: number) {
    if (blockBytes < 2 * STAMP_BYTES) throw new Error(`blocks of at least ${2 * STAMP_BYTES} bytes`);
    this.blockBytes = blockBytes;
    this.#places = Math.max(Math.floor(POOL_BYTES / blockBytes), inFlight + 1);
    this.#pool = new Uint8Array(this.#places * blockBytes);
    this.#words = new DataView(this.#pool.buffer);
    this.#address = ptr(this.#pool);
    this.#seed = seed;
    fillRandom(this.#pool, seed);
  }

  /** Makes block `number` and returns its native address; it holds until `places` blocks later. */
  block(number: number): number {
    const offset = (number % this.#places) * this.blockBytes;
    this.#stamp(offset, number);
    this.#stamp(offset + this.blockBytes - STAMP_BYTES, number);
    return this.#address + offset;
  }

  /** Do these bytes equal block `number`? */
  equals(number: number, address: number, bytes: number): boolean {
    return bytes === this.blockBytes && libc.memcmp(this.block(number), address, bytes) === 0;
  }

  #stamp(at: number, number: number): void {
    this.#words.setUint32(at, number >>> 0, true);
    this.#words.setUint32(at + 4, Math.floor(number / 2 ** 32), true);
    this.#words.setUint32(at + 8, this.#seed, true);
    this.#words.setUint32(at + 12, ~number >>> 0, true);
  }
}

/** xorshift32: the same bytes for the same seed, incompressible enough for a drive. */
function fillRandom(pool: Uint8Array, seed: number): void {
  const words = new Uint32Array(pool.buffer, 0, pool.byteLength >>> 2);
  let state = seed | 1;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
}
