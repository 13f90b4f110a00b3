/** @module The two forms of a new index behind one port, and the list of paths that it changes. */
import { type Entry, FLAG } from "../entry.ts";
import { ChangesWriter } from "../index/changes.ts";
import { DeltaIndexWriter } from "../index/delta.ts";
import { FullIndexWriter } from "../index/full.ts";
import type { IndexSink } from "../index/pages.ts";
import type { IndexOut } from "./publish.ts";

export interface IndexOutput extends IndexOut {
  /** Writes what is left. */
  finish(): void;
  /** Null: too many to tell. */
  changes(): Uint8Array | null;
}

/** All entries; those of the parent are marked as unchanged (TREE-07). */
export class FullOut implements IndexOutput {
  readonly #writer: FullIndexWriter;
  readonly #changes: ChangesWriter | null;

  /** `full`: the backup has no parent, any path is new. */
  constructor(sink: IndexSink, full: boolean) {
    this.#writer = new FullIndexWriter(sink);
    this.#changes = full ? null : new ChangesWriter();
  }

  keep(then: Entry): void {
    then.flags = (then.flags | FLAG.unchanged) & ~FLAG.moved;
    this.#writer.add(then);
  }

  drop(then: Entry): void {
    this.#changes?.add(then.path, then.pathBytes);
  }

  put(now: Entry): void {
    this.#changes?.add(now.path, now.pathBytes);
    this.#writer.add(now);
  }

  finish(): void {
    this.#writer.finish();
  }

  changes(): Uint8Array | null {
    return this.#changes?.finish() ?? null;
  }
}

/** What differs from the parent's index. */
export class DeltaOut implements IndexOutput {
  readonly #writer: DeltaIndexWriter;
  readonly #changes = new ChangesWriter();

  constructor(sink: IndexSink) {
    this.#writer = new DeltaIndexWriter(sink);
  }

  keep(): void {
    this.#writer.copy(1);
  }

  /** All of the parent's entries at once. */
  keepAll(count: number): void {
    this.#writer.copy(count);
  }

  drop(then: Entry): void {
    this.#changes.add(then.path, then.pathBytes);
    this.#writer.drop(1);
  }

  put(now: Entry): void {
    this.#changes.add(now.path, now.pathBytes);
    this.#writer.insert(now);
  }

  finish(): void {
    this.#writer.finish();
  }

  changes(): Uint8Array | null {
    return this.#changes.finish();
  }
}
