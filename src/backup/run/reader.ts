/** @module Reads the files of a job, in a Worker: bytes go from the file straight into the open chunk, are hashed there,
 *  and stay only where they are not what was expected.
 *
 *  (1) An entry's content, hash, size and times belong together: they are of one reading between two equal looks at the
 *      file's attributes. A file that changes while it is read is read three times, then stored and flagged.
 *  (2) No path is followed through a symbolic link, no special file is opened for reading.
 *  (3) What cannot be read keeps the content that it is expected to have, flagged; or has none. */
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
import { Entry, FLAG, KIND, PIECE_BYTES, SPAN_NUMBERS } from "../entry.ts";
import type { ChunkFiller } from "./filler.ts";
import { DataRuns } from "../scan/data-runs.ts";
import { entryFromStatx } from "../scan/entries.ts";
import { Opener } from "../scan/open.ts";
import { XattrReader } from "../scan/xattrs.ts";
import type { TreeOpener } from "./access.ts";
import { JOB_FLAG } from "./jobs.ts";

export interface ReaderPorts {
  readonly opener: TreeOpener;
  readonly filler: ChunkFiller;
  readonly memory: WebAssembly.Memory;
  /** Native address of the memory's first byte. */
  readonly base: number;
  /** Hears of what could not be read as it should. */
  readonly complain: (entry: Entry, text: string) => void;
}

const ATTEMPTS_MAX = 3;
/** A smaller file with fewer blocks than bytes is one that the file system keeps in its inode. */
const SPARSE_BYTES_MIN = 4096;
const ZEROS = new Uint8Array(new ArrayBuffer(PIECE_BYTES));

type Attempt = "done" | "changed" | "gone" | "unreadable";

export class FileReader {
  readonly #ports: ReaderPorts;
  readonly #xattrs = new XattrReader(new Opener());
  readonly #runs = new DataRuns();
  /** Attributes as they were seen last. */
  readonly #seen = new Entry();
  readonly #bytes: Uint8Array;
  readonly #statx = new Statx();
  readonly #hasher = new Bun.CryptoHasher("sha256");
  /** What the file is expected to hold: the parent's content, or what an earlier attempt stored. */
  readonly #expected = new Entry();
  #noatime = O_NOATIME;
  /** Bytes read from files. */
  readBytes = 0;

  constructor(ports: ReaderPorts) {
    this.#ports = ports;
    this.#bytes = new Uint8Array(ports.memory.buffer);
  }

  /** Makes a job's entry into its answer. */
  read(entry: Entry): void {
    if (entry.kind === KIND.file) this.#readFile(entry);
    else this.#readOther(entry);
  }

