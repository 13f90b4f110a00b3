/** @module Writes an index as the difference to another one: which of its entries stay, which go, what comes in between.
 *
 *  The ops (ops.ts) of all pages in order make the index; those of a page insert exactly the records of that page. */
import { assert } from "../../base/assert.ts";
import type { Entry } from "../entry.ts";
import { PageRecords } from "./full.ts";
import { type IndexSink, PAGE, PAGE_BYTES, PageWriter, type RecordPages } from "./pages.ts";
import { OP, OPS, parseOps } from "./ops.ts";
import { ByteWriter, MalformedRecord } from "./varint.ts";

export class DeltaIndexWriter {
  readonly #writer: PageWriter;
  readonly #records = new PageRecords();
  readonly #ops = new ByteWriter();
  #op: number = OP.copy;
  #opCount = 0;
  #baseEntries = 0;
  #entries = 0;

  constructor(sink: IndexSink) {
    this.#writer = new PageWriter(sink);
  }

  /** The base's next `count` entries are in this index too. */
  copy(count: number): void {
    this.#baseEntries += count;
    this.#entries += count;
    this.#put(OP.copy, count);
  }

  /** The base's next `count` entries are not: gone, or inserted anew with other facts. */
  drop(count: number): void {
    this.#baseEntries += count;
    this.#put(OP.drop, count);
  }

  /** Its path must be behind all that stands before it and ahead of all that will be copied. */
  insert(entry: Entry): void {
    this.#records.add(entry);
    this.#entries++;
    this.#put(OP.insert, 1);
    if (this.#records.full) this.#endPage();
  }

  /** All entries of the base must have been copied or dropped. */
  finish(): void {
    this.#flushOp();
    if (this.#ops.length > 0) this.#endPage();
    this.#writer.directory(PAGE.deltaDirectory, [this.#baseEntries, this.#entries]);
  }

  #put(op: number, count: number): void {
    assert(Number.isSafeInteger(count) && count >= 0, "a count of entries");
    if (count === 0) return;
    if (op !== this.#op) this.#flushOp();
    this.#op = op;
    this.#opCount += count;
  }

  #flushOp(): void {
    if (this.#opCount > 0) this.#ops.varint(this.#opCount * OPS + this.#op);
    this.#opCount = 0;
    if (this.#ops.length >= PAGE_BYTES) this.#endPage();
  }

  #endPage(): void {
    if (this.#opCount > 0) this.#ops.varint(this.#opCount * OPS + this.#op);
    this.#opCount = 0;
    const head = new ByteWriter();
    head.varint(this.#ops.length);
    const { count, firstPath } = this.#records;
    this.#writer.page(PAGE.delta, [head.view(), this.#ops.view(), this.#records.view()], count, firstPath);
    this.#ops.reset();
    this.#records.reset();
  }
}

/** All ops of a delta, in order: op, count, op, count, ... Throws MalformedRecord. */
export function* readOps(delta: RecordPages): Generator<[op: number, count: number]> {
  for (let page = 0; page < delta.pages; page++) {
    let inserted = 0;
    for (const step of parseOps(delta.read(page).ops)) {
      if (step[0] === OP.insert) inserted += step[1];
      yield step;
    }
    if (inserted !== delta.firstOrdinal(page + 1) - delta.firstOrdinal(page)) {
      throw new MalformedRecord("a page whose ops insert more or less than it holds");
    }
  }
}
