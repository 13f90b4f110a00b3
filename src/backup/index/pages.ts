/** @module An index as frames of the archive: pages of records, then a directory that says where each page begins.
 *
 *      frame      u8 kind | part | bytes        a page longer than a frame goes on in the next: part 0, 1, 2, ...
 *      page       records, with a fresh context; in a delta: bytes of ops | ops | records
 *      directory  [entries of the base, in a delta] | entries | pages, each: first frame | records | path bytes | path
 *
 *  (1) The directory's last frame is the last frame of all.
 *  (2) `path` is that of the page's first record: a path is looked for in one page only. */
import { comparePaths, Entry } from "../entry.ts";
import { RecordDecoder } from "./record-decoder.ts";
import { ByteReader, ByteWriter, MalformedRecord, putVarint } from "./varint.ts";

/** Where an index is written to: the archive stores each as one frame. */
export interface IndexSink {
  /** `plain` is at most FRAME_BYTES_MAX long and valid only until the call returns. */
  frame(plain: Uint8Array): void;
}

/** Where an index is read from. */
export interface IndexPages {
  /** How many frames there are. */
  readonly count: number;
  /** Frame `number`, plain, its hash checked (throws if it is damaged). The bytes stay as they are. */
  page(number: number): Uint8Array;
}

export const FRAME_BYTES_MAX = 256 * 1024;
/** A page ends behind the record that fills it: one page is read to find a path. */
export const PAGE_BYTES = 128 * 1024;

export const PAGE = { full: 1, fullDirectory: 2, delta: 3, deltaDirectory: 4 } as const;
export type PageKind = (typeof PAGE)[keyof typeof PAGE];

const NOTHING = new Uint8Array(new ArrayBuffer(0));

/** Writes pages and remembers what the directory must say. */
export class PageWriter {
  readonly #sink: IndexSink;
  readonly #frame = new Uint8Array(new ArrayBuffer(FRAME_BYTES_MAX));
  readonly #directory = new ByteWriter();
  #frames = 0;
  #pages = 0;

  constructor(sink: IndexSink) {
    this.#sink = sink;
  }

  /** `bytes` in order make the page. */
  page(kind: PageKind, bytes: readonly Uint8Array[], records: number, firstPath: Uint8Array): void {
    this.#directory.varint(this.#frames);
    this.#directory.varint(records);
    this.#directory.varint(firstPath.length);
    this.#directory.bytes(firstPath);
    this.#pages++;
    this.#write(kind, bytes);
  }

  /** `counts` come before the list of pages. */
  directory(kind: PageKind, counts: readonly number[]): void {
    const head = new ByteWriter();
    for (const count of counts) head.varint(count);
    head.varint(this.#pages);
    this.#write(kind, [head.view(), this.#directory.view()]);
  }

  #write(kind: PageKind, pieces: readonly Uint8Array[]): void {
    let part = 0;
    const frame = this.#frame;
    const begin = (): number => {
      frame[0] = kind;
      return putVarint(frame, 1, part++);
    };
    const end = (bytes: number): void => {
      this.#sink.frame(frame.subarray(0, bytes));
      this.#frames++;
    };
    let at = begin();
    for (const piece of pieces) {
      let from = 0;
      while (from < piece.length) {
        if (at === FRAME_BYTES_MAX) {
          end(at);
          at = begin();
        }
        const bytes = Math.min(piece.length - from, FRAME_BYTES_MAX - at);
        frame.set(piece.subarray(from, from + bytes), at);
        from += bytes;
        at += bytes;
      }
    }
    end(at);
  }
}

/** The records of one index section (of a full one, or those that a delta inserts), by ordinal and by path. */
export class RecordPages {
  /** Entries of the index that this one is a difference to; null: a full one. */
  readonly baseCount: number | null;
  /** Entries of the index; in a full one, as many as there are records. */
  readonly entries: number;
  /** Records in this section. */
  readonly records: number;
  readonly pages: number;
  readonly #frames: IndexPages;
  readonly #kind: PageKind;
  /** First frame of each page, and of the directory behind them. */
  readonly #firstFrame: number[] = [];
  /** Ordinal of each page's first record, and the count of all behind them. */
  readonly #firstOrdinal: number[] = [0];
  readonly #firstPath: Uint8Array[] = [];
  /** For looking around: most sections are only asked for one path. */
  #scouting: { readonly cursor: RecordCursor; readonly entry: Entry } | null = null;
  #heldPage = -1;
  #heldBytes: Uint8Array = NOTHING;

