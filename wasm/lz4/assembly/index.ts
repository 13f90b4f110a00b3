/** LZ4 blocks. All offsets are u32 into the one memory.
 *
 *  (1) The table holds the low 16 bits of the last place that had a hash of five bytes: just the format's window, so
 *      any cell, even a blank one, means a place to look at, and four bytes looked at settle whether it counts.
 *  (2) Copies go 16 bytes at a time and may write past their end, never past the end of the target's room.
 *  (3) The decompressor takes any bytes: it reads nothing outside the source and writes nothing outside the target. */
import { REPEAT, STRIDE, TABLE, TABLE_BITS } from "../layout";

const MATCH_MIN: u32 = 4;
/** The format: the last match begins at least 12 bytes before the end, the last 5 bytes are literals. */
const START_MARGIN: u32 = 12;
const LITERALS_LAST: u32 = 5;
/** After so many fruitless positions (as a power of two) the search takes longer steps. */
const PATIENCE_BITS: u32 = 6;
/** So far from both ends a sequence of the decompressor may overshoot: 14 literals and a match of 32 with slack. */
const SOURCE_MARGIN: u32 = 32;
const TARGET_MARGIN: u32 = 64;

// @ts-ignore: decorator
@inline
function hashOf(p: u32): u32 {
  return (((load<u64>(p) << 24) * 889523592379) >>> (64 - TABLE_BITS)) as u32;
}

/** Leaves a place in the table. */
// @ts-ignore: decorator
@inline
function note(table: u32, p: u32): void {
  store<u16>(table + (hashOf(p) << 1), p);
}

/** Bytes that agree at p and m, m < p, p up to `limit`. */
// @ts-ignore: decorator
@inline
function agree(from: u32, m: u32, limit: u32): u32 {
  let p = from;
  let q = m;
  while (p + 16 <= limit) {
    const differ = i8x16.bitmask(i8x16.eq(v128.load(p), v128.load(q))) ^ 0xffff;
    if (differ != 0) return p - from + ctz(differ);
    p += 16;
    q += 16;
  }
  while (p < limit && load<u8>(p) == load<u8>(q)) {
    p++;
    q++;
  }
  return p - from;
}

/** Writes a length's bytes beyond its 15 in the token; returns the place after them. */
// @ts-ignore: decorator
@inline
function putLength(at: u32, rest: u32): u32 {
  let op = at;
  let left = rest;
  while (left >= 255) {
    store<u8>(op++, 255);
    left -= 255;
  }
  store<u8>(op++, left);
  return op;
}

/** The last sequence: literals only. Returns the block's size, 0: does not fit. */
function finish(anchor: u32, end: u32, at: u32, dst: u32, dstEnd: u32): u32 {
  const literals = end - anchor;
  let op = at;
  if (literals + 1 + (literals + 240) / 255 > dstEnd - op) return 0;
  if (literals >= 15) {
    store<u8>(op, 0xf0);
    op = putLength(op + 1, literals - 15);
  } else {
    store<u8>(op++, literals << 4);
  }
  memory.copy(op, anchor, literals);
  return op + literals - dst;
}

/** Fills what of the working memory stays as it is; once a memory. */
export function prepare(work: u32): void {
  for (let offset: u32 = 1; offset < 16; offset++) {
    for (let i: u32 = 0; i < 16; i++) store<u8>(work + (offset << 4) + i, i % offset, REPEAT);
    store<u8>(work + offset, 16 - (16 % offset), STRIDE);
  }
}

/** Makes one block of `srcBytes` at src. `work`: prepared.
 *  Returns the block's size, or 0 when it does not fit in `dstBytesMax` with a little room for the lengths. */
export function compress(work: u32, src: u32, srcBytes: u32, dst: u32, dstBytesMax: u32): u32 {
  const end = src + srcBytes;
  const dstEnd = dst + dstBytesMax;
  if (srcBytes < START_MARGIN + 1) return finish(src, end, dst, dst, dstEnd);
  const blank = i16x8.splat(src as i16);
  const table = work + TABLE;
  const tableEnd = table + (2 << TABLE_BITS);
  for (let at = table; at < tableEnd; at += 64) {
    v128.store(at, blank);
    v128.store(at, blank, 16);
    v128.store(at, blank, 32);
    v128.store(at, blank, 48);
  }
  const startLimit = end - START_MARGIN;
  const matchLimit = end - LITERALS_LAST;

  let op = dst;
  let anchor = src;
  let p = src;
  note(table, p);
  p++;
  let ahead = hashOf(p);
  while (true) {
    let m: u32 = 0;
    let next = p;
    let step: u32 = 1;
    let tries: u32 = 1 << PATIENCE_BITS;
    while (true) {
      p = next;
      next += step;
      step = tries++ >>> PATIENCE_BITS;
      if (next > startLimit) return finish(anchor, end, op, dst, dstEnd);
      const cell = table + (ahead << 1);
      m = p - ((p - load<u16>(cell)) & 0xffff);
      ahead = hashOf(next);
      store<u16>(cell, p);
      if (m - src < p - src && load<u32>(m) == load<u32>(p)) break;
    }
    if (m >= src + 8) {
      const difference = load<u64>(p - 8) ^ load<u64>(m - 8);
      let back = (clz(difference) as u32) >>> 3;
      const room = p - anchor;
      back = back < room ? back : room;
      p -= back;
      m -= back;
    }

    const literals = p - anchor;
    // token, lengths, literals, offset, and the last sequence's token
    if (literals + (literals >>> 7) + 16 > dstEnd - op) return 0;
    let token = op++;
    let mark: u32 = 0;
    if (literals >= 15) {
      mark = 0xf0;
      op = putLength(op, literals - 15);
    } else {
      mark = literals << 4;
    }
    if (dstEnd - op >= literals + 16 && p + 16 <= end) {
      let to = op;
      let from = anchor;
      op += literals;
      do {
        v128.store(to, v128.load(from));
        to += 16;
        from += 16;
      } while (to < op);
    } else {
      memory.copy(op, anchor, literals);
      op += literals;
    }

    while (true) {
      store<u16>(op, p - m);
      op += 2;
      // Places inside matches: 1.5 % smaller for two hashes more, which the branches around them hide.
      note(table, p + 1);
      const more = agree(p + MATCH_MIN, m + MATCH_MIN, matchLimit);
      p += more + MATCH_MIN;
      if (more >= 15) {
        if ((more >>> 7) + 8 > dstEnd - op) return 0;
        mark |= 15;
        op = putLength(op, more - 15);
      } else {
        mark |= more;
      }
      store<u8>(token, mark);
      anchor = p;
      if (p >= startLimit) return finish(anchor, end, op, dst, dstEnd);
      note(table, p - 3);
      note(table, p - 1);
      const cell = table + (hashOf(p) << 1);
      m = p - ((p - load<u16>(cell)) & 0xffff);
      store<u16>(cell, p);
      if (m - src >= p - src || load<u32>(m) != load<u32>(p)) break;
      if (dstEnd - op < 16) return 0;
      token = op++;
      mark = 0;
    }
    p++;
    ahead = hashOf(p);
  }
}

