/** @module What a run knows of its tree before anything is written: the scan's own batches, and one verdict an entry.
 *  Compact on purpose: a million files are about 40 MB. Read as often as needed, always in order. */
import { assert } from "../../base/assert.ts";
import type { Entry, EntrySource } from "../entry.ts";
import { RecordDecoder } from "../index/record.ts";

export const VERDICT = {
  /** The parent's entry stands, content and attributes. */
  keep: 0,
  /** A job of the first pass says what it is. */
  first: 1,
  /** A job of the second pass does: it may be a moved file. */
  second: 2,
  /** Another name of a file that a job reads. */
  linked: 3,
  /** A job of the third pass says: the name that was to be read was gone, or another file's. */
  third: 4,
} as const;
export type Verdict = (typeof VERDICT)[keyof typeof VERDICT];

export class Draft {
  readonly #batches: Uint8Array[] = [];
  #verdicts = new Uint8Array(new ArrayBuffer(1 << 16));
  /** Entries that have a verdict. */
  judged = 0;

  addBatch(batch: Uint8Array): void {
    this.#batches.push(batch);
  }

  judge(verdict: Verdict): void {
    if (this.judged === this.#verdicts.length) {
      const larger = new Uint8Array(new ArrayBuffer(this.#verdicts.length * 2));
      larger.set(this.#verdicts);
      this.#verdicts = larger;
    }
    this.#verdicts[this.judged++] = verdict;
  }

  judgeAgain(ordinal: number, verdict: Verdict): void {
    assert(ordinal < this.judged, "an entry without a verdict");
    this.#verdicts[ordinal] = verdict;
  }

  verdictOf(ordinal: number): Verdict {
    assert(ordinal < this.judged, "an entry without a verdict");
    return this.#verdicts[ordinal] as Verdict;
  }

  entries(): EntrySource {
    return new BatchSource(this.#batches);
  }
}

/** Batches of records, one behind the other. */
export class BatchSource implements EntrySource {
  readonly #batches: readonly Uint8Array[];
  readonly #decoder = new RecordDecoder();
  #next = 0;

  constructor(batches: readonly Uint8Array[]) {
    this.#batches = batches;
  }

  next(entry: Entry): boolean {
    while (!this.#decoder.next(entry)) {
      const batch = this.#batches[this.#next++];
      if (batch === undefined) return false;
      this.#decoder.open(batch);
    }
    return true;
  }
}
