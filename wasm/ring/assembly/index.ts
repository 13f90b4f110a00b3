/** The head of a directing device's journal: a ring in shared memory with one writer (the front) and two
 *  readers (cache and drive). DESIGN "one journal, two readers", rule 8.
 *
 *  (1) Places are handed out in order and published in order; what was handed out and not used becomes a PAD.
 *  (2) An entry never wraps: a PAD fills up to the ring's end.
 *  (3) A byte is handed out again only when every reader that still needs it has passed it (`room`).
 *  (4) RESERVED is raised before a byte of the place is touched, and lowered again if the drive's reader
 *      claimed those bytes meanwhile (`claim`): one of the two always sees the other.
 *  (5) What the call of a hung drive may still read (HUNG_AT, HUNG_BYTES) is jumped by PADs, lap after lap: nothing but the
 *      header of a PAD, or of the entry itself, is ever written there.
 *
 *  Offsets cross to the host as f64 (exact below 2^53); in memory they are i64, stored seq_cst after the data.
 */
import { xxh3 } from "./xxh3";
import {
  RING, RING_BYTES, STRIPE_BYTES, RESERVED, RECEIVED, CACHED, TAKEN, ON_TAPE, SEQUENCE, FOLLOWER, CACHE_STATE,
  HUNG_AT, HUNG_BYTES,
  FOLLOWER_RING, FOLLOWER_DISK, CACHE_NONE, CACHE_LOST,
  ENTRY_HEADER_BYTES, ENTRY_ALIGN, ENTRY_MAGIC, ENTRY_MAGIC_AT, ENTRY_KIND_AT, ENTRY_FLAGS_AT, ENTRY_OFFSET_AT, ENTRY_SEQUENCE_AT,
  ENTRY_IMAGE_AT, ENTRY_POSITION_AT, ENTRY_DATA_BYTES_AT, ENTRY_COUNT_AT, ENTRY_BLOCK_BYTES_AT, ENTRY_FILE_NUMBER_AT, ENTRY_BYTES_AT,
  ENTRY_RECEIVED_MS_AT, ENTRY_ON_TAPE_AT, ENTRY_DATA_HASH_AT, ENTRY_HEADER_HASH_AT, ENTRY_HASHED_BYTES, KIND_PAD,
} from "../layout";

// @ts-ignore: decorator
@inline function cursor(at: i32): i64 {
  return atomic.load<i64>(at as usize);
}
// @ts-ignore: decorator
@inline function place(J: i64): usize {
  return (RING as usize) + ((J % cursor(RING_BYTES)) as usize);
}
// @ts-ignore: decorator
@inline function padded(bytes: i64): i64 {
  return (bytes + (ENTRY_ALIGN - 1)) & ~((ENTRY_ALIGN - 1) as i64);
}

export function get(at: i32): f64 {
  return atomic.load<i64>(at as usize) as f64;
}
export function set(at: i32, value: f64): void {
  atomic.store<i64>(at as usize, value as i64);
}

/** Oldest offset that some reader still needs from the ring. */
function tail(): i64 {
  const cacheState = atomic.load<i32>(CACHE_STATE as usize);
  const cacheGone = cacheState == CACHE_NONE || cacheState == CACHE_LOST;
  const follower = atomic.load<i32>(FOLLOWER as usize);
  let oldest = cacheGone ? cursor(RECEIVED) : cursor(CACHED);
  // Demoted: the drive's reader takes from the cache, if there is one.
  if (follower == FOLLOWER_RING || (follower == FOLLOWER_DISK && cacheGone)) {
    const taken = cursor(TAKEN);
    if (taken < oldest) oldest = taken;
  }
  return oldest;
}

/** Bytes that can be handed out now. */
export function room(): f64 {
  return (tail() + cursor(RING_BYTES) - cursor(RESERVED)) as f64;
}

/** Bytes between `from` and the next contiguous place of `size`: up to the ring's end, and past what a hung drive may read. */
function padBefore(from: i64, size: i64): i64 {
  const ringBytes = cursor(RING_BYTES);
  const hung = cursor(HUNG_BYTES);
  const pinned = cursor(HUNG_AT);
  let pad: i64 = 0;
  // A place is at most a quarter of the ring: one of end, pinned range and end again, and it fits.
  for (let round = 0; round < 3; round++) {
    const inRing = (from + pad) % ringBytes;
    if (inRing + size > ringBytes) pad += ringBytes - inRing;
    else if (hung > 0 && inRing < pinned + hung && inRing + size > pinned) pad += pinned + hung - inRing;
    else break;
  }
  return pad;
}

