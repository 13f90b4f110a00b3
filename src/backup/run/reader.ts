/** @module Reads the files of a job, in a Worker: bytes go from the file straight into the open chunk, are hashed there,
 *  and stay only where they are not what was expected.
 *
 *  (1) An entry's content, hash, size and times belong together: they are of one reading between two equal looks at the
 *      file's attributes. A file that changes while it is read is read three times, then stored and flagged.
 *  (2) No path is followed through a symbolic link, nothing is read from what is not a regular file.
 *  (3) What cannot be read keeps the content that the last backup has of its path, flagged; or has none. */
import { checked, EINTR, errorText, libc, O_RDONLY, preadFully } from "../../base/ffi.ts";
import {
  closeFd,
  ELOOP,
  ENOENT,
  ENOTDIR,
  ENXIO,
  EPERM,
  O_NOATIME,
  O_NOFOLLOW,
  O_NONBLOCK,
  Statx,
} from "../../base/files.ts";
import { pathHash16 } from "../archive/chunk-writer.ts";
import { Entry, FLAG, KIND, PIECE_BYTES, SPAN_NUMBERS } from "../entry.ts";
import { DataRuns } from "../scan/data-runs.ts";
import { entryFromStatx } from "../scan/entries.ts";
import { Opener } from "../scan/open.ts";
import { XattrReader } from "../scan/xattrs.ts";
import type { TreeOpener } from "./access.ts";
import type { ChunkFiller } from "./filler.ts";
import { isUntouched, linkKey, takeAttributes } from "./identity.ts";
import { JOB_FLAG } from "./jobs.ts";
import { bytesOf, KnownPieces } from "./known-pieces.ts";

export interface ReaderPorts {
  readonly opener: Pick<TreeOpener, "open">;
  readonly filler: ChunkFiller;
  readonly memory: WebAssembly.Memory;
  /** Native address of the memory's first byte. */
  readonly base: number;
  /** Hears of what could not be read as it should. */
  readonly complain: (entry: Entry, text: string) => void;
  /** Hears the key of a file of several names that this one does not lead to any more. */
  readonly stray: (key: string) => void;
}

const ATTEMPTS_MAX = 3;
/** A smaller file with fewer blocks than bytes is one that the file system keeps in its inode. */
const SPARSE_BYTES_MIN = 4096;
const ZEROS = new Uint8Array(new ArrayBuffer(PIECE_BYTES));

export class FileReader {
  readonly #ports: ReaderPorts;
  readonly #xattrOpener = new Opener();
  readonly #xattrs = new XattrReader(this.#xattrOpener);
  readonly #runs = new DataRuns();
  /** Attributes as they were seen last. */
  readonly #seen = new Entry();
  readonly #bytes: Uint8Array;
  readonly #statx = new Statx();
  /** What the file is expected to hold. */
  readonly #expected = new Entry();
  /** What an earlier attempt has stored. */
  readonly #earlier = new Entry();
  #noatime = O_NOATIME;
  /** Bytes read from files. */
  readBytes = 0;

  constructor(ports: ReaderPorts) {
    this.#ports = ports;
    this.#bytes = new Uint8Array(ports.memory.buffer);
  }

  /** Nothing can be read afterwards; the opener that was handed in is its owner's to close. */
  close(): void {
    this.#xattrOpener.close();
  }

  /** Makes a job's entry into its answer. */
  read(entry: Entry): void {
    if (entry.kind !== KIND.file) this.#readOther(entry);
    else if ((entry.flags & JOB_FLAG.trusted) === 0) {
      if (entry.links <= 1) this.#readFile(entry);
      else {
        const key = linkKey(entry);
        this.#readFile(entry);
        if ((entry.flags & JOB_FLAG.gone) !== 0 || linkKey(entry) !== key) this.#ports.stray(key);
      }
    }
    entry.flags &= ~(JOB_FLAG.trusted | JOB_FLAG.settled);
  }

  #readFile(entry: Entry): void {
    const expected = this.#expected;
    expected.clearContent();
    if (entry.hasContent) {
      expected.takeContent(entry);
      entry.clearContent();
    }
    const fd = this.#open(entry);
    if (fd < 0) {
      if (isGone(fd)) entry.flags |= JOB_FLAG.gone;
      else this.#unreadable(entry, fd);
      return;
    }
    try {
      this.#readUntilStill(fd, entry);
      const isRead = (entry.flags & (JOB_FLAG.gone | FLAG.unreadable)) === 0;
      if (isRead) this.#takeXattrs(entry, this.#xattrs.ofFd(fd));
    } finally {
      closeFd(fd);
    }
    if ((entry.flags & FLAG.moved) !== 0 && !this.#isExpected(entry)) entry.flags &= ~FLAG.moved;
  }