  #readFile(entry: Entry): void {
    const settled = (entry.flags & JOB_FLAG.settled) !== 0;
    const trusted = (entry.flags & JOB_FLAG.trusted) !== 0;
    this.#expected.clearContent();
    if (entry.hasContent && !trusted) {
      this.#expected.takeContent(entry);
      entry.clearContent();
    }
    const fd = this.#open(entry);
    if (fd < 0) {
      this.#failed(entry, fd, trusted);
      return;
    }
    try {
      const found = trusted ? "done" : this.#readUntilStill(fd, entry, settled);
      if (found === "gone") entry.flags |= JOB_FLAG.gone;
      else if (found === "done" || found === "changed") {
        this.#takeXattrs(entry, this.#xattrs.ofFd(fd));
      }
    } finally {
      closeFd(fd);
    }
  }

  #readOther(entry: Entry): void {
    if (entry.kind !== KIND.directory) {
      this.#takeXattrs(entry, this.#xattrs.ofPath(entry.path, entry.pathBytes));
      return;
    }
    const fd = this.#ports.opener.open(entry, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
      // The scan has told of a directory that it could not read; what is in it is missing there, too.
      if (isGone(fd)) entry.flags |= JOB_FLAG.gone;
      return;
    }
    this.#takeXattrs(entry, this.#xattrs.ofFd(fd));
    closeFd(fd);
  }

  #takeXattrs(entry: Entry, found: Uint8Array | null | number): void {
    if (typeof found !== "number") entry.xattrs = found;
    else if (isGone(found)) entry.flags |= JOB_FLAG.gone;
    else this.#ports.complain(entry, `extended attributes: ${errorText(found)}`);
  }

  #open(entry: Entry): number {
    const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
    const fd = this.#ports.opener.open(entry, flags | this.#noatime);
    if (fd !== -EPERM || this.#noatime === 0) return fd;
    const again = this.#ports.opener.open(entry, flags);
    // Not ours, and we are not root: so it will be with most others.
    if (again >= 0) this.#noatime = 0;
    return again;
  }

  #failed(entry: Entry, errno: number, trusted: boolean): void {
    if (trusted && !isGone(errno)) return; // its content is known; attributes are the scan's
    if (isGone(errno)) {
      entry.flags |= JOB_FLAG.gone;
      return;
    }
    this.#unreadable(entry, errno);
  }

  #unreadable(entry: Entry, errno: number): void {
    const kept = this.#expected.hasContent && (entry.flags & FLAG.moved) === 0;
    if (kept) {
      entry.takeContent(this.#expected);
      entry.sizeBytes = bytesOf(this.#expected);
    } else entry.clearContent();
    entry.flags = (entry.flags & ~FLAG.moved) | FLAG.unreadable;
    const after = kept ? "the last backup's content is kept" : "it is not in this backup";
    this.#ports.complain(entry, `cannot be read: ${errorText(errno)}; ${after}`);
  }

  #readUntilStill(fd: number, entry: Entry, settled: boolean): Attempt {
    for (let attempt = 1; ; attempt++) {
      const sizeBytes = entry.sizeBytes;
      const small = sizeBytes <= PIECE_BYTES;
      const got = small ? this.#load(fd, sizeBytes) : this.#readLarge(fd, entry);
      const result = got < 0 ? got : this.#statx.of(fd);
      if (result < 0) return this.#lost(entry, result);
      if (!entryFromStatx(this.#seen, this.#statx) || this.#seen.kind !== KIND.file) return "gone";
      const still = got === sizeBytes && this.#isAsBefore(entry);
      if (!still && attempt < ATTEMPTS_MAX) {
        // What a large file's pieces were is what the next reading will find again, but for the change.
        if (!small) this.#expected.takeContent(entry);
        entry.clearContent();
        takeAttributes(entry, this.#seen);
        continue;
      }
      if (small) {
        const kept = this.#keepSmall(fd, entry, Math.min(got, sizeBytes), still);
        if (kept < 0) return this.#lost(entry, kept);
      }
      if (still && settled) this.#settle(entry);
      takeAttributes(entry, this.#seen);
      entry.sizeBytes = Math.min(got, sizeBytes);
      if (still) return "done";
      entry.flags |= FLAG.inconsistent;
      this.#ports.complain(entry, "changed while it was read, three times: what is stored may be a mixture");
      return "changed";
    }
  }

  #isAsBefore(entry: Entry): boolean {
    const now = this.#seen;
    return (
      now.sizeBytes === entry.sizeBytes &&
      now.mtimeSeconds === entry.mtimeSeconds &&
      now.mtimeNs === entry.mtimeNs &&
      now.ctimeSeconds === entry.ctimeSeconds &&
      now.ctimeNs === entry.ctimeNs &&
      now.inodeLow === entry.inodeLow &&
      now.inodeHigh === entry.inodeHigh
    );
  }

  #lost(entry: Entry, errno: number): Attempt {
    this.#unreadable(entry, errno);
    return "unreadable";
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
      const result = checked(libc.read(fd, base + at + got, sizeBytes + 1 - got));
      if (result === -EINTR) continue;
      if (result < 0) return result;
      if (result === 0) break;
      got += result;
      // A regular file gives all that it has: what falls short of the request is its end.
      if (got <= sizeBytes) break;
    }
    this.readBytes += got;
    return got;
  }

  #keepSmall(fd: number, entry: Entry, bytes: number, still: boolean): number {
    if (still && this.#isSparse(bytes)) return this.#readPieces(fd, entry, bytes, true);
    const { filler } = this.#ports;
    const at = filler.place(bytes);
    entry.clearContent();
    entry.hasContent = true;
    Bun.SHA256.hash(this.#bytes.subarray(at, at + bytes), entry.sha256);
    if (this.#isExpected(entry, bytes)) entry.takeContent(this.#expected);
    else if (bytes > 0) {
      const { pack, chunk } = filler;
      entry.addSpan(pack, chunk, filler.keep(pathHash(entry), bytes), bytes);
    }
    return bytes;
  }

  #isExpected(entry: Entry, bytes: number): boolean {
    const expected = this.#expected;
    return (
      expected.hasContent &&
      Buffer.compare(entry.sha256, expected.sha256) === 0 &&
      bytesOf(expected) === bytes
    );
  }

  /** Nothing but the bytes has changed, and nobody wrote: the older ones are the good ones. */
  #settle(entry: Entry): void {
    const expected = this.#expected;
    if (!expected.hasContent || Buffer.compare(entry.sha256, expected.sha256) === 0) return;
    entry.takeContent(expected);
    entry.flags |= FLAG.rotten;
    this.#ports.complain(
      entry,
      "its bytes have changed though its size, times and inode have not: the disk may be failing; the last backup's good copy is kept",
    );
  }

  // --- large and sparse files ---

  #readLarge(fd: number, entry: Entry): number {
    const result = this.#statx.of(fd);
    if (result < 0) return result;
    return this.#readPieces(fd, entry, entry.sizeBytes, this.#isSparse(entry.sizeBytes));
  }

  /** Piece by piece; a piece that the expected content has at the same place is taken from there. */
  #readPieces(fd: number, entry: Entry, sizeBytes: number, sparse: boolean): number {
    if (!sparse) this.#runs.setWhole(sizeBytes);
    const looked = sparse ? this.#runs.read(fd, sizeBytes) : 0;
    if (looked < 0) return looked;
    const large = sizeBytes > PIECE_BYTES;
    const pieces = Math.ceil(sizeBytes / PIECE_BYTES);
    const known = new KnownPieces(this.#expected);
    entry.clearContent();
    entry.hasContent = true;
    const hashes = large ? new BigUint64Array(pieces) : null;
    let run = 0;
    for (let piece = 0; piece < pieces; piece++) {
      const start = piece * PIECE_BYTES;
      const end = Math.min(start + PIECE_BYTES, sizeBytes);
      while (run < this.#runs.count && (this.#runs.ends[run] as number) <= start) run++;
      const wanted = this.#gather(fd, run, start, end);
      if (wanted < 0) return wanted;
      known.next();
      const hash = wanted === 0 ? 0n : Bun.hash.xxHash3(this.#bytes.subarray(this.#at, this.#at + wanted));
      if (hashes !== null) hashes[piece] = hash;
      this.#hashPiece();
      if (large && known.isSame(hash, this.#layout)) known.take(entry);
      else this.#keepPiece(entry, wanted);
      if (this.#short) {
        // The file has shrunk: what there was is all that there is.
        entry.pieceHashes = null;
        this.#finishHash(entry);
        return start + this.#layoutBytes();
      }
    }
    entry.pieceHashes = hashes;
    this.#finishHash(entry);
    return sizeBytes;
  }

  /** Where the piece's data lies, and how: data bytes positive, holes negative. */
  #at = 0;
  #layout: number[] = [];
  #short = false;

  /** Reads a piece's data runs side by side; returns their bytes. */
  #gather(fd: number, first: number, start: number, end: number): number {
    const { filler, base } = this.#ports;
    const { starts, ends, count } = this.#runs;
    const from = (run: number) => Math.max(starts[run] as number, start);
    const bytesOfRun = (run: number) => Math.min(ends[run] as number, end) - from(run);
    this.#layout = [];
    this.#short = false;
    let wanted = 0;
    let last = first;
    for (; last < count && (starts[last] as number) < end; last++) wanted += bytesOfRun(last);
    this.#at = wanted === 0 ? 0 : filler.place(wanted);
    let [done, position] = [0, start];
    for (let run = first; run < last; run++) {
      const bytes = bytesOfRun(run);
      if (from(run) > position) this.#layout.push(position - from(run));
      const got = this.#readAt(fd, base + this.#at + done, bytes, from(run));
      if (got < 0) return got;
      if (got > 0) this.#layout.push(got);
      done += got;
      position = from(run) + got;
      if (got < bytes) {
        this.#short = true;
        return done;
      }
    }
    if (position < end) this.#layout.push(position - end);
    return done;
  }

  #readAt(fd: number, address: number, bytes: number, offset: number): number {
    const got = preadFully(fd, address, bytes, offset);
    if (got > 0) this.readBytes += got;
    return got;
  }

  #layoutBytes(): number {
    return this.#layout.reduce((sum, bytes) => sum + Math.abs(bytes), 0);
  }

  #hashPiece(): void {
    let at = this.#at;
    for (const bytes of this.#layout) {
      if (bytes > 0) {
        this.#hasher.update(this.#bytes.subarray(at, at + bytes));
        at += bytes;
      } else this.#hasher.update(ZEROS.subarray(0, -bytes));
    }
  }

  #finishHash(entry: Entry): void {
    entry.sha256.set(this.#hasher.digest());
  }

  #keepPiece(entry: Entry, dataBytes: number): void {
    const { filler } = this.#ports;
    const { pack, chunk } = filler;
    let offset = dataBytes === 0 ? 0 : filler.keep(pathHash(entry), dataBytes);
    for (const bytes of this.#layout) {
      if (bytes > 0) {
        entry.addSpan(pack, chunk, offset, bytes);
        offset += bytes;
      } else entry.addSpan(0, 0, 0, -bytes);
    }
  }
}

