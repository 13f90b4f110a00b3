/** LZ4 blocks. All offsets are u32 into the one memory.
 *
 *  (1) A position is sought by the hash of five bytes; a candidate counts when four bytes agree and it is near enough.
 *  (2) Copies go 16 bytes at a time and may write past their end, never past the end of the target's room.
 *  (3) The decompressor takes any bytes: it reads nothing outside the source and writes nothing outside the target. */
import { EPOCH, TABLE, TABLE_BITS } from "../layout";

const WINDOW: u32 = 65535;
const MATCH_MIN: u32 = 4;
/** The format: the last match begins at least 12 bytes before the end, the last 5 bytes are literals. */
const START_MARGIN: u32 = 12;
const LITERALS_LAST: u32 = 5;
/** After so many fruitless positions (as a power of two) the search takes longer steps. */
const PATIENCE_BITS: u32 = 6;
const EPOCH_MAX: u32 = 0x70000000;

// @ts-ignore: decorator
@inline
function hashOf(p: u32): u32 {
  return (((load<u64>(p) << 24) * 889523592379) >>> (64 - TABLE_BITS)) as u32;
}

/** Bytes that agree at p and m, m < p, p up to `limit`. */
// @ts-ignore: decorator
@inline
function agree(from: u32, m: u32, limit: u32): u32 {
  let p = from;
  let q = m;
  while (p + 8 <= limit) {
    const difference = load<u64>(p) ^ load<u64>(q);
    if (difference != 0) return p - from + ((ctz(difference) as u32) >>> 3);
    p += 8;
    q += 8;
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

/** Makes one block of `srcBytes` at src. `work`: TABLES_BYTES of working memory.
 *  Returns the block's size, or 0 when it does not fit in `dstBytesMax`. */
export function compress(work: u32, src: u32, srcBytes: u32, dst: u32, dstBytesMax: u32): u32 {
  const end = src + srcBytes;
  const dstEnd = dst + dstBytesMax;
  if (srcBytes < START_MARGIN + 1) return finish(src, end, dst, dst, dstEnd);
  const table = work + TABLE;
  let epoch = load<u32>(work, EPOCH);
  if (epoch == 0 || epoch > EPOCH_MAX) {
    memory.fill(table, 0, 4 << TABLE_BITS);
    epoch = WINDOW + 1;
  }
  store<u32>(work, epoch + srcBytes + WINDOW + 1, EPOCH);
  const shift = epoch - src;
  const startLimit = end - START_MARGIN;
  const matchLimit = end - LITERALS_LAST;

  let op = dst;
  let anchor = src;
  let p = src;
  store<u32>(table + (hashOf(p) << 2), p + shift);
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
      const cell = table + (ahead << 2);
      const candidate = load<u32>(cell);
      ahead = hashOf(next);
      store<u32>(cell, p + shift);
      if (p + shift - candidate > WINDOW) continue;
      m = candidate - shift;
      if (load<u32>(m) == load<u32>(p)) break;
    }
    while (p > anchor && m > src && load<u8>(p - 1) == load<u8>(m - 1)) {
      p--;
      m--;
    }

    const literals = p - anchor;
    // token, lengths, literals, offset, and the last sequence's token
    if (op + literals + literals / 255 + 16 > dstEnd) return 0;
    let token = op++;
    let mark: u32 = 0;
    if (literals >= 15) {
      mark = 0xf0;
      op = putLength(op, literals - 15);
    } else {
      mark = literals << 4;
    }
    if (op + literals + 16 <= dstEnd && p + 16 <= end) {
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
      const more = agree(p + MATCH_MIN, m + MATCH_MIN, matchLimit);
      p += more + MATCH_MIN;
      if (more >= 15) {
        if (op + more / 255 + 8 > dstEnd) return 0;
        mark |= 15;
        op = putLength(op, more - 15);
      } else {
        mark |= more;
      }
      store<u8>(token, mark);
      anchor = p;
      if (p >= startLimit) return finish(anchor, end, op, dst, dstEnd);
      store<u32>(table + (hashOf(p - 2) << 2), p - 2 + shift);
      const cell = table + (hashOf(p) << 2);
      const candidate = load<u32>(cell);
      store<u32>(cell, p + shift);
      if (p + shift - candidate > WINDOW) break;
      m = candidate - shift;
      if (load<u32>(m) != load<u32>(p)) break;
      if (op + 16 > dstEnd) return 0;
      token = op++;
      mark = 0;
    }
    p++;
    ahead = hashOf(p);
  }
}

/** Opens one block into at most `dstBytesMax` bytes. Returns their number, or -1: not a block, or too big. */
export function decompress(src: u32, srcBytes: u32, dst: u32, dstBytesMax: u32): i32 {
  const end = src + srcBytes;
  const dstEnd = dst + dstBytesMax;
  let ip = src;
  let op = dst;
  while (true) {
    if (ip >= end) return -1;
    const token = load<u8>(ip++) as u32;
    let literals = token >>> 4;
    if (literals == 15) {
      let byte: u32 = 0;
      do {
        if (ip >= end) return -1;
        byte = load<u8>(ip++) as u32;
        literals += byte;
      } while (byte == 255);
    }
    if (literals > end - ip || literals > dstEnd - op) return -1;
    if (end - ip >= literals + 16 && dstEnd - op >= literals + 16) {
      let to = op;
      let from = ip;
      op += literals;
      ip += literals;
      do {
        v128.store(to, v128.load(from));
        to += 16;
        from += 16;
      } while (to < op);
    } else {
      memory.copy(op, ip, literals);
      op += literals;
      ip += literals;
      if (ip == end) return op - dst;
    }
    if (end - ip < 2) return -1;
    const offset = load<u16>(ip) as u32;
    ip += 2;
    if (offset == 0 || offset > op - dst) return -1;
    let length = token & 15;
    if (length == 15) {
      let byte: u32 = 0;
      do {
        if (ip >= end) return -1;
        byte = load<u8>(ip++) as u32;
        length += byte;
      } while (byte == 255);
    }
    length += MATCH_MIN;
    if (length > dstEnd - op) return -1;
    let from = op - offset;
    const stop = op + length;
    if (offset >= 16 && dstEnd - stop >= 16) {
      do {
        v128.store(op, v128.load(from));
        op += 16;
        from += 16;
      } while (op < stop);
      op = stop;
    } else if (offset >= 8 && dstEnd - stop >= 8) {
      do {
        store<u64>(op, load<u64>(from));
        op += 8;
        from += 8;
      } while (op < stop);
      op = stop;
    } else {
      while (op < stop) store<u8>(op++, load<u8>(from++));
    }
  }
}