/** Room that a place of `bytes` takes now, with what is left out before it. */
export function placeBytes(bytes: f64): f64 {
  return (padBefore(cursor(RESERVED), bytes as i64) as f64) + bytes;
}

/** Where a barrier fills up to: the stripe's end; what comes next begins there with a header, so never amidst what a hung
 *  drive may read. */
function stripeEnd(): i64 {
  const received = cursor(RECEIVED);
  const stripeBytes = cursor(STRIPE_BYTES);
  const past = received % stripeBytes;
  if (past == 0) return received;
  const ringBytes = cursor(RING_BYTES);
  const pinned = cursor(HUNG_AT);
  const pinnedEnd = pinned + cursor(HUNG_BYTES);
  let to = received - past + stripeBytes;
  while (to % ringBytes > pinned && to % ringBytes < pinnedEnd) to += stripeBytes;
  return to;
}

/** Room that the barrier's PAD takes now. */
export function stripePadBytes(): f64 {
  return (stripeEnd() - cursor(RECEIVED)) as f64;
}

/** Hands out a contiguous place of `bytes` (a multiple of 512); -1: no room now. */
export function reserve(bytes: f64): f64 {
  const size = bytes as i64;
  const from = cursor(RESERVED);
  const ringBytes = cursor(RING_BYTES);
  const pad = padBefore(from, size);
  if (tail() + ringBytes < from + pad + size) return -1;
  atomic.store<i64>(RESERVED as usize, from + pad + size);
  if (tail() + ringBytes < from + pad + size) {
    atomic.store<i64>(RESERVED as usize, from);
    return -1;
  }
  // What an earlier lap left there must never pass for this entry's header.
  memory.fill(place(from + pad), 0, ENTRY_HEADER_BYTES as usize);
  return (from + pad) as f64;
}

/** Takes back everything handed out and not published (no receive into it may be under way). */
export function unreserve(): void {
  atomic.store<i64>(RESERVED as usize, cursor(RECEIVED));
}

function seal(
  J: i64, kind: i32, flags: i32, entryBytes: i64, image: i64, position: i64, fileNumber: i32, dataBytes: i32, count: i32, blockBytes: i32, nowMs: f64,
): void {
  const p = place(J);
  memory.fill(p, 0, ENTRY_HEADER_BYTES as usize);
  store<u32>(p + ENTRY_MAGIC_AT, ENTRY_MAGIC as u32);
  store<u8>(p + ENTRY_KIND_AT, kind as u8);
  store<u8>(p + ENTRY_FLAGS_AT, flags as u8);
  store<i64>(p + ENTRY_OFFSET_AT, J);
  const sequence = cursor(SEQUENCE);
  store<i64>(p + ENTRY_SEQUENCE_AT, sequence);
  store<i64>(p + ENTRY_IMAGE_AT, image);
  store<i64>(p + ENTRY_POSITION_AT, position);
  store<i32>(p + ENTRY_DATA_BYTES_AT, dataBytes);
  store<i32>(p + ENTRY_COUNT_AT, count);
  store<i32>(p + ENTRY_BLOCK_BYTES_AT, blockBytes);
  store<i32>(p + ENTRY_FILE_NUMBER_AT, fileNumber);
  store<i64>(p + ENTRY_BYTES_AT, entryBytes);
  store<f64>(p + ENTRY_RECEIVED_MS_AT, nowMs);
  store<i64>(p + ENTRY_ON_TAPE_AT, cursor(ON_TAPE));
  const end = p + ENTRY_HEADER_BYTES + (dataBytes as usize);
  // No byte of an earlier lap goes to disk behind a block.
  memory.fill(end, 0, p + ENTRY_HEADER_BYTES + (padded(dataBytes as i64) as usize) - end);
  store<u64>(p + ENTRY_DATA_HASH_AT, xxh3(p + ENTRY_HEADER_BYTES, dataBytes as usize));
  store<u64>(p + ENTRY_HEADER_HASH_AT, xxh3(p, ENTRY_HASHED_BYTES as usize));
  atomic.store<i64>(SEQUENCE as usize, sequence + 1);
}