  #readOther(entry: Entry): void {
    if (entry.kind !== KIND.directory) {
      this.#takeXattrs(entry, this.#xattrs.ofPath(entry.path, entry.pathBytes));
      return;
    }
    const fd = this.#ports.opener.open(entry, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    // The scan has told of a directory that it could not read; what is in it is missing there, too. One that is gone stays
    // as the scan saw it: it may be back by the time its files are read, and they want a place to be restored to.
    if (fd < 0) return;
    this.#takeXattrs(entry, this.#xattrs.ofFd(fd));
    closeFd(fd);
  }

  /** Where they cannot be read, those of the last backup stay. */
  #takeXattrs(entry: Entry, found: Uint8Array | null | number): void {
    if (typeof found !== "number") entry.xattrs = found;
    else if (isGone(found)) entry.flags |= JOB_FLAG.gone;
    else this.#ports.complain(entry, `extended attributes: ${errorText(found)}`);
  }

  #open(entry: Entry): number {
    const { opener } = this.#ports;
    const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
    const fd = opener.open(entry, flags | this.#noatime);
    if (fd !== -EPERM || this.#noatime === 0) return fd;
    const again = opener.open(entry, flags);
    // Not ours, and we are not root: so it will be with most others.
    if (again >= 0) this.#noatime = 0;
    return again;
  }

  #unreadable(entry: Entry, errno: number): void {
    const expected = this.#expected;
    // Of a file that may have been moved it is only a guess.
    const kept = expected.hasContent && (entry.flags & FLAG.moved) === 0;
    if (kept) {
      entry.takeContent(expected);
      entry.sizeBytes = bytesOf(expected);
    } else entry.clearContent();
    entry.flags = (entry.flags & ~FLAG.moved) | FLAG.unreadable;
    const after = kept ? "the last backup's content is kept" : "it is not in this backup";
    this.#ports.complain(entry, `cannot be read: ${errorText(errno)}; ${after}`);
  }

  /** Leaves the entry read, gone or unreadable. */
  #readUntilStill(fd: number, entry: Entry): void {
    let known = this.#expected;
    for (let attempt = 1; ; attempt++) {
      const sizeBytes = entry.sizeBytes;
      const small = sizeBytes <= PIECE_BYTES;
      const got = small ? this.#load(fd, sizeBytes) : this.#readLarge(fd, entry, known);
      const looked = this.#statx.of(fd);
      if (looked >= 0 && !(entryFromStatx(this.#seen, this.#statx) && this.#seen.kind === KIND.file)) {
        // Something else has taken its place since the scan.
        entry.flags |= JOB_FLAG.gone;
        return;
      }
      if (got < 0 || looked < 0) {
        this.#unreadable(entry, got < 0 ? got : looked);
        return;
      }
      const still = got === sizeBytes && isUntouched(this.#seen, entry);
      if (!still && attempt < ATTEMPTS_MAX) {
        // What a large file's pieces were is what the next reading will find again, but for the change.
        if (!small) {
          this.#earlier.takeContent(entry);
          known = this.#earlier;
        }
        entry.clearContent();
        takeAttributes(entry, this.#seen);
        continue;
      }
      const bytes = Math.min(got, sizeBytes);
      takeAttributes(entry, this.#seen);
      entry.sizeBytes = bytes;
      // A change since the scan, and it is no longer what the parent has.
      const settled = still && attempt === 1 && (entry.flags & JOB_FLAG.settled) !== 0;
      if (small) this.#keepSmall(fd, entry, bytes, settled);
      else if (settled && !this.#isExpected(entry)) this.#settle(entry);
      if (still) return;
      entry.flags |= FLAG.inconsistent;
      this.#ports.complain(entry, "changed while it was read, three times: what is stored may be a mixture");
      return;
    }
  }

  /** Does the entry hold just what was expected? */
  #isExpected(entry: Entry): boolean {
    const expected = this.#expected;
    return (
      expected.hasContent &&
      Buffer.compare(entry.sha256, expected.sha256) === 0 &&
      bytesOf(expected) === entry.sizeBytes
    );
  }

  /** Nothing but the bytes has changed, and nobody wrote: the older ones are the good ones. */
  #settle(entry: Entry): void {
    if (!this.#expected.hasContent) return;
    entry.takeContent(this.#expected);
    entry.flags |= FLAG.rotten;
    this.#ports.complain(
      entry,
      "its bytes have changed though its size, times and inode have not: the disk may be failing; the last backup's good copy is kept",
    );
  }

  #isSparse(sizeBytes: number): boolean {
    return sizeBytes >= SPARSE_BYTES_MIN && this.#statx.blocks * 512 < sizeBytes - (sizeBytes % 4096);
  }

  // --- small files ---

  /** The whole file to the place that it may keep; a byte more where it has grown. */
  #load(fd: number, sizeBytes: number): number {
    const { filler, base } = this.#ports;
    const at = filler.place(sizeBytes);
    let got = 0;
    while (got <= sizeBytes) {
      const result = checked(libc.pread(fd, base + at + got, sizeBytes + 1 - got, got));
      if (result === -EINTR) continue;
      if (result < 0) return result;
      if (result === 0) break;
      got += result;
      // What falls short of the request is its end; where it is not (some file systems of others), ask again.
      if (got === sizeBytes) break;
    }
    this.readBytes += got;
    return got;
  }

  #keepSmall(fd: number, entry: Entry, bytes: number, settled: boolean): void {
    const { filler } = this.#ports;
    const at = filler.place(bytes);
    entry.clearContent();
    entry.hasContent = true;
    Bun.SHA256.hash(this.#bytes.subarray(at, at + bytes), entry.sha256);
    const isExpected = this.#isExpected(entry);
    if (this.#expected.hasContent && settled && !isExpected) {
      this.#settle(entry);
      return;
    }
    const folded = this.#isSparse(bytes) && this.#foldHoles(fd, at, bytes);
    // Zeros that became a hole, or a hole that became zeros, have the same hash.
    if (isExpected && hasLayout(this.#expected, folded ? this.#layout : [bytes])) {
      entry.takeContent(this.#expected);
      return;
    }
    if (bytes === 0) return;
    if (folded) {
      this.#keepPiece(entry);
      return;
    }
    const { pack, chunk } = filler;
    entry.addSpan(pack, chunk, filler.keep(pathHash(entry), bytes), bytes);
  }

  /** Moves the data runs of what was loaded together; false: it has no holes. Where the file system tells of a hole, and
   *  what was loaded is not zero, the hole is younger. */
  #foldHoles(fd: number, at: number, bytes: number): boolean {
    const runs = this.#runs;
    if (runs.read(fd, bytes) < 0) return false;
    if (runs.count === 1 && runs.starts[0] === 0 && runs.ends[0] === bytes) return false;
    this.#layout = [];
    let position = 0;
    for (let run = 0; run <= runs.count; run++) {
      const start = run < runs.count ? (runs.starts[run] as number) : bytes;
      const end = run < runs.count ? (runs.ends[run] as number) : bytes;
      for (let byte = at + position; byte < at + start; byte++) if (this.#bytes[byte] !== 0) return false;
      if (start > position) this.#layout.push(position - start);
      if (end > start) this.#layout.push(end - start);
      position = end;
    }
    let into = at;
    for (let run = 0; run < runs.count; run++) {
      const [start, end] = [runs.starts[run] as number, runs.ends[run] as number];
      this.#bytes.copyWithin(into, at + start, at + end);
      into += end - start;
    }
    return true;
  }

  // --- large files ---

  /** Piece by piece; a piece that `known` has at the same place is taken from there. Returns the bytes, fewer where the
   *  file has shrunk. */
  #readLarge(fd: number, entry: Entry, known: Entry): number {
    const { sizeBytes } = entry;
    const looked = this.#statx.of(fd);
    if (looked < 0) return looked;
    if (this.#isSparse(sizeBytes)) {
      const found = this.#runs.read(fd, sizeBytes);
      if (found < 0) return found;
    } else this.#runs.setWhole(sizeBytes);
    const pieces = Math.ceil(sizeBytes / PIECE_BYTES);
    const knownPieces = new KnownPieces(known);
    const hasher = new Bun.CryptoHasher("sha256");
    const hashes = new BigUint64Array(pieces);
    entry.clearContent();
    entry.hasContent = true;
    let bytes = 0;
    let run = 0;
    for (let piece = 0; piece < pieces; piece++) {
      const start = piece * PIECE_BYTES;
      const end = Math.min(start + PIECE_BYTES, sizeBytes);
      while (run < this.#runs.count && (this.#runs.ends[run] as number) <= start) run++;
      const data = this.#gather(fd, run, start, end);
      if (data < 0) return data;
      const hash = data === 0 ? 0n : Bun.hash.xxHash3(this.#bytes.subarray(this.#at, this.#at + data));
      hashes[piece] = hash;
      this.#hashPiece(hasher);
      knownPieces.next();
      if (knownPieces.isSame(hash, this.#layout)) knownPieces.take(entry);
      else this.#keepPiece(entry);
      bytes += this.#layoutBytes();
      // The file has shrunk: what there was is all that there is.
      if (bytes < end) break;
    }
    // A smaller file has none.
    entry.pieceHashes = bytes > PIECE_BYTES ? hashes.slice(0, Math.ceil(bytes / PIECE_BYTES)) : null;
    entry.sha256.set(hasher.digest());
    return bytes;
  }

  /** Where the piece's data lies, and how it alternates with holes: data bytes positive, holes negative. */
  #at = 0;
  #layout: number[] = [];

  /** Reads a piece's data runs side by side; returns their bytes. */
  #gather(fd: number, first: number, start: number, end: number): number {
    const { filler, base } = this.#ports;
    const { starts, ends, count } = this.#runs;
    const from = (run: number) => Math.max(starts[run] as number, start);
    const bytesOfRun = (run: number) => Math.min(ends[run] as number, end) - from(run);
    this.#layout = [];
    let wanted = 0;
    let last = first;
    for (; last < count && (starts[last] as number) < end; last++) wanted += bytesOfRun(last);
    this.#at = wanted === 0 ? 0 : filler.place(wanted);
    let [done, position] = [0, start];
    for (let run = first; run < last; run++) {
      const bytes = bytesOfRun(run);
      if (from(run) > position) this.#layout.push(position - from(run));
      const got = preadFully(fd, base + this.#at + done, bytes, from(run));
      if (got < 0) return got;
      if (got > 0) this.#layout.push(got);
      this.readBytes += got;
      done += got;
      position = from(run) + got;
      if (got < bytes) return done;
    }
    if (position < end) this.#layout.push(position - end);
    return done;
  }

  #layoutBytes(): number {
    return this.#layout.reduce((sum, bytes) => sum + Math.abs(bytes), 0);
  }

  #hashPiece(hasher: Bun.CryptoHasher): void {
    let at = this.#at;
    for (const bytes of this.#layout) {
      if (bytes > 0) {
        hasher.update(this.#bytes.subarray(at, at + bytes));
        at += bytes;
      } else hasher.update(ZEROS.subarray(0, -bytes));
    }
  }

  /** What lies at the place, in the order of the layout. */
  #keepPiece(entry: Entry): void {
    const { filler } = this.#ports;
    const { pack, chunk } = filler;
    const data = this.#layout.reduce((sum, bytes) => sum + Math.max(bytes, 0), 0);
    let offset = data === 0 ? 0 : filler.keep(pathHash(entry), data);
    for (const bytes of this.#layout) {
      if (bytes > 0) {
        entry.addSpan(pack, chunk, offset, bytes);
        offset += bytes;
      } else entry.addSpan(0, 0, 0, -bytes);
    }
  }
}

/** Do data and holes of a small file alternate so? As in FileReader.#layout. */
function hasLayout({ spans, spanCount }: Entry, layout: readonly number[]): boolean {
  if (spanCount === 0) return layout.every((bytes) => bytes === 0);
  if (spanCount !== layout.length) return false;
  return layout.every((bytes, span) => {
    const isHole = spans[span * SPAN_NUMBERS] === 0;
    return spans[span * SPAN_NUMBERS + 3] === Math.abs(bytes) && isHole === bytes < 0;
  });
}

function isGone(errno: number): boolean {
  return errno === -ENOENT || errno === -ENOTDIR || errno === -ELOOP || errno === -ENXIO;
}

/** The lower 16 bits of the path's hash: what the quick check looks for in front of the data. */
export function pathHash(entry: Entry): number {
  return pathHash16(entry.path.subarray(0, entry.pathBytes));
}
