/** @module Writes entries as records (record-layout.ts), each as the difference to the one before. */
import { assert } from "../../base/assert.ts";
import { type Entry, KIND, PIECE_BYTES, SPAN_NUMBERS } from "../entry.ts";
import {
  CONTENT,
  CTIME,
  CTIME_SHIFT,
  HEAD_ATTRIBUTES,
  HEAD_MORE,
  MASK_ATTRIBUTES,
  MASK_DEVICE,
  MASK_FLAGS,
  MASK_GID,
  MASK_INODE_HIGH,
  MASK_MODE,
  MASK_SPECIAL_DEVICE,
  MASK_UID,
  MORE_LINK_TEXT,
  MORE_LINKS,
  MORE_PIECE_HASHES,
  MORE_XATTRS,
  MTIME,
  MTIME_SHIFT,
  NEAR_NS,
  NS_A_SECOND,
  PATH_BYTES_MAX,
  PIECE_HEADER_BYTES,
  RecordContext,
  SECONDS_MAX,
  SHA256_BYTES,
  SPAN,
  SPAN_PIECE,
  SPAN_REST,
} from "./record-layout.ts";
import { fold, putVarint, VARINT_BYTES_MAX } from "./varint.ts";

/** All numbers of a record without spans, at their longest. */
const FIXED_BYTES_MAX = 24 * VARINT_BYTES_MAX + SHA256_BYTES;
const SPAN_BYTES_MAX = 1 + 4 * VARINT_BYTES_MAX;

export class RecordEncoder {
  #out: Uint8Array;
  #at = 0;
  #count = 0;
  readonly #context = new RecordContext();

  /** Room to begin with; it grows as it must. */
  constructor(roomBytes = 64 * 1024) {
    this.#out = new Uint8Array(new ArrayBuffer(Math.max(roomBytes, 1024)));
  }

  get bytes(): number {
    return this.#at;
  }

  get count(): number {
    return this.#count;
  }

  /** Empties it: the next record begins a new batch. */
  reset(): void {
    this.#at = 0;
    this.#count = 0;
    this.#context.reset();
  }

  /** All records since the reset; valid until the next `add`. */
  view(): Uint8Array {
    return this.#out.subarray(0, this.#at);
  }

  /** A copy of them in a buffer of its own. */
  take(): Uint8Array {
    return this.#out.slice(0, this.#at);
  }

  add(entry: Entry): void {
    this.#reserve(entry);
    const context = this.#context;
    const out = this.#out;
    const headAt = this.#at;
    let at = headAt + 1;
    let head = 0;

    let more: number = entry.kind;
    if (entry.links !== 1) more |= MORE_LINKS;
    if (entry.linkTarget !== null) more |= MORE_LINK_TEXT;
    if (entry.xattrs !== null) more |= MORE_XATTRS;
    if (entry.hasContent && entry.pieceHashes !== null) more |= MORE_PIECE_HASHES;
    if (more !== KIND.file) {
      head |= HEAD_MORE;
      out[at++] = more;
    }
    at = this.#putPath(out, at, entry);
    const behindMask = this.#putAttributes(out, at, entry);
    if (behindMask !== at) head |= HEAD_ATTRIBUTES;
    at = behindMask;
    if ((more & MORE_LINKS) !== 0) at = putVarint(out, at, entry.links);
    at = putVarint(out, at, entry.sizeBytes);
    at = putVarint(out, at, fold((entry.inodeLow - context.inodeLow) | 0));
    context.inodeLow = entry.inodeLow;

    const mtime = mtimeCase(entry, context);
    head |= mtime << MTIME_SHIFT;
    if (mtime !== MTIME.same) at = putMtime(out, at, mtime, entry, context);
    const ctime = ctimeCase(entry, context);
    head |= ctime << CTIME_SHIFT;
    if (ctime !== CTIME.mtime) at = putCtime(out, at, ctime, entry, context);
    context.mtimeSeconds = entry.mtimeSeconds;
    context.mtimeNs = entry.mtimeNs;
    context.ctimeSeconds = entry.ctimeSeconds;
    context.ctimeNs = entry.ctimeNs;

    if (entry.linkTarget !== null) at = putBytes(out, at, entry.linkTarget);
    if (entry.xattrs !== null) at = putBytes(out, at, entry.xattrs);
    if (entry.hasContent) {
      const content = contentCase(entry, context);
      head |= content;
      at = putSpans(out, at, content, entry, context);
      const sha256 = entry.sha256;
      for (let byte = 0; byte < SHA256_BYTES; byte++) out[at + byte] = sha256[byte] as number;
      at += SHA256_BYTES;
      if (entry.pieceHashes !== null) at = putPieceHashes(out, at, entry.pieceHashes);
    }
    out[headAt] = head;
    this.#at = at;
    this.#count++;
  }

