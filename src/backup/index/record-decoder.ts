/** @module Reads records (record-layout.ts) back into one entry. Whatever the bytes are, it fills in a valid entry or
 *  throws MalformedRecord; it reads nothing outside and holds no more memory than a small multiple of the bytes. */
import { type Entry, type EntrySource, KIND, type Kind, PIECE_BYTES } from "../entry.ts";
import {
  CONTENT,
  CTIME,
  CTIME_SHIFT,
  HEAD_ATTRIBUTES,
  HEAD_MORE,
  KINDS,
  MASK_ATTRIBUTES,
  MASK_DEVICE,
  MASK_FLAGS,
  MASK_GID,
  MASK_INODE_HIGH,
  MASK_MODE,
  MASK_SPECIAL_DEVICE,
  MASK_UID,
  MORE_KIND,
  MORE_LINK_TEXT,
  MORE_LINKS,
  MORE_PIECE_HASHES,
  MORE_UNUSED,
  MORE_XATTRS,
  MTIME,
  MTIME_SHIFT,
  NS_A_SECOND,
  PATH_BYTES_MAX,
  PIECE_HEADER_BYTES,
  RecordContext,
  SECONDS_MAX,
  SHA256_BYTES,
  SPAN,
  SPAN_PIECE,
  SPAN_PLACE,
  SPAN_REST,
  SPAN_UNUSED,
} from "./record-layout.ts";
import { ByteReader, MalformedRecord } from "./varint.ts";

const SLASH = 0x2f;
const DOT = 0x2e;
const U32_MAX = 0xffff_ffff;
const NOTHING = new Uint8Array(new ArrayBuffer(0));

export class RecordDecoder extends ByteReader implements EntrySource {
  readonly #context = new RecordContext();
  readonly #strict: boolean;
  #first = true;

  /** `strict`, as an index is: each path is behind the one before it, and spans, where there are any, cover the file.
   *  Else entries come in any order and may carry another version's content (it is expected, or was there before). */
  constructor(bytes: Uint8Array = NOTHING, strict = false) {
    super(bytes);
    this.#strict = strict;
  }

  /** Begins with a new batch. */
  open(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.at = 0;
    this.#first = true;
    this.#context.reset();
  }

  /** Fills `entry` with the next record; false at the end. Throws MalformedRecord. */
  next(entry: Entry): boolean {
    if (this.at >= this.bytes.length) return false;
    const context = this.#context;
    const head = this.byte();
    let more: number = KIND.file;
    if ((head & HEAD_MORE) !== 0) {
      more = this.byte();
      if ((more & MORE_KIND) >= KINDS || (more & MORE_UNUSED) !== 0) {
        throw new MalformedRecord("a record of an unknown kind");
      }
    }
    entry.kind = (more & MORE_KIND) as Kind;
    this.#readPath(entry);
    entry.specialDevice = 0;
    if ((head & HEAD_ATTRIBUTES) !== 0) this.#readAttributes(entry);
    else this.#keepAttributes(entry);
    entry.links = (more & MORE_LINKS) !== 0 ? this.#u32() : 1;
    entry.sizeBytes = this.varint();
    entry.inodeLow = context.inodeLow = (context.inodeLow + this.signed()) >>> 0;
    this.#readMtime(entry, (head >> MTIME_SHIFT) & 3);
    this.#readCtime(entry, (head >> CTIME_SHIFT) & 3);
    entry.linkTarget = (more & MORE_LINK_TEXT) !== 0 ? this.#copy(this.varint()) : null;
    entry.xattrs = (more & MORE_XATTRS) !== 0 ? this.#copy(this.varint()) : null;
    entry.spanCount = 0;
    entry.pieceHashes = null;
    const content = head & 3;
    entry.hasContent = content !== CONTENT.none;
    if (entry.hasContent) this.#readContent(entry, content);
    if ((more & MORE_PIECE_HASHES) !== 0) this.#readPieceHashes(entry);
    return true;
  }