/** Seals the entry whose data lies at J + 512 and publishes it, with a PAD for whatever was skipped before it.
 *  Returns the new RECEIVED. */
export function append(
  J: f64, kind: i32, flags: i32, image: f64, position: f64, fileNumber: i32, dataBytes: i32, count: i32, blockBytes: i32, nowMs: f64,
): f64 {
  const at = J as i64;
  const received = cursor(RECEIVED);
  if (at > received) padBetween(received, at, image as i64, position as i64, nowMs);
  const size = (ENTRY_HEADER_BYTES as i64) + padded(dataBytes as i64);
  seal(at, kind, flags, size, image as i64, position as i64, fileNumber, dataBytes, count, blockBytes, nowMs);
  atomic.store<i64>(RECEIVED as usize, at + size);
  return (at + size) as f64;
}

/** PADs from `from` to `to`; two where the ring's end lies between, since no entry wraps. */
function padBetween(from: i64, to: i64, image: i64, position: i64, nowMs: f64): void {
  const ringBytes = cursor(RING_BYTES);
  const end = (from / ringBytes + 1) * ringBytes;
  const middle = end < to ? end : to;
  seal(from, KIND_PAD, 0, middle - from, image, position, 0, 0, 0, 0, nowMs);
  if (middle < to) seal(middle, KIND_PAD, 0, to - middle, image, position, 0, 0, 0, 0, nowMs);
}

/** Fills up to the end of the stripe, so that the cache can write it whole (rule 9). Nothing may be handed out
 *  and unpublished. Returns RECEIVED, or -1 where there is no room now. */
export function padToStripe(image: f64, position: f64, nowMs: f64): f64 {
  const received = cursor(RECEIVED);
  const to = stripeEnd();
  if (to == received) return received as f64;
  if (tail() + cursor(RING_BYTES) < to) return -1;
  atomic.store<i64>(RESERVED as usize, to);
  if (tail() + cursor(RING_BYTES) < to) {
    atomic.store<i64>(RESERVED as usize, received);
    return -1;
  }
  seal(received, KIND_PAD, 0, to - received, image as i64, position as i64, 0, 0, 0, 0, nowMs);
  atomic.store<i64>(RECEIVED as usize, to);
  return to as f64;
}

/** The drive's reader claims the ring from J on (promotion from disk). 0: those bytes are gone from the ring. */
export function claim(J: f64): i32 {
  const at = J as i64;
  atomic.store<i64>(TAKEN as usize, at);
  atomic.store<i32>(FOLLOWER as usize, FOLLOWER_RING);
  if (cursor(RESERVED) - at > cursor(RING_BYTES)) {
    atomic.store<i32>(FOLLOWER as usize, FOLLOWER_DISK);
    return 0;
  }
  return 1;
}

/** 1: at memory offset `p` lies a sound header of the entry at J (J < 0: any). */
export function soundHeader(p: i32, J: f64): i32 {
  const at = p as usize;
  if (load<u32>(at + ENTRY_MAGIC_AT) != (ENTRY_MAGIC as u32)) return 0;
  if (J >= 0 && load<i64>(at + ENTRY_OFFSET_AT) != (J as i64)) return 0;
  return load<u64>(at + ENTRY_HEADER_HASH_AT) == xxh3(at, ENTRY_HASHED_BYTES as usize) ? 1 : 0;
}

/** 1: the data behind the header at memory offset `p` has the hash that the header names. */
export function soundData(p: i32): i32 {
  const at = p as usize;
  return load<u64>(at + ENTRY_DATA_HASH_AT) == xxh3(at + ENTRY_HEADER_BYTES, load<u32>(at + ENTRY_DATA_BYTES_AT) as usize) ? 1 : 0;
}

/** A 64-bit field of a header as f64. */
export function field64(p: i32): f64 {
  return load<i64>(p as usize) as f64;
}

/** 1: the two u64 at these memory offsets are equal. */
export function same64(p: i32, q: i32): i32 {
  return load<u64>(p as usize) == load<u64>(q as usize) ? 1 : 0;
}

/** xxHash3 of `bytes` at memory offset `p`, stored little-endian at `into`. */
export function hashInto(p: i32, bytes: i32, into: i32): void {
  store<u64>(into as usize, xxh3(p as usize, bytes as usize));
}

export function copy(to: i32, from: i32, bytes: i32): void {
  memory.copy(to as usize, from as usize, bytes as usize);
}
