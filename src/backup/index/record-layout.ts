/** @module The bytes of one entry, and what a record takes over from the ones before it.
 *
 *      head | [more] | kept | added | path bytes | [mask, attributes] | [links] | size | inode | mtime | ctime
 *           | [link text] | [xattrs] | [spans, SHA-256, [piece hashes]]
 *
 *  head: bits 0-1 content, 2-3 mtime, 4-5 ctime, 6 attributes follow, 7 `more` follows (else: a file with one link).
 *  kept: bytes of the previous record's path that this one begins with. Numbers are varints; differences are folded.
 *
 *  (1) A batch or page begins with a fresh context: it can be read without any other.
 *  (2) Mode, owner, flags and statx attributes are compared with the last record of the same kind; device, upper half
 *      of the inode, times and span with the last record of any kind. */
import { KIND } from "../entry.ts";

/** Head bits 0-1. */
export const CONTENT = {
  none: 0,
  /** One span of `size` bytes behind the previous record's, after a piece header. */
  following: 1,
  /** One span of `size` bytes at the start of another chunk: the chunk's difference. */
  nextChunk: 2,
  /** Count of spans, then each as SPAN says. */
  listed: 3,
} as const;

/** Head bits 2-3: the file's time of change, against the previous record's. */
export const MTIME = {
  same: 0,
  /** Difference in seconds; nanoseconds are 0. */
  whole: 1,
  /** Difference in seconds, then nanoseconds as 4 bytes. */
  apart: 2,
  /** Difference in nanoseconds. */
  near: 3,
} as const;

/** Head bits 4-5: the inode's time of change. */
export const CTIME = {
  /** As mtime. */
  mtime: 0,
  /** Difference to mtime in nanoseconds. */
  nearMtime: 1,
  /** Difference in seconds to the previous record's, then nanoseconds as 4 bytes. */
  apart: 2,
  /** Difference in nanoseconds to the previous record's. */
  near: 3,
} as const;

export const MTIME_SHIFT = 2;
export const CTIME_SHIFT = 4;
export const HEAD_ATTRIBUTES = 0x40;
export const HEAD_MORE = 0x80;

/** `more`: bits 0-2 the kind, then what follows. */
export const MORE_KIND = 0x07;
export const MORE_LINKS = 0x08;
export const MORE_LINK_TEXT = 0x10;
export const MORE_XATTRS = 0x20;
export const MORE_PIECE_HASHES = 0x40;
export const MORE_UNUSED = 0x80;

export const MASK_MODE = 0x01;
export const MASK_UID = 0x02;
export const MASK_GID = 0x04;
export const MASK_DEVICE = 0x08;
export const MASK_FLAGS = 0x10;
export const MASK_ATTRIBUTES = 0x20;
export const MASK_INODE_HIGH = 0x40;
export const MASK_SPECIAL_DEVICE = 0x80;

/** A listed span's head: bits 0-2 where it is, bits 3-4 how long. */
export const SPAN = {
  hole: 0,
  /** Same chunk, behind the previous span and a piece header. */
  following: 1,
  /** Same chunk, right behind the previous span. */
  adjoining: 2,
  /** Start of the chunk with the next number. */
  nextChunk: 3,
  /** Differences of pack and chunk, then the offset. */
  elsewhere: 4,
} as const;
export const SPAN_PLACE = 0x07;
/** The length is all that the file still lacks. */
export const SPAN_REST = 0x08;
/** The length is PIECE_BYTES. */
export const SPAN_PIECE = 0x10;
export const SPAN_UNUSED = 0xe0;

/** Before each piece's data in a chunk: an offset behind it is where a span begins. */
export const PIECE_HEADER_BYTES = 8;

export const SHA256_BYTES = 32;
export const NS_A_SECOND = 1e9;
/** Differences below this cost at most as much as seconds and nanoseconds apart. */
export const NEAR_NS = 2 ** 34;
/** Nothing lives beyond: the scan cuts off there. */
export const SECONDS_MAX = 2 ** 50;
/** Longer than anything that can be nested in practice: keeps a damaged list from taking the machine's time. */
export const PATH_BYTES_MAX = 1024 * 1024;

export const KINDS = 7;

/** What a record is a difference to. Both sides change it in the same way. */
export class RecordContext {
  readonly mode = new Float64Array(KINDS);
  readonly uid = new Float64Array(KINDS);
  readonly gid = new Float64Array(KINDS);
  readonly flags = new Float64Array(KINDS);
  readonly attributes = new Float64Array(KINDS);
  device = 0;
  inodeHigh = 0;
  inodeLow = 0;
  mtimeSeconds = 0;
  mtimeNs = 0;
  ctimeSeconds = 0;
  ctimeNs = 0;
  pack = 0;
  chunk = 0;
  /** End of the last data span within its chunk. */
  spanEnd = 0;
  path = new Uint8Array(new ArrayBuffer(4096));
  pathBytes = 0;

  constructor() {
    this.reset();
  }

  reset(): void {
    this.mode.fill(0o644);
    this.mode[KIND.directory] = 0o755;
    this.mode[KIND.symlink] = 0o777;
    this.uid.fill(0);
    this.gid.fill(0);
    this.flags.fill(0);
    this.attributes.fill(0);
    this.device = this.inodeHigh = this.inodeLow = 0;
    this.mtimeSeconds = this.mtimeNs = this.ctimeSeconds = this.ctimeNs = 0;
    this.pack = this.chunk = this.spanEnd = 0;
    this.pathBytes = 0;
  }

  reservePath(bytes: number): void {
    if (bytes <= this.path.length) return;
    const larger = new Uint8Array(new ArrayBuffer(2 ** Math.ceil(Math.log2(bytes))));
    larger.set(this.path.subarray(0, this.pathBytes));
    this.path = larger;
  }
}
