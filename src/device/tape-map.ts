/** @module Where a tape stands, counted by ourselves from its beginning, for drives that cannot tell.
 *  (1) `object` is known only where every object before it was counted: from the beginning, by writing, reading or
 *      walking. Anything unclear makes it unknown (-1), and only a rewind makes it known again.
 *  (2) `marks` are all filemarks below `mapped`; `object` never lies behind `mapped`.
 *  (3) `onMedium`: what lies before it was synchronised. It alone outlives a loss. */

export class TapeMap {
  /** Logical object number of the next object; -1: not known. */
  object = -1;
  /** Objects counted from the beginning. */
  mapped = 0;
  /** Where the data end; -1: not known. Equals `mapped` where it is known. */
  end = -1;
  onMedium = 0;
  readonly marks: number[] = [];

  get unsynchronised(): boolean {
    return this.end >= 0 && this.end > this.onMedium && this.#wrote;
  }
  #wrote = false;

  /** Another medium, or none. */
  forget(): void {
    this.marks.length = 0;
    this.object = this.end = -1;
    this.mapped = this.onMedium = 0;
    this.#wrote = false;
  }

  /** The drive was reset, or cannot be reached: what it had in its buffer may be gone. */
  lose(): void {
    if (this.#wrote) this.#cut(this.onMedium);
    this.object = -1;
    if (this.#wrote) this.end = -1;
    this.#wrote = false;
  }

  wrote(blocks: number): void {
    if (this.object < 0) {
      this.forget();
      return;
    }
    this.#cut(this.object);
    this.object += blocks;
    this.mapped = this.end = this.object;
    this.#wrote = true;
  }

  wroteMarks(count: number): void {
    if (count === 0) return;
    if (this.object < 0) {
      this.forget();
      return;
    }
    this.#cut(this.object);
    for (let n = 0; n < count; n++) this.marks.push(this.object++);
    this.mapped = this.end = this.object;
    this.#wrote = true;
  }

  synchronised(): void {
    if (this.#wrote) this.onMedium = this.end;
    this.#wrote = false;
  }

  passedBlocks(count: number): void {
    if (this.object < 0) return;
    this.object += count;
    if (this.object > this.mapped) this.mapped = this.object;
  }

  passedMark(): void {
    if (this.object < 0) return;
    if (this.object >= this.mapped) this.marks.push(this.object);
    this.passedBlocks(1);
  }

  metEnd(): void {
    if (this.object < 0) return;
    this.#cut(this.object);
    this.end = this.object;
  }

  /** Index in `marks` of the first filemark at `object` or behind it; `marks.length`: none is mapped. */
  firstMark(object: number): number {
    let low = 0;
    let high = this.marks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.marks[middle] ?? 0) < object) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #cut(object: number): void {
    this.marks.length = this.firstMark(object);
    this.mapped = object;
    if (this.onMedium > object) this.onMedium = object;
  }
}