  #reserve(entry: Entry): void {
    assert(entry.pathBytes <= PATH_BYTES_MAX, "a path is longer than any can be");
    const needed =
      this.#at +
      FIXED_BYTES_MAX +
      entry.pathBytes +
      (entry.linkTarget?.length ?? 0) +
      (entry.xattrs?.length ?? 0) +
      entry.spanCount * SPAN_BYTES_MAX +
      (entry.pieceHashes?.byteLength ?? 0);
    if (needed > this.#out.length) {
      const larger = new Uint8Array(new ArrayBuffer(2 ** Math.ceil(Math.log2(needed))));
      larger.set(this.#out.subarray(0, this.#at));
      this.#out = larger;
    }
    this.#context.reservePath(entry.pathBytes);
  }

  #putPath(out: Uint8Array, start: number, entry: Entry): number {
    const context = this.#context;
    const path = entry.path;
    const previous = context.path;
    const pathBytes = entry.pathBytes;
    const common = Math.min(pathBytes, context.pathBytes);
    let kept = 0;
    while (kept < common && path[kept] === previous[kept]) kept++;
    let at = putVarint(out, start, kept);
    at = putVarint(out, at, pathBytes - kept);
    for (let from = kept; from < pathBytes; from++) {
      const byte = path[from] as number;
      out[at++] = byte;
      previous[from] = byte;
    }
    context.pathBytes = pathBytes;
    return at;
  }

  #putAttributes(out: Uint8Array, start: number, entry: Entry): number {
    const context = this.#context;
    const kind = entry.kind;
    let mask = 0;
    if (entry.mode !== context.mode[kind]) mask |= MASK_MODE;
    if (entry.uid !== context.uid[kind]) mask |= MASK_UID;
    if (entry.gid !== context.gid[kind]) mask |= MASK_GID;
    if (entry.device !== context.device) mask |= MASK_DEVICE;
    if (entry.flags !== context.flags[kind]) mask |= MASK_FLAGS;
    if (entry.attributes !== context.attributes[kind]) mask |= MASK_ATTRIBUTES;
    if (entry.inodeHigh !== context.inodeHigh) mask |= MASK_INODE_HIGH;
    if (entry.specialDevice !== 0) mask |= MASK_SPECIAL_DEVICE;
    if (mask === 0) return start;
    let at = start;
    out[at++] = mask;
    if ((mask & MASK_MODE) !== 0) at = putVarint(out, at, entry.mode);
    if ((mask & MASK_UID) !== 0) at = putVarint(out, at, entry.uid);
    if ((mask & MASK_GID) !== 0) at = putVarint(out, at, entry.gid);
    if ((mask & MASK_DEVICE) !== 0) at = putVarint(out, at, entry.device);
    if ((mask & MASK_FLAGS) !== 0) at = putVarint(out, at, entry.flags);
    if ((mask & MASK_ATTRIBUTES) !== 0) at = putVarint(out, at, entry.attributes);
    if ((mask & MASK_INODE_HIGH) !== 0) at = putVarint(out, at, entry.inodeHigh);
    if ((mask & MASK_SPECIAL_DEVICE) !== 0) at = putVarint(out, at, entry.specialDevice);
    context.mode[kind] = entry.mode;
    context.uid[kind] = entry.uid;
    context.gid[kind] = entry.gid;
    context.device = entry.device;
    context.flags[kind] = entry.flags;
    context.attributes[kind] = entry.attributes;
    context.inodeHigh = entry.inodeHigh;
    return at;
  }
}

/** a - b in nanoseconds; far apart: a number too large to matter, not exact. */
function apartNs(aSeconds: number, aNs: number, bSeconds: number, bNs: number): number {
  return (aSeconds - bSeconds) * NS_A_SECOND + (aNs - bNs);
}

function mtimeCase(entry: Entry, context: RecordContext): number {
  const seconds = entry.mtimeSeconds;
  const ns = entry.mtimeNs;
  assert(Math.abs(seconds) <= SECONDS_MAX && ns >= 0 && ns < NS_A_SECOND, "mtime is out of range");
  if (seconds === context.mtimeSeconds && ns === context.mtimeNs) return MTIME.same;
  if (ns === 0) return MTIME.whole;
  const apart = apartNs(seconds, ns, context.mtimeSeconds, context.mtimeNs);
  return Math.abs(apart) < NEAR_NS ? MTIME.near : MTIME.apart;
}

function putMtime(out: Uint8Array, at: number, which: number, entry: Entry, context: RecordContext): number {
  if (which === MTIME.near) {
    return putVarint(
      out,
      at,
      fold(apartNs(entry.mtimeSeconds, entry.mtimeNs, context.mtimeSeconds, context.mtimeNs)),
    );
  }
  const behind = putVarint(out, at, fold(entry.mtimeSeconds - context.mtimeSeconds));
  return which === MTIME.whole ? behind : putNs(out, behind, entry.mtimeNs);
}

