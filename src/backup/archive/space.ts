/** @module The end of a growing archive and its next chunk number, shared by the Workers that write it: each takes its
 *  place in the file and its number from here, and nobody waits. */
import { aligned } from "./layout.ts";

const TAIL = 0;
const NEXT_CHUNK = 1;

/** Over a SharedArrayBuffer of SPACE_BYTES that may be posted to Workers. */
export class ArchiveSpace {
  readonly buffer: SharedArrayBuffer;
  readonly #words: BigInt64Array;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#words = new BigInt64Array(buffer);
  }

  /** `tail`: first free byte; `nextChunk`: first unused number. */
  static create(tail: number, nextChunk: number): ArchiveSpace {
    const space = new ArchiveSpace(new SharedArrayBuffer(64));
    Atomics.store(space.#words, TAIL, BigInt(aligned(tail)));
    Atomics.store(space.#words, NEXT_CHUNK, BigInt(nextChunk));
    return space;
  }

  /** The offset of `bytes` (a multiple of 16) that are the caller's from now on. */
  take(bytes: number): number {
    return Number(Atomics.add(this.#words, TAIL, BigInt(bytes)));
  }

  takeChunk(): number {
    return Number(Atomics.add(this.#words, NEXT_CHUNK, 1n));
  }

  get tail(): number {
    return Number(Atomics.load(this.#words, TAIL));
  }

  /** Chunk numbers given out. */
  get chunks(): number {
    return Number(Atomics.load(this.#words, NEXT_CHUNK));
  }
}
