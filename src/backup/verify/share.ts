/** @module One thread's share of a verification: takes strings, then batches of chunks, until none is left. Needs nothing
 *  but the plan; never stops at damage. */
import { assert } from "../../base/assert.ts";
import { libc, O_RDONLY, openFile } from "../../base/ffi.ts";
import { ioError } from "../archive/faults.ts";
import { dropCached, readFully, willReadInOrder } from "../archive/files.ts";
import { type FrameExpected, Seal, unpackFrame } from "../archive/frame.ts";
import {
  aligned,
  CHUNK_PLAIN_BYTES_MAX,
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  PIECE,
  PIECE_HEADER_BYTES,
  PIECE_MAGIC,
} from "../archive/layout.ts";
import { Workspace } from "../archive/workspace.ts";
import { CODEC_TABLES_BYTES } from "../codec/codec.ts";
import {
  COUNTER,
  ITEM,
  ITEM_FLAG,
  ITEM_WORDS,
  SPAN,
  SPAN_NUMBERS,
  STRING,
  STRING_NUMBERS,
  UNIT,
  UNIT_NUMBERS,
  type VerifyPlan,
} from "./plan.ts";
import type { ShareFindings, VerifyStart } from "./types.ts";

/** Frames that lie one behind the other are read together, this much at a time. */
export const BATCH_BYTES = 1024 * 1024;
const PAGE_BYTES = 65536;
const CHUNK_ROOM = Math.ceil((CHUNK_PLAIN_BYTES_MAX + FRAME_HEADER_BYTES) / PAGE_BYTES) * PAGE_BYTES;
const TABLES_ROOM = Math.ceil(CODEC_TABLES_BYTES / PAGE_BYTES) * PAGE_BYTES;
const ZERO_BYTES = CHUNK_PLAIN_BYTES_MAX;
const FINDINGS_MAX = 100_000;
const OUTSIDE = "the index points outside of its chunk";
const CHANGED = "its SHA-256 is not the one in the index";

/** The body of a Worker, or a step on the calling thread. */
export function runVerifyShare(start: VerifyStart): ShareFindings {
  return new Share(start.plan).run();
}

interface OpenedArchive {
  readonly fd: number;
  readonly seal: Seal;
}

class Share {
  readonly #plan: VerifyPlan;
  readonly #workspace: Workspace;
  readonly #windowAt = TABLES_ROOM;
  /** What lies between frames. */
  readonly #spareAt = TABLES_ROOM + BATCH_BYTES;
  readonly #plainAt = TABLES_ROOM + BATCH_BYTES + CHUNK_ROOM;
  readonly #zeros = new Uint8Array(ZERO_BYTES);
  readonly #archives: (OpenedArchive | undefined)[] = [];
  readonly #hash = new Uint8Array(new ArrayBuffer(32));
  readonly #hashWords = new Uint32Array(this.#hash.buffer);
  readonly #units: { unit: number; text: string }[] = [];
  readonly #files: { ordinal: number; text: string }[] = [];
  readonly #others: string[] = [];
  #chunks = 0;
  #plainBytes = 0;
  #filesChecked = 0;

