/** @module Sparse index of a cartridge: the offset of every 512th logical object, as far as it has been seen.
 *  Filled while writing and walking; a hole costs a longer walk, never a wrong answer. */

export const INDEX_STEP = 512;

export class SparseIndex {
  /** Offset of object `i * INDEX_STEP`; 0: not seen yet. */
  #offsets = new Float64Array(256);

  note(lba: number, offset: number): void {
    if (lba % INDEX_STEP !== 0) return;
    const at = lba / INDEX_STEP;
    if (at >= this.#offsets.length) {
      const larger = new Float64Array(Math.max(at + 1, this.#offsets.length * 2));
      larger.set(this.#offsets);
      this.#offsets = larger;
    }
    this.#offsets[at] = offset;
  }

  /** Number of the nearest object seen at or before `lba`; its offset is `offsetOf`. -1: none. */
  atOrBefore(lba: number): number {
    const offsets = this.#offsets;
    let at = Math.min(Math.floor(lba / INDEX_STEP), offsets.length - 1);
    while (at >= 0 && offsets[at] === 0) at--;
    return at < 0 ? -1 : at * INDEX_STEP;
  }

  /** Number of the nearest object seen at or after `lba`, -1: none. */
  atOrAfter(lba: number): number {
    const offsets = this.#offsets;
    let at = Math.ceil(lba / INDEX_STEP);
    while (at < offsets.length && offsets[at] === 0) at++;
    return at >= offsets.length ? -1 : at * INDEX_STEP;
  }

  offsetOf(lba: number): number {
    return this.#offsets[lba / INDEX_STEP] ?? 0;
  }

  /** Forgets objects from `lba` on. */
  truncate(lba: number): void {
    this.#offsets.fill(0, Math.min(Math.ceil(lba / INDEX_STEP), this.#offsets.length));
  }
}