/** The pieces of the content that is expected, in step with those that are read. */
class KnownPieces {
  readonly #expected: Entry;
  #piece = -1;
  #from = 0;
  #to = 0;

  constructor(expected: Entry) {
    this.#expected = expected;
  }

  next(): void {
    this.#piece++;
    this.#from = this.#to;
    const { spans, spanCount } = this.#expected;
    let bytes = 0;
    while (this.#to < spanCount && bytes < PIECE_BYTES) {
      bytes += spans[this.#to * SPAN_NUMBERS + 3] as number;
      this.#to++;
    }
  }

  /** The same bytes with the same holes. */
  isSame(hash: bigint, layout: readonly number[]): boolean {
    const { spans, pieceHashes } = this.#expected;
    if (pieceHashes === null || pieceHashes[this.#piece] !== hash) return false;
    if (this.#to - this.#from !== layout.length) return false;
    return layout.every((bytes, index) => {
      const at = (this.#from + index) * SPAN_NUMBERS;
      return spans[at + 3] === Math.abs(bytes) && (spans[at] === 0) === bytes < 0;
    });
  }

  take(into: Entry): void {
    const { spans } = this.#expected;
    for (let span = this.#from; span < this.#to; span++) {
      const at = span * SPAN_NUMBERS;
      into.addSpan(
        spans[at] as number,
        spans[at + 1] as number,
        spans[at + 2] as number,
        spans[at + 3] as number,
      );
    }
  }
}

function bytesOf(content: Entry): number {
  let bytes = 0;
  for (let span = 0; span < content.spanCount; span++)
    bytes += content.spans[span * SPAN_NUMBERS + 3] as number;
  return bytes;
}

function takeAttributes(entry: Entry, seen: Entry): void {
  entry.mode = seen.mode;
  entry.uid = seen.uid;
  entry.gid = seen.gid;
  entry.sizeBytes = seen.sizeBytes;
  entry.mtimeSeconds = seen.mtimeSeconds;
  entry.mtimeNs = seen.mtimeNs;
  entry.ctimeSeconds = seen.ctimeSeconds;
  entry.ctimeNs = seen.ctimeNs;
  entry.inodeLow = seen.inodeLow;
  entry.inodeHigh = seen.inodeHigh;
  entry.links = seen.links;
  entry.device = seen.device;
  entry.attributes = seen.attributes;
}

function isGone(errno: number): boolean {
  return errno === -ENOENT || errno === -ENOTDIR || errno === -ELOOP || errno === -ENXIO;
}

/** The lower 16 bits of the path's hash: what the quick check looks for in front of the data. */
export function pathHash(entry: Entry): number {
  return Number(Bun.hash.xxHash3(entry.path.subarray(0, entry.pathBytes)) & 0xffffn);
}