  constructor(plan: VerifyPlan) {
    this.#plan = plan;
    const pages = (this.#plainAt + CHUNK_ROOM) / PAGE_BYTES;
    this.#workspace = new Workspace(
      new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }),
      0,
    );
  }

  run(): ShareFindings {
    const { counters, stringOrder, batches } = this.#plan;
    for (;;) {
      const place = Atomics.add(counters, COUNTER.string, 1);
      if (place >= stringOrder.length || this.#stopped()) break;
      this.#string(stringOrder[place] as number);
    }
    for (;;) {
      const batch = Atomics.add(counters, COUNTER.batch, 1);
      if (batch >= batches.length - 1 || this.#stopped()) break;
      this.#batch(batches[batch] as number, batches[batch + 1] as number);
    }
    for (const archive of this.#archives) if (archive !== undefined) libc.close(archive.fd);
    return {
      type: "verified",
      units: this.#units,
      files: this.#files,
      others: this.#others,
      chunks: this.#chunks,
      plainBytes: this.#plainBytes,
      filesChecked: this.#filesChecked,
    };
  }

  #stopped(): boolean {
    return Atomics.load(this.#plan.counters, COUNTER.stop) !== 0;
  }

  #archive(index: number): OpenedArchive | null {
    const known = this.#archives[index];
    if (known !== undefined) return known;
    const described = this.#plan.archives[index];
    assert(described !== undefined, "a unit has an archive");
    const fd = openFile(described.path, O_RDONLY);
    if (fd < 0) {
      this.#other(ioError(fd, `opening ${described.path}`).text);
      return null;
    }
    if (!this.#plan.cached) dropCached(fd);
    willReadInOrder(fd);
    const archive = { fd, seal: new Seal(described.salt) };
    this.#archives[index] = archive;
    return archive;
  }

  /** Units [from, to) of one archive, each frame right behind the one before. */
  #batch(from: number, to: number): void {
    const { owners, quick, itemsFrom } = this.#plan;
    let first = from;
    while (first < to) {
      const wanted = (unit: number) =>
        owners[unit] === -1 && !(quick && itemsFrom[unit] === itemsFrom[unit + 1]);
      if (!wanted(first)) {
        first++;
        continue;
      }
      let end = first + 1;
      while (end < to && wanted(end)) end++;
      this.#neighbours(first, end);
      first = end;
    }
  }

  #neighbours(from: number, to: number): void {
    const archive = this.#archive(this.#unit(from, UNIT.archive));
    const start = this.#unit(from, UNIT.offset);
    const bytes = this.#frameEnd(to - 1) - start;
    const windowAt = this.#windowAt;
    const got = archive === null ? 0 : readFully(archive.fd, this.#workspace.base + windowAt, bytes, start);
    for (let unit = from; unit < to; unit++) {
      // Where not all can be read: one at a time, so that what can be read is.
      if (archive === null || got < bytes) {
        this.#alone(unit);
        continue;
      }
      const at = windowAt + this.#unit(unit, UNIT.offset) - start;
      const fault = unpackFrame(this.#workspace, archive.seal, this.#expected(unit), at, this.#plainAt);
      this.#behind(unit, archive.fd, at);
      this.#settle(unit, fault?.text ?? null);
    }
  }

  /** Reads a unit into the window and the place for plain bytes, and checks all that belongs to it; what is wrong with it,
   *  or null. */
  #alone(unit: number): string | null {
    const text = this.#load(unit);
    const archive = this.#archive(this.#unit(unit, UNIT.archive));
    if (archive !== null) this.#behind(unit, archive.fd, this.#windowAt);
    this.#settle(unit, text);
    return text;
  }

  /** Reads a unit; what is wrong with it, or null. */
  #load(unit: number): string | null {
    const archive = this.#archive(this.#unit(unit, UNIT.archive));
    if (archive === null) return "its archive cannot be opened";
    const workspace = this.#workspace;
    const expected = this.#expected(unit);
    const padded = aligned(FRAME_HEADER_BYTES + expected.storedBytes);
    const got = readFully(archive.fd, workspace.base + this.#windowAt, padded, expected.offset);
    if (got < 0) return ioError(got, `reading ${this.#name(unit)}`).text;
    if (got < padded) return "the file ends before it";
    return unpackFrame(workspace, archive.seal, expected, this.#windowAt, this.#plainAt)?.text ?? null;
  }

  #settle(unit: number, text: string | null): void {
    if (text === null) this.#content(unit);
    else if (this.#units.length < FINDINGS_MAX) this.#units.push({ unit, text });
  }

  /** The unit's plain bytes are there and are whole. */
  #content(unit: number): void {
    const { items, itemOrder, itemsFrom, counters } = this.#plan;
    const plainBytes = this.#unit(unit, UNIT.plainBytes);
    this.#chunks++;
    this.#plainBytes += plainBytes;
    Atomics.add(counters, COUNTER.plainKib, Math.ceil(plainBytes / 1024));
    const end = itemsFrom[unit + 1] as number;
    for (let place = itemsFrom[unit] as number; place < end; place++) {
      const item = (itemOrder[place] as number) * ITEM_WORDS;
      const text = this.#item(item, plainBytes);
      if (text !== null) this.#damagedFile(items[item + ITEM.ordinal] as number, text);
    }
    this.#filesChecked += end - (itemsFrom[unit] as number);
  }

  /** What is wrong with an item, or null. */
  #item(item: number, plainBytes: number): string | null {
    const { items } = this.#plan;
    const offset = items[item + ITEM.offset] as number;
    const bytes = items[item + ITEM.bytes] as number;
    const head = items[item + ITEM.head] as number;
    if (offset < PIECE_HEADER_BYTES || offset + bytes > plainBytes) return OUTSIDE;
    const { view, bytes: memory } = this.#workspace;
    const at = this.#plainAt + offset;
    const header = at - PIECE_HEADER_BYTES;
    const magic = view.getUint16(header + PIECE.magic, true);
    if (magic !== PIECE_MAGIC || view.getUint32(header + PIECE.dataBytes, true) !== bytes)
      return "its data does not begin where the index says";
    if ((head & ITEM_FLAG.path) !== 0 && view.getUint16(header + PIECE.pathHash, true) !== (head & 0xffff))
      return "the index points to another file's data";
    const sha = item + ITEM.sha;
    if ((head & ITEM_FLAG.runs) !== 0) return this.#runs(items[item + ITEM.string] as number, plainBytes);
    if ((head & ITEM_FLAG.sha) !== 0) {
      Bun.SHA256.hash(memory.subarray(at, at + bytes), this.#hash);
      for (let word = 0; word < 8; word++) if (this.#hashWords[word] !== items[sha + word]) return CHANGED;
    } else if ((head & ITEM_FLAG.piece) !== 0) {
      const hash = this.#workspace.hash(at, bytes);
      if (Number(hash & 0xffffffffn) !== items[sha] || Number(hash >> 32n) !== items[sha + 1])
        return "a piece's hash is not the one in the index";
    }
    return null;
  }

  /** What is wrong with a string of which all data lies in the unit at hand, or null. */
  #runs(string: number, plainBytes: number): string | null {
    const sha = new Bun.CryptoHasher("sha256");
    const inside = this.#spans(string, (unit, offset, bytes) => {
      if (unit < 0) return this.#hole(sha, bytes);
      if (offset + bytes > plainBytes) return false;
      sha.update(this.#workspace.bytes.subarray(this.#plainAt + offset, this.#plainAt + offset + bytes));
      return true;
    });
    if (!inside) return OUTSIDE;
    return this.#same(string, sha) ? null : CHANGED;
  }

  /** A string over several units: reads them in its own order, and looks after those that it owns. */
  #string(string: number): void {
    const { owners } = this.#plan;
    const sha = new Bun.CryptoHasher("sha256");
    let loaded = -1;
    let fault = false;
    const visited = new Set<number>();
    const whole = this.#spans(string, (unit, offset, bytes) => {
      if (unit < 0) return fault || this.#hole(sha, bytes);
      if (unit !== loaded) {
        const first = owners[unit] === string && !visited.has(unit);
        visited.add(unit);
        loaded = unit;
        fault ||= (first ? this.#alone(unit) : this.#load(unit)) !== null;
      }
      if (fault) return true;
      if (offset < PIECE_HEADER_BYTES || offset + bytes > this.#unit(unit, UNIT.plainBytes)) return false;
      sha.update(this.#workspace.bytes.subarray(this.#plainAt + offset, this.#plainAt + offset + bytes));
      return true;
    });
    this.#filesChecked++;
    const ordinal = this.#plan.strings[string * STRING_NUMBERS + STRING.ordinal] as number;
    if (!whole) this.#damagedFile(ordinal, OUTSIDE);
    else if (!fault && !this.#same(string, sha)) this.#damagedFile(ordinal, CHANGED);
  }

  /** Calls `each` span; false as soon as one is wrong. */
  #spans(string: number, each: (unit: number, offset: number, bytes: number) => boolean): boolean {
    const { strings, spans } = this.#plan;
    const from = strings[string * STRING_NUMBERS + STRING.spanFrom] as number;
    const count = strings[string * STRING_NUMBERS + STRING.spanCount] as number;
    for (let span = from; span < from + count; span++) {
      const at = span * SPAN_NUMBERS;
      const unit = spans[at + SPAN.unit] as number;
      if (!each(unit, spans[at + SPAN.offset] as number, spans[at + SPAN.bytes] as number)) return false;
    }
    return true;
  }

  #hole(sha: Bun.CryptoHasher, bytes: number): boolean {
    for (let done = 0; done < bytes; done += ZERO_BYTES)
      sha.update(this.#zeros.subarray(0, Math.min(ZERO_BYTES, bytes - done)));
    return true;
  }

  #same(string: number, sha: Bun.CryptoHasher): boolean {
    const expected = this.#plan.stringHashes.subarray(string * 32, string * 32 + 32);
    return Buffer.compare(sha.digest(), expected) === 0;
  }

  /** The zeros after a frame that lies at `at` in the window, and those up to the next frame, of which there are none
   *  if no run was interrupted. */
  #behind(unit: number, fd: number, at: number): void {
    const workspace = this.#workspace;
    const gapEnd = this.#unit(unit, UNIT.gapEnd);
    if (gapEnd === 0) return;
    const used = FRAME_HEADER_BYTES + this.#unit(unit, UNIT.storedBytes);
    let zero = workspace.isZero(at + used, aligned(used) - used);
    for (let offset = this.#frameEnd(unit); offset < gapEnd && zero; offset += CHUNK_ROOM) {
      const want = Math.min(CHUNK_ROOM, gapEnd - offset);
      const got = readFully(fd, workspace.base + this.#spareAt, want, offset);
      zero = got === want && workspace.isZero(this.#spareAt, want);
    }
    if (!zero) this.#other(`there is something behind ${this.#name(unit)} that belongs to nothing`);
  }

  #unit(unit: number, field: number): number {
    return this.#plan.units[unit * UNIT_NUMBERS + field] as number;
  }

  #frameEnd(unit: number): number {
    const bytes = FRAME_HEADER_BYTES + this.#unit(unit, UNIT.storedBytes);
    return this.#unit(unit, UNIT.offset) + aligned(bytes);
  }

  #expected(unit: number): FrameExpected {
    return {
      kind: FRAME_KIND.chunk,
      number: this.#unit(unit, UNIT.number),
      offset: this.#unit(unit, UNIT.offset),
      storedBytes: this.#unit(unit, UNIT.storedBytes),
      plainBytes: this.#unit(unit, UNIT.plainBytes),
      hash: this.#plan.unitHashes[unit] as bigint,
    };
  }

  #name(unit: number): string {
    const archive = this.#plan.archives[this.#unit(unit, UNIT.archive)];
    return `chunk ${this.#unit(unit, UNIT.number)} of backup ${archive?.pack ?? "?"}`;
  }

  #damagedFile(ordinal: number, text: string): void {
    if (this.#files.length < FINDINGS_MAX) this.#files.push({ ordinal, text });
  }

  #other(text: string): void {
    if (this.#others.length < FINDINGS_MAX) this.#others.push(text);
  }
}
