/** @module A source within another one (/home/u/x beside /home, which perhaps is another file system, or left out): its
 *  records are put among the outer one's, where they belong. */
import { comparePaths, Entry } from "../entry.ts";
import { RecordDecoder, RecordEncoder } from "../index/record.ts";

const BATCH_BYTES = 128 * 1024;

class Head {
  readonly entry = new Entry();
  readonly #batches: readonly Uint8Array[];
  readonly #decoder = new RecordDecoder();
  #next = 0;

  constructor(batches: readonly Uint8Array[]) {
    this.#batches = batches;
  }

  advance(): boolean {
    while (!this.#decoder.next(this.entry)) {
      const batch = this.#batches[this.#next++];
      if (batch === undefined) return false;
      this.#decoder.open(batch);
    }
    return true;
  }
}

export class InnerMerge {
  #heads: Head[];
  readonly #outer = new Entry();
  readonly #decoder = new RecordDecoder();
  readonly #encoder = new RecordEncoder();

  /** Each source's batches. No path is in two of them, nor in the outer list. */
  constructor(sources: readonly (readonly Uint8Array[])[]) {
    this.#heads = sources.map((batches) => new Head(batches)).filter((head) => head.advance());
  }

  /** The next batch of the outer list, with what belongs before its entries. */
  *take(batch: Uint8Array): Generator<Uint8Array> {
    this.#decoder.open(batch);
    while (this.#decoder.next(this.#outer)) {
      yield* this.#putBefore(this.#outer);
      yield* this.#put(this.#outer);
    }
  }

  *finish(): Generator<Uint8Array> {
    yield* this.#putBefore(null);
    if (this.#encoder.count > 0) yield this.#encoder.take();
  }

  *#putBefore(limit: Entry | null): Generator<Uint8Array> {
    for (;;) {
      let first: Head | undefined;
      for (const head of this.#heads)
        if (first === undefined || isBefore(head.entry, first.entry)) first = head;
      if (first === undefined || (limit !== null && !isBefore(first.entry, limit))) return;
      yield* this.#put(first.entry);
      if (!first.advance()) this.#heads = this.#heads.filter((head) => head !== first);
    }
  }

  *#put(entry: Entry): Generator<Uint8Array> {
    this.#encoder.add(entry);
    if (this.#encoder.bytes < BATCH_BYTES) return;
    const batch = this.#encoder.take();
    this.#encoder.reset();
    yield batch;
  }
}

const isBefore = (a: Entry, b: Entry): boolean => comparePaths(a.path, a.pathBytes, b.path, b.pathBytes) < 0;
