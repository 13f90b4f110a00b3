/** @module For tests: the frames of an index, kept in memory. */
import type { IndexPages, IndexSink } from "./pages.ts";

export class MemoryFrames implements IndexSink, IndexPages {
  readonly frames: Uint8Array[] = [];

  get count(): number {
    return this.frames.length;
  }

  frame(plain: Uint8Array): void {
    this.frames.push(plain.slice());
  }

  page(number: number): Uint8Array {
    return this.frames[number] as Uint8Array;
  }
}