  #readPath(entry: Entry): void {
    const context = this.#context;
    const kept = this.varint();
    const added = this.varint();
    const pathBytes = kept + added;
    const bytes = this.bytes;
    let from = this.at;
    if (kept > context.pathBytes) throw new MalformedRecord("a path keeps more than there was");
    if (added > bytes.length - from) throw new MalformedRecord("it ends in the middle of a path");
    if (pathBytes > PATH_BYTES_MAX) throw new MalformedRecord("a path is longer than any can be");
    if (this.#strict && !this.#first) checkOrder(context, kept, added === 0 ? -1 : (bytes[from] as number));
    this.#first = false;
    context.reservePath(pathBytes);
    entry.reservePath(pathBytes);
    const path = context.path;
    const to = entry.path;
    for (let at = 0; at < kept; at++) to[at] = path[at] as number;
    for (let at = kept; at < pathBytes; at++) {
      const byte = bytes[from++] as number;
      if (byte === SLASH) checkName(path, at);
      else if (byte === 0) throw new MalformedRecord("a path with a NUL");
      path[at] = byte;
      to[at] = byte;
    }
    if (pathBytes !== 0) checkName(path, pathBytes);
    this.at = from;
    entry.pathBytes = context.pathBytes = pathBytes;
  }

  #keepAttributes(entry: Entry): void {
    const context = this.#context;
    const kind = entry.kind;
    entry.mode = context.mode[kind] as number;
    entry.uid = context.uid[kind] as number;
    entry.gid = context.gid[kind] as number;
    entry.flags = context.flags[kind] as number;
    entry.attributes = context.attributes[kind] as number;
    entry.device = context.device;
    entry.inodeHigh = context.inodeHigh;
  }

  #readAttributes(entry: Entry): void {
    const context = this.#context;
    const kind = entry.kind;
    const mask = this.byte();
    if ((mask & MASK_MODE) !== 0) context.mode[kind] = this.varint();
    if ((mask & MASK_UID) !== 0) context.uid[kind] = this.#u32();
    if ((mask & MASK_GID) !== 0) context.gid[kind] = this.#u32();
    if ((mask & MASK_DEVICE) !== 0) context.device = this.varint();
    if ((mask & MASK_FLAGS) !== 0) context.flags[kind] = this.#u32();
    if ((mask & MASK_ATTRIBUTES) !== 0) context.attributes[kind] = this.varint();
    if ((mask & MASK_INODE_HIGH) !== 0) context.inodeHigh = this.#u32();
    if ((mask & MASK_SPECIAL_DEVICE) !== 0) entry.specialDevice = this.varint();
    if ((context.mode[kind] as number) > 0o7777) throw new MalformedRecord("no such mode");
    this.#keepAttributes(entry);
  }

  #readMtime(entry: Entry, which: number): void {
    const context = this.#context;
    if (which === MTIME.near) {
      const ns = context.mtimeNs + this.signed();
      const seconds = Math.floor(ns / NS_A_SECOND);
      context.mtimeSeconds = checkedSeconds(context.mtimeSeconds + seconds);
      context.mtimeNs = ns - seconds * NS_A_SECOND;
    } else if (which !== MTIME.same) {
      context.mtimeSeconds = checkedSeconds(context.mtimeSeconds + this.signed());
      context.mtimeNs = which === MTIME.whole ? 0 : this.#ns();
    }
    entry.mtimeSeconds = context.mtimeSeconds;
    entry.mtimeNs = context.mtimeNs;
  }

  #readCtime(entry: Entry, which: number): void {
    const context = this.#context;
    if (which === CTIME.apart) {
      context.ctimeSeconds = checkedSeconds(context.ctimeSeconds + this.signed());
      context.ctimeNs = this.#ns();
    } else {
      if (which !== CTIME.near) {
        context.ctimeSeconds = entry.mtimeSeconds;
        context.ctimeNs = entry.mtimeNs;
      }
      if (which !== CTIME.mtime) {
        const ns = context.ctimeNs + this.signed();
        const seconds = Math.floor(ns / NS_A_SECOND);
        context.ctimeSeconds = checkedSeconds(context.ctimeSeconds + seconds);
        context.ctimeNs = ns - seconds * NS_A_SECOND;
      }
    }
    entry.ctimeSeconds = context.ctimeSeconds;
    entry.ctimeNs = context.ctimeNs;
  }

  #readContent(entry: Entry, which: number): void {
    const context = this.#context;
    if (which === CONTENT.listed) this.#readSpans(entry);
    else {
      if (which === CONTENT.nextChunk) {
        context.chunk = checkedPlace(context.chunk + this.signed());
        context.spanEnd = 0;
      }
      if (context.pack === 0) throw new MalformedRecord("a span without a pack");
      const offset = context.spanEnd + PIECE_HEADER_BYTES;
      context.spanEnd = checkedPlace(offset + entry.sizeBytes);
      entry.addSpan(context.pack, context.chunk, offset, entry.sizeBytes);
    }
    const from = this.at;
    if (this.bytes.length - from < SHA256_BYTES) throw new MalformedRecord("it ends in the middle of a hash");
    const bytes = this.bytes;
    const sha256 = entry.sha256;
    for (let at = 0; at < SHA256_BYTES; at++) sha256[at] = bytes[from + at] as number;
    this.at = from + SHA256_BYTES;
  }

  #readSpans(entry: Entry): void {
    const count = this.varint();
    if (count > this.bytes.length - this.at) throw new MalformedRecord("more spans than bytes");
    const context = this.#context;
    let rest = entry.sizeBytes;
    for (let span = 0; span < count; span++) {
      const head = this.byte();
      const place = head & SPAN_PLACE;
      if ((head & SPAN_UNUSED) !== 0) throw new MalformedRecord("a span of an unknown kind");
      if (place === SPAN.elsewhere) {
        context.pack = checkedPlace(context.pack + this.signed());
        context.chunk = checkedPlace(context.chunk + this.signed());
        context.spanEnd = checkedPlace(this.varint());
      } else if (place === SPAN.following) context.spanEnd += PIECE_HEADER_BYTES;
      else if (place === SPAN.nextChunk) {
        context.chunk = checkedPlace(context.chunk + 1);
        context.spanEnd = PIECE_HEADER_BYTES;
      } else if (place !== SPAN.hole && place !== SPAN.adjoining) {
        throw new MalformedRecord("a span of an unknown kind");
      }
      const length = head & (SPAN_REST | SPAN_PIECE);
      const bytes = length === 0 ? this.varint() : length === SPAN_REST ? rest : PIECE_BYTES;
      if (bytes < 0) throw new MalformedRecord("the spans are longer than the file");
      rest -= bytes;
      if (place === SPAN.hole) entry.addSpan(0, 0, 0, bytes);
      else {
        if (context.pack === 0) throw new MalformedRecord("a span without a pack");
        entry.addSpan(context.pack, context.chunk, context.spanEnd, bytes);
        context.spanEnd = checkedPlace(context.spanEnd + bytes);
      }
    }
    if (this.#strict && rest !== 0 && count !== 0) {
      throw new MalformedRecord("the spans do not cover the file");
    }
  }

  #readPieceHashes(entry: Entry): void {
    if (!entry.hasContent) throw new MalformedRecord("hashes of no content");
    const count = this.varint();
    if (count > (this.bytes.length - this.at) / 8) throw new MalformedRecord("more hashes than bytes");
    const hashes = new BigUint64Array(count);
    new Uint8Array(hashes.buffer).set(this.take(count * 8));
    entry.pieceHashes = hashes;
  }

  #copy(count: number): Uint8Array {
    return new Uint8Array(this.take(count));
  }

  #u32(): number {
    const value = this.varint();
    if (value > U32_MAX) throw new MalformedRecord("a number is too large");
    return value;
  }

  #ns(): number {
    const at = this.at;
    const bytes = this.bytes;
    if (bytes.length - at < 4) throw new MalformedRecord("it ends in the middle of a time");
    this.at = at + 4;
    const low = (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16);
    const ns = (low | ((bytes[at + 3] as number) << 24)) >>> 0;
    if (ns >= NS_A_SECOND) throw new MalformedRecord("more nanoseconds than a second has");
    return ns;
  }
}