  /** Throws MalformedRecord. */
  constructor(frames: IndexPages) {
    this.#frames = frames;
    const directoryFrame = this.#directoryFrame();
    const [kind, bytes] = this.#join(directoryFrame, frames.count);
    if (kind !== PAGE.fullDirectory && kind !== PAGE.deltaDirectory) {
      throw new MalformedRecord("an index without a directory");
    }
    this.#kind = kind === PAGE.fullDirectory ? PAGE.full : PAGE.delta;
    const reader = new ByteReader(bytes);
    this.baseCount = this.#kind === PAGE.delta ? reader.varint() : null;
    this.entries = reader.varint();
    this.pages = reader.varint();
    if (this.pages > directoryFrame) throw new MalformedRecord("an index of more pages than frames");
    this.records = this.#readDirectory(reader, directoryFrame);
    if (this.baseCount === null && this.records !== this.entries) {
      throw new MalformedRecord("an index whose pages hold more or less than it says");
    }
  }

  #directoryFrame(): number {
    if (this.#frames.count === 0) throw new MalformedRecord("an index without a directory");
    const last = this.#frames.count - 1;
    const reader = new ByteReader(this.#frames.page(last));
    reader.byte();
    const first = last - reader.varint();
    if (first < 0) throw new MalformedRecord("an index without a directory");
    return first;
  }

  #readDirectory(reader: ByteReader, directoryFrame: number): number {
    let records = 0;
    let before: Uint8Array | null = null;
    for (let page = 0; page < this.pages; page++) {
      const frame = reader.varint();
      const previous = this.#firstFrame[page - 1];
      if (previous === undefined ? frame !== 0 : frame <= previous) {
        throw new MalformedRecord("an index whose pages are out of order");
      }
      const count = reader.varint();
      const path = reader.take(reader.varint());
      records += count;
      if (count === 0 && this.#kind === PAGE.full) throw new MalformedRecord("an index with an empty page");
      if (count !== 0) {
        if (before !== null && comparePaths(before, before.length, path, path.length) >= 0) {
          throw new MalformedRecord("an index whose pages are out of order");
        }
        before = path;
      }
      this.#firstFrame.push(frame);
      this.#firstOrdinal.push(records);
      // A page without records stands where the next one does: the search never ends on it.
      this.#firstPath.push(count === 0 ? (before ?? NOTHING) : path);
    }
    this.#firstFrame.push(directoryFrame);
    const beyond = this.#firstFrame[this.pages - 1] ?? -1;
    if (!reader.done || beyond >= directoryFrame || (this.pages === 0 && directoryFrame !== 0)) {
      throw new MalformedRecord("an index whose directory does not fit its pages");
    }
    if (!Number.isSafeInteger(records)) throw new MalformedRecord("an index of too many entries");
    return records;
  }

  /** The page that holds record `ordinal`. */
  pageOf(ordinal: number): number {
    let low = 0;
    let high = this.pages;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#firstOrdinal[middle + 1] as number) <= ordinal) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Ordinal of the page's first record; of the page behind the last: the count of records. */
  firstOrdinal(page: number): number {
    return this.#firstOrdinal[page] ?? this.records;
  }

  /** A page's ops (none in a full index) and its records. */
  read(page: number): { ops: Uint8Array; records: Uint8Array } {
    const bytes = this.#pageBytes(page);
    if (this.#kind === PAGE.full) return { ops: NOTHING, records: bytes };
    const reader = new ByteReader(bytes);
    const ops = reader.take(reader.varint());
    return { ops, records: bytes.subarray(reader.at) };
  }

  /** How many records `before` holds for: it must hold for all up to some ordinal, and for none from there on. */
  partition(before: (path: Uint8Array, pathBytes: number) => boolean): number {
    const page = this.#lastPageBefore(before);
    if (page < 0) return 0;
    const until = this.firstOrdinal(page + 1);
    const { cursor, entry } = this.#scout();
    let ordinal = this.firstOrdinal(page);
    cursor.seek(ordinal);
    while (ordinal < until && cursor.next(entry) && before(entry.path, entry.pathBytes)) ordinal++;
    return ordinal;
  }

  /** The record of exactly this path; its ordinal, or -1. Fills `entry` only if it is there. */
  find(path: Uint8Array, entry: Entry): number {
    const page = this.#lastPageBefore((other, bytes) => comparePaths(other, bytes, path, path.length) <= 0);
    if (page < 0) return -1;
    const until = this.firstOrdinal(page + 1);
    const { cursor, entry: seen } = this.#scout();
    cursor.seek(this.firstOrdinal(page));
    for (let ordinal = this.firstOrdinal(page); ordinal < until && cursor.next(seen); ordinal++) {
      const order = comparePaths(seen.path, seen.pathBytes, path, path.length);
      if (order > 0) return -1;
      if (order < 0) continue;
      cursor.seek(ordinal);
      cursor.next(entry);
      return ordinal;
    }
    return -1;
  }

  /** The last page with records whose first path `before` holds for; -1: none. */
  #lastPageBefore(before: (path: Uint8Array, pathBytes: number) => boolean): number {
    let low = 0;
    let high = this.pages;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const path = this.#firstPath[middle] as Uint8Array;
      if (before(path, path.length)) low = middle + 1;
      else high = middle;
    }
    const until = this.firstOrdinal(low);
    return low === 0 || until === 0 ? -1 : this.pageOf(until - 1);
  }

  #scout(): { readonly cursor: RecordCursor; readonly entry: Entry } {
    this.#scouting ??= { cursor: new RecordCursor(this), entry: new Entry() };
    return this.#scouting;
  }

