/** @module Pages of an index (frames.ts), written, and read by ordinal and by path. */
import { comparePaths, Entry } from "../entry.ts";
import { isDamage } from "./damage.ts";
import { type Directory, readDirectory } from "./directory.ts";
import {
  FRAME_BYTES_MAX,
  type IndexPages,
  type IndexSink,
  joinFrames,
  NOTHING,
  PAGE,
  type PageKind,
} from "./frames.ts";
import { RecordDecoder } from "./record-decoder.ts";
import { ByteReader, ByteWriter, MalformedRecord, putVarint } from "./varint.ts";

export { FRAME_BYTES_MAX, type IndexPages, type IndexSink, PAGE, PAGE_BYTES } from "./frames.ts";

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
  readonly directory: Directory;
  /** Entries of the index that this one is a difference to; null: a full one. */
  readonly baseCount: number | null;
  /** Entries of the index; in a full one, as many as there are records. */
  readonly entries: number;
  /** Records in this section. */
  readonly records: number;
  readonly pages: number;
  readonly #frames: IndexPages;
  /** For looking around: most sections are only asked for one path. */
  #scouting: { readonly cursor: RecordCursor; readonly entry: Entry } | null = null;
  #heldPage = -1;
  #heldBytes: Uint8Array = NOTHING;

  /** Throws MalformedRecord. */
  constructor(frames: IndexPages, directory: Directory = readDirectory(frames)) {
    this.#frames = frames;
    this.directory = directory;
    this.baseCount = directory.baseCount;
    this.entries = directory.entries;
    this.pages = directory.firstPath.length;
    this.records = directory.firstOrdinal[this.pages] as number;
  }

  /** The page that holds record `ordinal`. */
  pageOf(ordinal: number): number {
    let low = 0;
    let high = this.pages;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.directory.firstOrdinal[middle + 1] as number) <= ordinal) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Ordinal of the page's first record; of the page behind the last: the count of records. */
  firstOrdinal(page: number): number {
    return this.directory.firstOrdinal[page] ?? this.records;
  }

  /** A page's ops (none in a full index) and its records. */
  read(page: number): { ops: Uint8Array; records: Uint8Array } {
    const bytes = this.#pageBytes(page);
    if (this.directory.kind === PAGE.full) return { ops: NOTHING, records: bytes };
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

  /** As `partition`; of a page that cannot be read, all of it (`up`) or nothing of it. */
  reach(before: (path: Uint8Array, pathBytes: number) => boolean, up: boolean): number {
    try {
      return this.partition(before);
    } catch (error) {
      if (!isDamage(error)) throw error;
      return this.firstOrdinal(this.#lastPageBefore(before) + (up ? 1 : 0));
    }
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
      const path = this.directory.firstPath[middle] as Uint8Array;
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
    const { firstFrame } = this.directory;
    const [kind, bytes] = joinFrames(
      this.#frames,
      firstFrame[page] as number,
      firstFrame[page + 1] as number,
    );
    if (kind !== this.directory.kind) throw new MalformedRecord("a page of another kind");
    this.#heldPage = page;
    this.#heldBytes = bytes;
    return bytes;
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
    // Of a page that cannot be read nothing is open: the next call tries again.
    this.#ordinal = this.#pageEnd = this.#pages.firstOrdinal(page);
    this.#decoder.open(this.#pages.read(page).records);
    this.#pageEnd = this.#pages.firstOrdinal(page + 1);
  }
}
