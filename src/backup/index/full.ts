/** @module Writes an index that can be read without any other: all entries, page by page. */
import { assert } from "../../base/assert.ts";
import { comparePaths, type Entry, SPAN_NUMBERS } from "../entry.ts";
import { type IndexSink, PAGE, PAGE_BYTES, PageWriter } from "./pages.ts";
import { RecordEncoder } from "./record.ts";

/** Collects one page's records and the first one's path. Asserts what a strict decoder asks for. */
export class PageRecords {
  readonly #encoder = new RecordEncoder(PAGE_BYTES + PAGE_BYTES / 4);
  #first = new Uint8Array(new ArrayBuffer(0));
  #last = new Uint8Array(new ArrayBuffer(4096));
  #lastBytes = -1;

  get count(): number {
    return this.#encoder.count;
  }

  get full(): boolean {
    return this.#encoder.bytes >= PAGE_BYTES;
  }

  /** Path of the page's first record; empty while there is none. */
  get firstPath(): Uint8Array {
    return this.#first;
  }

  view(): Uint8Array {
    return this.#encoder.view();
  }

  add(entry: Entry): void {
    const { path, pathBytes } = entry;
    assert(
      this.#lastBytes < 0 || comparePaths(this.#last, this.#lastBytes, path, pathBytes) < 0,
      "entries of an index must come in order",
    );
    assert(isCovered(entry), "the spans of an entry in an index must cover the file");
    if (this.#last.length < pathBytes) this.#last = new Uint8Array(new ArrayBuffer(path.length));
    for (let at = 0; at < pathBytes; at++) this.#last[at] = path[at] as number;
    this.#lastBytes = pathBytes;
    if (this.#encoder.count === 0) this.#first = path.slice(0, pathBytes);
    this.#encoder.add(entry);
  }

  /** Begins the next page. */
  reset(): void {
    this.#encoder.reset();
    this.#first = new Uint8Array(new ArrayBuffer(0));
  }
}

function isCovered({ hasContent, spans, spanCount, sizeBytes }: Entry): boolean {
  if (!hasContent || spanCount === 0) return true;
  let bytes = 0;
  for (let span = 0; span < spanCount; span++) bytes += spans[span * SPAN_NUMBERS + 3] as number;
  return bytes === sizeBytes;
}

export class FullIndexWriter {
  readonly #writer: PageWriter;
  readonly #records = new PageRecords();
  #entries = 0;

  constructor(sink: IndexSink) {
    this.#writer = new PageWriter(sink);
  }

  /** Entries in the order of comparePaths, each path once. */
  add(entry: Entry): void {
    this.#records.add(entry);
    this.#entries++;
    if (this.#records.full) this.#endPage();
  }

  /** Writes what is left and the directory. */
  finish(): void {
    if (this.#records.count > 0) this.#endPage();
    this.#writer.directory(PAGE.fullDirectory, [this.#entries]);
  }

  #endPage(): void {
    this.#writer.page(PAGE.full, [this.#records.view()], this.#records.count, this.#records.firstPath);
    this.#records.reset();
  }
}