function ctimeCase(entry: Entry, context: RecordContext): number {
  const seconds = entry.ctimeSeconds;
  const ns = entry.ctimeNs;
  assert(Math.abs(seconds) <= SECONDS_MAX && ns >= 0 && ns < NS_A_SECOND, "ctime is out of range");
  if (seconds === entry.mtimeSeconds && ns === entry.mtimeNs) return CTIME.mtime;
  const toMtime = Math.abs(apartNs(seconds, ns, entry.mtimeSeconds, entry.mtimeNs));
  const toPrevious = Math.abs(apartNs(seconds, ns, context.ctimeSeconds, context.ctimeNs));
  if (Math.min(toMtime, toPrevious) >= NEAR_NS) return CTIME.apart;
  return toMtime < toPrevious ? CTIME.nearMtime : CTIME.near;
}

function putCtime(out: Uint8Array, at: number, which: number, entry: Entry, context: RecordContext): number {
  const seconds = entry.ctimeSeconds;
  const ns = entry.ctimeNs;
  if (which === CTIME.nearMtime) {
    return putVarint(out, at, fold(apartNs(seconds, ns, entry.mtimeSeconds, entry.mtimeNs)));
  }
  if (which === CTIME.near) {
    return putVarint(out, at, fold(apartNs(seconds, ns, context.ctimeSeconds, context.ctimeNs)));
  }
  return putNs(out, putVarint(out, at, fold(seconds - context.ctimeSeconds)), ns);
}

function putNs(out: Uint8Array, at: number, ns: number): number {
  out[at] = ns & 0xff;
  out[at + 1] = (ns >>> 8) & 0xff;
  out[at + 2] = (ns >>> 16) & 0xff;
  out[at + 3] = ns >>> 24;
  return at + 4;
}

function putBytes(out: Uint8Array, at: number, bytes: Uint8Array): number {
  const behind = putVarint(out, at, bytes.length);
  out.set(bytes, behind);
  return behind + bytes.length;
}

function contentCase(entry: Entry, context: RecordContext): number {
  const spans = entry.spans;
  if (entry.spanCount !== 1 || spans[3] !== entry.sizeBytes || spans[0] !== context.pack || spans[0] === 0) {
    return CONTENT.listed;
  }
  if (spans[1] === context.chunk && spans[2] === context.spanEnd + PIECE_HEADER_BYTES)
    return CONTENT.following;
  return spans[2] === PIECE_HEADER_BYTES ? CONTENT.nextChunk : CONTENT.listed;
}

function putSpans(
  out: Uint8Array,
  start: number,
  which: number,
  entry: Entry,
  context: RecordContext,
): number {
  const spans = entry.spans;
  if (which === CONTENT.following) {
    context.spanEnd = (spans[2] as number) + entry.sizeBytes;
    return start;
  }
  if (which === CONTENT.nextChunk) {
    const chunk = spans[1] as number;
    const at = putVarint(out, start, fold(chunk - context.chunk));
    context.chunk = chunk;
    context.spanEnd = PIECE_HEADER_BYTES + entry.sizeBytes;
    return at;
  }
  let at = putVarint(out, start, entry.spanCount);
  let rest = entry.sizeBytes;
  for (let span = 0; span < entry.spanCount; span++) {
    at = putSpan(out, at, spans, span * SPAN_NUMBERS, rest, context);
    rest -= spans[span * SPAN_NUMBERS + 3] as number;
  }
  return at;
}

function putSpan(
  out: Uint8Array,
  start: number,
  spans: Float64Array,
  number: number,
  restBytes: number,
  context: RecordContext,
): number {
  const pack = spans[number] as number;
  const chunk = spans[number + 1] as number;
  const offset = spans[number + 2] as number;
  const bytes = spans[number + 3] as number;
  const same = pack === context.pack;
  let place: number = SPAN.elsewhere;
  if (pack === 0) place = SPAN.hole;
  else if (same && chunk === context.chunk && offset === context.spanEnd + PIECE_HEADER_BYTES) {
    place = SPAN.following;
  } else if (same && chunk === context.chunk && offset === context.spanEnd) place = SPAN.adjoining;
  else if (same && chunk === context.chunk + 1 && offset === PIECE_HEADER_BYTES) place = SPAN.nextChunk;
  const length = bytes === restBytes ? SPAN_REST : bytes === PIECE_BYTES ? SPAN_PIECE : 0;
  let at = start;
  out[at++] = place | length;
  if (place === SPAN.elsewhere) {
    at = putVarint(out, at, fold(pack - context.pack));
    at = putVarint(out, at, fold(chunk - context.chunk));
    at = putVarint(out, at, offset);
  }
  if (length === 0) at = putVarint(out, at, bytes);
  if (place !== SPAN.hole) {
    context.pack = pack;
    context.chunk = chunk;
    context.spanEnd = offset + bytes;
  }
  return at;
}

function putPieceHashes(out: Uint8Array, at: number, hashes: BigUint64Array): number {
  const behind = putVarint(out, at, hashes.length);
  out.set(new Uint8Array(hashes.buffer, hashes.byteOffset, hashes.byteLength), behind);
  return behind + hashes.byteLength;
}