  #pageBytes(page: number): Uint8Array {
    if (page === this.#heldPage) return this.#heldBytes;
    const first = this.#firstFrame[page] as number;
    const [kind, bytes] = this.#join(first, this.#firstFrame[page + 1] as number);
    if (kind !== this.#kind) throw new MalformedRecord("a page of another kind");
    this.#heldPage = page;
    this.#heldBytes = bytes;
    return bytes;
  }

  /** The page in frames [first, end), without their heads. */
  #join(first: number, end: number): [number, Uint8Array] {
    const pieces: Uint8Array[] = [];
    let kind = -1;
    for (let number = first; number < end; number++) {
      const frame = this.#frames.page(number);
      const reader = new ByteReader(frame);
      const itsKind = reader.byte();
      if (kind !== -1 && itsKind !== kind) throw new MalformedRecord("a page of two kinds");
      kind = itsKind;
      if (reader.varint() !== number - first)
        throw new MalformedRecord("a page whose parts are out of order");
      pieces.push(frame.subarray(reader.at));
    }
    const only = pieces[0];
    return [kind, pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces)];
  }
}

/** Reads records of one section in order, from any ordinal on. */
export class RecordCursor {
  readonly #pages: RecordPages;
  readonly #decoder = new RecordDecoder(NOTHING, true);
  readonly #skipped = new Entry();
  /** The record that `next` gives, and the first behind the page that is open. */
  #ordinal = 0;
  #pageEnd = 0;

  constructor(pages: RecordPages) {
    this.#pages = pages;
  }

  /** Goes to record `ordinal`. */
  seek(ordinal: number): void {
    if (ordinal < this.#ordinal || ordinal >= this.#pageEnd) {
      if (ordinal >= this.#pages.records) {
        this.#ordinal = this.#pageEnd = this.#pages.records;
        return;
      }
      this.#open(this.#pages.pageOf(ordinal));
    }
    while (this.#ordinal < ordinal) this.next(this.#skipped);
  }

  /** False behind the last record. Throws MalformedRecord. */
  next(entry: Entry): boolean {
    if (this.#ordinal === this.#pageEnd) {
      if (this.#ordinal >= this.#pages.records) return false;
      this.#open(this.#pages.pageOf(this.#ordinal));
    }
    if (!this.#decoder.next(entry))
      throw new MalformedRecord("a page with fewer records than its directory says");
    this.#ordinal++;
    if (this.#ordinal === this.#pageEnd && !this.#decoder.done) {
      throw new MalformedRecord("a page with more records than its directory says");
    }
    return true;
  }

  #open(page: number): void {
    this.#ordinal = this.#pages.firstOrdinal(page);
    this.#pageEnd = this.#pages.firstOrdinal(page + 1);
    this.#decoder.open(this.#pages.read(page).records);
  }
}
