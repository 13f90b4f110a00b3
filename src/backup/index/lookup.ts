/** @module Reads the index of one backup: its own frames, and those of the indexes that it is a difference to.
 *
 *  (1) An entry that is taken over from another index is flagged `unchanged`, and no longer `moved`.
 *  (2) Everything throws MalformedRecord, or what the frames' reader throws, where the bytes are damaged. */
import { comparePaths, Entry, type EntrySource, FLAG, isWithin } from "../entry.ts";
import { composeSegments, Segments } from "./compose.ts";
import { type IndexPages, RecordCursor, RecordPages } from "./pages.ts";
import { MalformedRecord } from "./record.ts";

export interface Index {
  /** Entries in all. */
  readonly count: number;
  /** All entries in order. */
  cursor(): EntrySource;
  /** The entry of exactly this path, in an Entry of its own. */
  find(path: Uint8Array): Entry | null;
  /** The entry of this path, if there is one, and all that is below it; an empty path: everything. */
  under(path: Uint8Array): EntrySource;
}

/** `chain`: the full index first, then each difference, the backup's own last. */
export function openIndex(chain: readonly IndexPages[]): Index {
  return new ComposedIndex(chain.map((frames) => new RecordPages(frames)));
}

class ComposedIndex implements Index {
  readonly count: number;
  readonly #sources: readonly RecordPages[];
  readonly #segments: Segments;

  constructor(sources: readonly RecordPages[]) {
    this.#sources = sources;
    this.#segments = composeSegments(sources);
    this.count = this.#segments.entries;
  }

  cursor(): EntrySource {
    return new SegmentCursor(this.#sources, this.#segments);
  }

  find(path: Uint8Array): Entry | null {
    const entry = new Entry();
    for (let source = this.#sources.length - 1; source >= 0; source--) {
      const ordinal = (this.#sources[source] as RecordPages).find(path, entry);
      if (ordinal < 0 || !this.#segments.has(source, ordinal)) continue;
      if (source !== this.#sources.length - 1) takeOver(entry);
      return entry;
    }
    return null;
  }

  under(path: Uint8Array): EntrySource {
    if (path.length === 0) return this.cursor();
    const ahead = (other: Uint8Array, bytes: number): boolean =>
      comparePaths(other, bytes, path, path.length) < 0;
    const aheadOrWithin = (other: Uint8Array, bytes: number): boolean =>
      isWithin(other, bytes, path) || ahead(other, bytes);
    const bounds = this.#sources.map((pages) => {
      const from = pages.partition(ahead);
      return { from, to: from === pages.records ? from : pages.partition(aheadOrWithin) };
    });
    const clipped = new Segments();
    for (let segment = 0; segment < this.#segments.length; segment++) {
      const source = this.#segments.source(segment);
      const first = this.#segments.first(segment);
      const { from, to } = bounds[source] as { from: number; to: number };
      const begin = Math.max(first, from);
      const end = Math.min(first + this.#segments.count(segment), to);
      if (begin < end) clipped.push(source, begin, end - begin);
    }
    return new SegmentCursor(this.#sources, clipped);
  }
}

class SegmentCursor implements EntrySource {
  readonly #segments: Segments;
  readonly #sources: readonly RecordPages[];
  readonly #cursors: (RecordCursor | undefined)[] = [];
  #segment = -1;
  #left = 0;
  #cursor: RecordCursor | null = null;
  #takenOver = false;

  constructor(sources: readonly RecordPages[], segments: Segments) {
    this.#segments = segments;
    this.#sources = sources;
  }

  next(entry: Entry): boolean {
    if (this.#left === 0 && !this.#nextSegment()) return false;
    this.#left--;
    if (this.#cursor?.next(entry) !== true) throw new MalformedRecord("an index that ends too early");
    if (this.#takenOver) takeOver(entry);
    return true;
  }

  #nextSegment(): boolean {
    if (++this.#segment >= this.#segments.length) {
      this.#segment = this.#segments.length;
      return false;
    }
    const source = this.#segments.source(this.#segment);
    this.#cursor = this.#cursors[source] ??= new RecordCursor(this.#sources[source] as RecordPages);
    this.#cursor.seek(this.#segments.first(this.#segment));
    this.#left = this.#segments.count(this.#segment);
    this.#takenOver = source !== this.#sources.length - 1;
    return true;
  }
}

export function takeOver(entry: Entry): void {
  entry.flags = (entry.flags & ~FLAG.moved) | FLAG.unchanged;
}