/** The path that keeps `kept` bytes and goes on with `next` (-1: ends there) must be behind the previous one. */
function checkOrder(previous: RecordContext, kept: number, next: number): void {
  if (kept === previous.pathBytes) {
    if (next >= 0) return;
  } else if (next >= 0) {
    const was = previous.path[kept] as number;
    if (was === SLASH ? next !== SLASH : next > was && next !== SLASH) return;
  }
  throw new MalformedRecord("a path is not behind the one before it");
}

/** The name that ends before `end` must be one that a directory can hold. */
function checkName(path: Uint8Array, end: number): void {
  const last = end === 0 ? SLASH : (path[end - 1] as number);
  if (last === SLASH) throw new MalformedRecord("a path with an empty name");
  if (last !== DOT) return;
  const before = end === 1 ? SLASH : (path[end - 2] as number);
  if (before === SLASH || (before === DOT && (end === 2 || path[end - 3] === SLASH))) {
    throw new MalformedRecord("a path with a name of dots");
  }
}

function checkedSeconds(seconds: number): number {
  if (Math.abs(seconds) > SECONDS_MAX) throw new MalformedRecord("a time is out of range");
  return seconds;
}

function checkedPlace(number: number): number {
  if (number < 0 || number > Number.MAX_SAFE_INTEGER) throw new MalformedRecord("a span is out of range");
  return number;
}
