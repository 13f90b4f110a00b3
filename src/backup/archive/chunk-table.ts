/** @module Rows of the chunk table: where each chunk lies. In memory as in the file, 24 bytes a row, so that millions of
 *  them are one array. */
import { ROW, ROW_BYTES } from "./layout.ts";
import type { ChunkRow } from "./types.ts";

/** Rows with their numbers, as writers hand them over: u64 number, then the row. */
const NUMBERED_BYTES = 8 + ROW_BYTES;

/** Chunks that a writer has written. */
export class RowList {
  #bytes = new Uint8Array(64 * NUMBERED_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #used = 0;

  add(number: number, offset: number, storedBytes: number, plainBytes: number, hash: bigint): void {
    if (this.#used === this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    const at = this.#used;
    setU64(this.#view, at, number);
    setU64(this.#view, at + 8 + ROW.offset, offset);
    this.#view.setUint32(at + 8 + ROW.storedBytes, storedBytes, true);
    this.#view.setUint32(at + 8 + ROW.plainBytes, plainBytes, true);
    this.#view.setBigUint64(at + 8 + ROW.hash, hash, true);
    this.#used += NUMBERED_BYTES;
  }

  get count(): number {
    return this.#used / NUMBERED_BYTES;
  }

  /** What was added since the last call, as an own copy that may be posted to another thread. */
  take(): Uint8Array {
    const rows = this.#bytes.slice(0, this.#used);
    this.#used = 0;
    return rows;
  }
}

/** All rows in order of chunk number. */
export class ChunkTable {
  /** As in the file. */
  #bytes: Uint8Array;
  #view: DataView;
  count: number;

  constructor(bytes: Uint8Array = new Uint8Array(0)) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.count = bytes.length / ROW_BYTES;
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.count * ROW_BYTES);
  }

  /** Rows up to `count` exist; new ones are zero. */
  grow(count: number): void {
    if (count <= this.count) return;
    if (count * ROW_BYTES > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(count, this.count * 2) * ROW_BYTES);
      larger.set(this.bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.count = count;
  }

  /** Takes over what RowList.take() gave. */
  addRows(rows: Uint8Array): void {
    const view = new DataView(rows.buffer, rows.byteOffset, rows.length);
    for (let at = 0; at < rows.length; at += NUMBERED_BYTES) {
      const number = getU64(view, at);
      this.grow(number + 1);
      this.#bytes.set(rows.subarray(at + 8, at + NUMBERED_BYTES), number * ROW_BYTES);
    }
  }

  has(number: number): boolean {
    return number < this.count && this.offset(number) !== 0;
  }

  /** 0: the number was never written. */
  offset(number: number): number {
    return getU64(this.#view, number * ROW_BYTES + ROW.offset);
  }

  storedBytes(number: number): number {
    return this.#view.getUint32(number * ROW_BYTES + ROW.storedBytes, true);
  }

  plainBytes(number: number): number {
    return this.#view.getUint32(number * ROW_BYTES + ROW.plainBytes, true);
  }

  hash(number: number): bigint {
    return this.#view.getBigUint64(number * ROW_BYTES + ROW.hash, true);
  }

  row(number: number): ChunkRow | null {
    if (!this.has(number)) return null;
    return {
      offset: this.offset(number),
      storedBytes: this.storedBytes(number),
      plainBytes: this.plainBytes(number),
      hash: this.hash(number),
    };
  }
}

/** A u64 that JavaScript's numbers hold exactly; what is larger (a damaged one) comes back as a number that is no place
 *  in any file. */
export function getU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

export function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}
