/** @module One file, directory, link or special file as a backup knows it: what the scan finds, what the index keeps, what
 *  a restore makes again. One Entry is filled over and over by whoever reads a list of them: nothing is allocated per file.
 *
 *  (1) A path is bytes, absolute, without the leading slash ("etc/passwd"; the root of the file system: empty). Any byte
 *      but NUL; no empty, "." or ".." component.
 *  (2) Lists of entries are in the order of `comparePaths`: each directory is followed by all that is in it.
 *  (3) Content is a list of spans in file order that covers `sizeBytes` exactly. A span with pack 0 is a hole.
 *      A data span lies within one chunk; in a file larger than PIECE_BYTES none crosses a multiple of PIECE_BYTES. */

/** Files larger than this are stored and compared in pieces of this size. */
export const PIECE_BYTES = 256 * 1024;

export const KIND = {
  file: 0,
  directory: 1,
  symlink: 2,
  fifo: 3,
  socket: 4,
  character: 5,
  block: 6,
} as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

/** Bits of `Entry.flags`. */
export const FLAG = {
  /** All of the content (or, without content, all of the attributes) is what the parent backup has (TREE-07). */
  unchanged: 1,
  /** Found by its inode under another path of the parent's index. */
  moved: 2,
  /** It changed while it was read, three times: what is stored is a mixture. */
  inconsistent: 4,
  /** It could not be read: the content is an older backup's, or none (then no spans though sizeBytes > 0). */
  unreadable: 8,
  /** Its bytes changed though size, times and inode did not: the content kept is the older one. */
  rotten: 16,
} as const;

/** Numbers of one span within `Entry.spans`. */
export const SPAN_NUMBERS = 4;

export class Entry {
  /** Bytes [0, pathBytes) count; replaced by a larger one where a path needs it. */
  path = new Uint8Array(new ArrayBuffer(4096));
  pathBytes = 0;
  kind: Kind = KIND.file;
  flags = 0;
  /** Permission bits, setuid, setgid and sticky: 0 to 0o7777. */
  mode = 0;
  uid = 0;
  gid = 0;
  sizeBytes = 0;
  /** Whole seconds since 1970 (may be negative) and nanoseconds in [0, 1e9). */
  mtimeSeconds = 0;
  mtimeNs = 0;
  ctimeSeconds = 0;
  ctimeNs = 0;
  /** The inode number's upper and lower 32 bits. */
  inodeHigh = 0;
  inodeLow = 0;
  links = 1;
  /** Major * 2^20 + minor of the file system; tells groups of hard links apart, is never compared over time. */
  device = 0;
  /** The same of a character or block special file. */
  specialDevice = 0;
  /** statx attribute bits that a restore can set: immutable 0x10, append 0x20, nodump 0x40, compressed 0x04. */
  attributes = 0;
  /** A symbolic link's text. */
  linkTarget: Uint8Array | null = null;
  /** [u16 name bytes, name, u32 value bytes, value]... in ascending order of names; null: none. ACLs are among them. */
  xattrs: Uint8Array | null = null;
  /** The content has been read: sha256 and spans hold it. */
  hasContent = false;
  readonly sha256 = new Uint8Array(new ArrayBuffer(64), 0, 32);
  /** [pack, chunk, offset, bytes] a span: backup number that owns the chunk, chunk number, first byte in the chunk's
   *  plain bytes (behind the file's small header), length. A hole: [0, 0, 0, bytes]. */
  spans = new Float64Array(4 * SPAN_NUMBERS);
  spanCount = 0;
  /** xxHash3 of each piece's data runs (0 where the piece is a hole), of files larger than PIECE_BYTES. */
  pieceHashes: BigUint64Array | null = null;

  setPath(bytes: Uint8Array): void {
    this.reservePath(bytes.length);
    this.path.set(bytes);
    this.pathBytes = bytes.length;
  }

  /** Room for a path of `bytes`; what is there stays. */
  reservePath(bytes: number): void {
    if (bytes <= this.path.length) return;
    const larger = new Uint8Array(new ArrayBuffer(2 ** Math.ceil(Math.log2(bytes))));
    larger.set(this.path.subarray(0, this.pathBytes));
    this.path = larger;
  }

  clearContent(): void {
    this.hasContent = false;
    this.spanCount = 0;
    this.pieceHashes = null;
  }

  addSpan(pack: number, chunk: number, offset: number, bytes: number): void {
    const at = this.spanCount * SPAN_NUMBERS;
    if (at === this.spans.length) {
      const larger = new Float64Array(this.spans.length * 2);
      larger.set(this.spans);
      this.spans = larger;
    }
    this.spans[at] = pack;
    this.spans[at + 1] = chunk;
    this.spans[at + 2] = offset;
    this.spans[at + 3] = bytes;
    this.spanCount++;
  }

  /** Takes over path, attributes and flags; content stays. */
  takeFacts(other: Entry): void {
    this.setPath(other.path.subarray(0, other.pathBytes));
    this.kind = other.kind;
    this.flags = other.flags;
    this.mode = other.mode;
    this.uid = other.uid;
    this.gid = other.gid;
    this.sizeBytes = other.sizeBytes;
    this.mtimeSeconds = other.mtimeSeconds;
    this.mtimeNs = other.mtimeNs;
    this.ctimeSeconds = other.ctimeSeconds;
    this.ctimeNs = other.ctimeNs;
    this.inodeHigh = other.inodeHigh;
    this.inodeLow = other.inodeLow;
    this.links = other.links;
    this.device = other.device;
    this.specialDevice = other.specialDevice;
    this.attributes = other.attributes;
    this.linkTarget = other.linkTarget;
    this.xattrs = other.xattrs;
  }

  /** Takes over content and its flags' meaning from another entry; path and attributes stay. */
  takeContent(other: Entry): void {
    this.hasContent = other.hasContent;
    this.sha256.set(other.sha256);
    if (this.spans.length < other.spanCount * SPAN_NUMBERS) this.spans = new Float64Array(other.spans.length);
    this.spans.set(other.spans.subarray(0, other.spanCount * SPAN_NUMBERS));
    this.spanCount = other.spanCount;
    this.pieceHashes = other.pieceHashes;
  }
}

const SLASH = 0x2f;

/** The order of all lists of entries: component by component, bytes unsigned; a directory before what is in it. */
export function comparePaths(a: Uint8Array, aBytes: number, b: Uint8Array, bBytes: number): number {
  const common = Math.min(aBytes, bBytes);
  for (let at = 0; at < common; at++) {
    const x = a[at] as number;
    const y = b[at] as number;
    if (x === y) continue;
    if (x === SLASH) return -1;
    if (y === SLASH) return 1;
    return x - y;
  }
  return aBytes - bBytes;
}

/** `path` is `top` or lies below it. */
export function isWithin(path: Uint8Array, pathBytes: number, top: Uint8Array): boolean {
  if (top.length === 0) return true;
  if (pathBytes < top.length || (pathBytes > top.length && path[top.length] !== SLASH)) return false;
  for (let at = 0; at < top.length; at++) if (path[at] !== top[at]) return false;
  return true;
}

/** A list of entries in order, read once. */
export interface EntrySource {
  /** Fills `entry` with the next one; false at the end. */
  next(entry: Entry): boolean;
}
