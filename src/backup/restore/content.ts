/** @module A file's bytes, from the chunks that hold them into an open file. They never enter the JS heap, and are hashed
 *  on their way: what is not the backup's SHA-256 is damage, whatever the chunks say.
 *  Holes are left out of the file and hashed as the zeros that they read as. */
import { checked, libc, preadFully, pwriteFully } from "../../base/ffi.ts";
import { type Entry, PIECE_BYTES, SPAN_NUMBERS } from "../entry.ts";
import type { PackChunks } from "./chunks.ts";

const SHA256_BYTES = 32;
const ZEROS = new Uint8Array(new ArrayBuffer(PIECE_BYTES));

/** 0: done. Negative: -errno of the target's file system. DAMAGED: `text` says what. */
export const DAMAGED = 1;
/** Told to stop in the middle. */
export const STOPPED = 2;

export class ContentWriter {
  readonly #chunks: PackChunks;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #base: number;
  readonly #digest = new Uint8Array(new ArrayBuffer(SHA256_BYTES));
  readonly #progress: (bytes: number) => boolean;
  #hasher = new Bun.SHA256();
  text = "";

  /** `progress` hears of bytes written of files that have more than one piece; false: stop. */
  constructor(chunks: PackChunks, progress: (bytes: number) => boolean) {
    this.#chunks = chunks;
    this.#bytes = chunks.workspace.bytes;
    this.#base = chunks.workspace.base;
    this.#progress = progress;
  }

  /** Writes all of the entry's content to an empty file. */
  write(fd: number, entry: Entry): number {
    if (entry.sizeBytes === 0) return 0;
    if (entry.spanCount === 1 && entry.spans[0] !== 0) return this.#writeOne(fd, entry);
    return this.#writeSpans(fd, entry);
  }

  #writeOne(fd: number, entry: Entry): number {
    const bytes = entry.spans[3] as number;
    const at = this.#place(entry, 0);
    if (at < 0) return DAMAGED;
    const put = pwriteFully(fd, this.#base + at, bytes, 0);
    if (put < 0) return put;
    Bun.SHA256.hash(this.#bytes.subarray(at, at + bytes), this.#digest);
    return this.#checked(entry, bytes);
  }

  #writeSpans(fd: number, entry: Entry): number {
    this.#hasher = new Bun.SHA256();
    let offset = 0;
    let endsInHole = false;
    for (let span = 0; span < entry.spanCount; span++) {
      const bytes = entry.spans[span * SPAN_NUMBERS + 3] as number;
      endsInHole = entry.spans[span * SPAN_NUMBERS] === 0;
      if (endsInHole) this.#hashZeros(bytes);
      else {
        const at = this.#place(entry, span);
        if (at < 0) return DAMAGED;
        const put = pwriteFully(fd, this.#base + at, bytes, offset);
        if (put < 0) return put;
        this.#hasher.update(this.#bytes.subarray(at, at + bytes));
      }
      offset += bytes;
      if (!this.#progress(bytes)) return STOPPED;
    }
    if (endsInHole) {
      const result = checked(libc.ftruncate(fd, offset));
      if (result < 0) return result;
    }
    this.#hasher.digest(this.#digest);
    return this.#checked(entry, offset);
  }

  /** Whether a file's bytes are the entry's: 0 or DAMAGED (they are not), -errno. Uses the memory of a chunk. */
  compare(fd: number, entry: Entry): number {
    const at = this.#chunks.spareAt;
    this.#hasher = new Bun.SHA256();
    let offset = 0;
    for (;;) {
      const got = preadFully(fd, this.#base + at, PIECE_BYTES, offset);
      if (got < 0) return got;
      this.#hasher.update(this.#bytes.subarray(at, at + got));
      offset += got;
      if (got < PIECE_BYTES) break;
    }
    this.#hasher.digest(this.#digest);
    return this.#checked(entry, offset);
  }

  /** Where a span's bytes are in the memory; -1: `text` says why they are not. */
  #place(entry: Entry, span: number): number {
    const { spans } = entry;
    const first = span * SPAN_NUMBERS;
    const at = this.#chunks.span(
      spans[first] as number,
      spans[first + 1] as number,
      spans[first + 2] as number,
      spans[first + 3] as number,
    );
    if (typeof at === "number") return at;
    this.text = at.text;
    return -1;
  }

  #hashZeros(bytes: number): void {
    for (let left = bytes; left > 0; left -= PIECE_BYTES) {
      this.#hasher.update(left >= PIECE_BYTES ? ZEROS : ZEROS.subarray(0, left));
    }
  }

  #checked(entry: Entry, bytes: number): number {
    if (bytes !== entry.sizeBytes) {
      this.text = `the index gives ${entry.sizeBytes} bytes and places for ${bytes}`;
      return DAMAGED;
    }
    for (let at = 0; at < SHA256_BYTES; at++) {
      if (this.#digest[at] === entry.sha256[at]) continue;
      this.text = "its bytes are not those that were backed up (SHA-256)";
      return DAMAGED;
    }
    return 0;
  }
}