/** Copies a match 16 bytes at a time, up to 15 bytes past `stop`. */
// @ts-ignore: decorator
@inline
function copyMatch(work: u32, to: u32, offset: u32, stop: u32): void {
  let op = to;
  let m = op - offset;
  if (offset >= 16) {
    do {
      v128.store(op, v128.load(m));
      op += 16;
      m += 16;
    } while (op < stop);
  } else {
    const pattern = v128.swizzle(v128.load(m), v128.load(work + (offset << 4), REPEAT));
    const stride: u32 = load<u8>(work + offset, STRIDE);
    do {
      v128.store(op, pattern);
      op += stride;
    } while (op < stop);
  }
}

/** Opens one block into at most `dstBytesMax` bytes. `work`: prepared. Returns their number, or -1: not a block, or too big. */
export function decompress(work: u32, src: u32, srcBytes: u32, dst: u32, dstBytesMax: u32): i32 {
  const end = src + srcBytes;
  const dstEnd = dst + dstBytesMax;
  const ipEasy = srcBytes > SOURCE_MARGIN ? end - SOURCE_MARGIN : src;
  const opEasy = dstBytesMax > TARGET_MARGIN ? dstEnd - TARGET_MARGIN : dst;
  let ip = src;
  let op = dst;
  // Far from both ends: copies may overshoot, so most sequences need no loop.
  while (ip < ipEasy && op < opEasy) {
    const token: u32 = load<u8>(ip);
    let from = ip + 1;
    let to = op;
    let length = token >>> 4;
    if (length < 15) {
      v128.store(to, v128.load(from));
      to += length;
      from += length;
    } else {
      let byte: u32 = 0;
      do {
        byte = load<u8>(from++);
        length += byte;
      } while (byte == 255 && from < ipEasy);
      if (from >= ipEasy || length >= ipEasy - from || to >= opEasy || length >= opEasy - to) break;
      const stop = to + length;
      let next = from;
      do {
        v128.store(to, v128.load(next));
        to += 16;
        next += 16;
      } while (to < stop);
      to = stop;
      from += length;
    }
    const offset: u32 = load<u16>(from);
    if (offset - 1 >= to - dst) return -1;
    from += 2;
    length = token & 15;
    if (length == 15) {
      let byte: u32 = 0;
      do {
        byte = load<u8>(from++);
        length += byte;
      } while (byte == 255 && from < ipEasy);
      if (from >= ipEasy || to >= opEasy || length >= opEasy - to) break;
    }
    length += MATCH_MIN;
    const stop = to + length;
    if (offset >= 16) {
      const m = to - offset;
      v128.store(to, v128.load(m));
      v128.store(to, v128.load(m, 16), 16);
      if (length > 32) copyMatch(work, to + 32, offset, stop);
    } else {
      copyMatch(work, to, offset, stop);
    }
    ip = from;
    op = stop;
  }
  // Near an end: by the byte.
  while (ip < end) {
    const token: u32 = load<u8>(ip++);
    let length = token >>> 4;
    if (length == 15) {
      let byte: u32 = 0;
      do {
        if (ip >= end) return -1;
        byte = load<u8>(ip++);
        length += byte;
      } while (byte == 255);
    }
    if (length > end - ip || length > dstEnd - op) return -1;
    memory.copy(op, ip, length);
    op += length;
    ip += length;
    if (ip == end) return op - dst;
    if (end - ip < 2) return -1;
    const offset: u32 = load<u16>(ip);
    ip += 2;
    if (offset - 1 >= op - dst) return -1;
    length = token & 15;
    if (length == 15) {
      let byte: u32 = 0;
      do {
        if (ip >= end) return -1;
        byte = load<u8>(ip++);
        length += byte;
      } while (byte == 255);
    }
    length += MATCH_MIN;
    if (length > dstEnd - op) return -1;
    const stop = op + length;
    if (dstEnd - stop >= 16) {
      copyMatch(work, op, offset, stop);
      op = stop;
    } else {
      let m = op - offset;
      while (op < stop) store<u8>(op++, load<u8>(m++));
    }
  }
  return -1;
}
