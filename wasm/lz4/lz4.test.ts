import { dlopen, FFIType, ptr } from "bun:ffi";
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { LZ4_TABLES_BYTES, Lz4 } from "./lz4.ts";

const { i32, u64_fast } = FFIType;
const { symbols: liblz4 } = dlopen("liblz4.so.1", {
  LZ4_compress_default: { args: [u64_fast, u64_fast, i32, i32], returns: i32 },
  LZ4_compress_HC: { args: [u64_fast, u64_fast, i32, i32, i32], returns: i32 },
  LZ4_decompress_safe: { args: [u64_fast, u64_fast, i32, i32], returns: i32 },
});

const CHUNK_BYTES = 262144;
const GUARD_BYTES = 64;
const TABLES = 65536;
const SRC = TABLES + LZ4_TABLES_BYTES + 65536;
const PACKED = 0x100000;
const PLAIN = 0x200000;
const memory = new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true });
const bytes = new Uint8Array(memory.buffer);
const native = Number(ptr(bytes));
const lz4 = new Lz4(memory, TABLES);

/** Small seeded generator (mulberry32), so that a failure can be run again. */
function random(seed: number): (below: number) => number {
  let a = seed;
  return (below) => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below);
  };
}

const boundBytes = (size: number) => size + (size >>> 7) + 32;
const same = (at: number, other: number, size: number) =>
  Buffer.compare(bytes.subarray(at, at + size), bytes.subarray(other, other + size)) === 0;

/** Noise, text, runs of a byte, repeats near and far: of everything something. */
function fillMixed(at: number, size: number, next: (below: number) => number): void {
  const end = at + size;
  let to = at;
  while (to < end) {
    const part = Math.min(end - to, 1 + next(next(4) === 0 ? 2000 : 40));
    const kind = next(5);
    if (kind === 0) for (let i = 0; i < part; i++) bytes[to + i] = next(256);
    else if (kind === 1) bytes.fill(next(256), to, to + part);
    else if (kind === 2) for (let i = 0; i < part; i++) bytes[to + i] = 97 + next(6);
    else {
      const distance = Math.min(to - at, 1 + next(kind === 3 ? 30 : 70_000));
      for (let i = 0; i < part; i++) bytes[to + i] = bytes[to + i - distance] ?? 0;
    }
    to += part;
  }
}

/** Both ways, ours and liblz4's, exactly in the room there is, with guards on both sides of what is written. */
function checkRoundTrips(size: number, what: string): void {
  const fail = (why: string) => new Error(`${what}, ${size} bytes: ${why}`);
  const guarded = (at: number, room: number, write: () => number): number => {
    bytes.fill(0xa5, at - GUARD_BYTES, at + room + GUARD_BYTES);
    const result = write();
    for (let i = 0; i < GUARD_BYTES; i++)
      if (bytes[at - 1 - i] !== 0xa5 || bytes[at + room + i] !== 0xa5) throw fail("a guard is overwritten");
    return result;
  };
  const bound = boundBytes(size);
  const packed = guarded(PACKED, bound, () => lz4.compress(SRC, size, PACKED, bound));
  if (packed <= 0) throw fail("does not fit its bound");
  const ours = guarded(PLAIN, size, () => lz4.decompress(PACKED, packed, PLAIN, size));
  if (ours !== size || !same(SRC, PLAIN, size)) throw fail(`we read ours as ${ours}`);
  bytes.fill(0, PLAIN, PLAIN + size);
  const theirs = liblz4.LZ4_decompress_safe(native + PACKED, native + PLAIN, packed, size);
  if (theirs !== size || !same(SRC, PLAIN, size)) throw fail(`liblz4 reads ours as ${theirs}`);
  if (size > 0 && lz4.decompress(PACKED, packed, PLAIN, size - 1) >= 0) throw fail("a byte less took it");
  for (const pack of [liblz4.LZ4_compress_default, packHard]) {
    const packedByThem = pack(native + SRC, native + PACKED, size, bound);
    const read = guarded(PLAIN, size, () => lz4.decompress(PACKED, packedByThem, PLAIN, size));
    if (read !== size || !same(SRC, PLAIN, size)) throw fail(`we read liblz4's as ${read}`);
  }
}
const packHard = (from: number, to: number, size: number, room: number) =>
  liblz4.LZ4_compress_HC(from, to, size, room, 9);

test("TREE-09: every size up to 200 of noise, runs and repeats, read by us and by liblz4", () => {
  const next = random(1);
  for (let size = 0; size <= 200; size++) {
    for (let round = 0; round < 4; round++) {
      fillMixed(SRC, size, next);
      checkRoundTrips(size, "mixed");
    }
    bytes.fill(7, SRC, SRC + size);
    checkRoundTrips(size, "one byte");
  }
});

test("TREE-09: runs of every period up to 40, of every length class", () => {
  for (let period = 1; period <= 40; period++) {
    for (const size of [100, 273, 4096, 70_001]) {
      for (let i = 0; i < size; i++) bytes[SRC + i] = (i % period) * 11;
      checkRoundTrips(size, `period ${period}`);
    }
  }
});

test("TREE-09: matches at and beyond the window's edge", () => {
  const next = random(2);
  for (const distance of [65_533, 65_534, 65_535, 65_536, 65_537, 131_071, 131_072]) {
    const size = distance + 100;
    for (let i = 0; i < distance; i++) bytes[SRC + i] = next(256);
    bytes.copyWithin(SRC + distance, SRC, SRC + 100);
    checkRoundTrips(size, `distance ${distance}`);
  }
});

test("TREE-09: whole chunks: text, noise, zeros, of everything something; sources at any place", () => {
  const next = random(3);
  const text = readFileSync(import.meta.path);
  for (let at = SRC; at < SRC + CHUNK_BYTES; at += text.length) bytes.set(text, at);
  checkRoundTrips(CHUNK_BYTES, "text");
  bytes.fill(0, SRC, SRC + CHUNK_BYTES);
  checkRoundTrips(CHUNK_BYTES, "zeros");
  for (let i = 0; i < CHUNK_BYTES; i++) bytes[SRC + i] = next(256);
  checkRoundTrips(CHUNK_BYTES, "noise");
  expect(lz4.compress(SRC, CHUNK_BYTES, PACKED, CHUNK_BYTES - 1)).toBe(0);
  for (let round = 0; round < 20; round++) {
    const size = 200_000 + next(80_000);
    fillMixed(SRC, size, next);
    checkRoundTrips(size, `mixed ${round}`);
  }
});

test("TREE-09: what does not fit is refused, and nothing is written past the room", () => {
  const next = random(4);
  for (let round = 0; round < 800; round++) {
    const size = 1 + next(3000);
    fillMixed(SRC, size, next);
    // A run whose length alone takes many bytes.
    if (round % 4 === 0) bytes.fill(0, SRC + next(size), SRC + size + 30_000);
    const sizeNow = round % 4 === 0 ? size + next(30_000) : size;
    const bound = boundBytes(sizeNow);
    const whole = lz4.compress(SRC, sizeNow, PACKED, bound);
    const room = next(whole + 40);
    bytes.fill(0xa5, PACKED, PACKED + bound + GUARD_BYTES);
    const packed = lz4.compress(SRC, sizeNow, PACKED, room);
    if (packed !== 0) expect(packed).toBe(whole);
    if (room < whole) expect(packed).toBe(0);
    const after = bytes.subarray(PACKED + room, PACKED + bound + GUARD_BYTES);
    expect(after.every((byte) => byte === 0xa5)).toBe(true);
  }
});

test("TREE-09: a chunk's block depends on the chunk alone, not on what was packed before it nor where it lies", () => {
  const next = random(5);
  const size = 100_000;
  fillMixed(SRC, size, next);
  // A long run: most of its bytes are never hashed. Those at 65,536, where a blank cell points, come again: a cell
  // blank by address would find them only where the chunk begins at a multiple of 64 KiB, as the last place does.
  for (const period of [701, 702, 703]) {
    for (let i = 0; i < 66_010; i++)
      bytes[SRC + i] = i < period || i >= 66_000 ? next(256) : (bytes[SRC + i - period] ?? 0);
    bytes.copyWithin(SRC + 66_010, SRC + 65_536, SRC + 65_560);
    const bound = boundBytes(size);
    const packed = lz4.compress(SRC, size, PACKED, bound);
    const first = bytes.slice(PACKED, PACKED + packed);
    for (const place of [PLAIN + 4321, PLAIN]) {
      bytes.copyWithin(place, SRC, SRC + size);
      lz4.compress(SRC + 777, 50_000, PACKED, bound);
      expect(lz4.compress(place, size, PACKED, bound)).toBe(packed);
      expect(Buffer.compare(first, bytes.slice(PACKED, PACKED + packed))).toBe(0);
    }
  }
});

/** `rounds` damaged blocks: never a byte outside the target, and where we take one, liblz4 reads the same. */
function fuzz(seed: number, rounds: number): void {
  const next = random(seed);
  // The block ends where the memory ends: a read past it would be a trap.
  const memoryEnd = bytes.length;
  for (let round = 0; round < rounds; round++) {
    const size = 1 + next(next(4) === 0 ? 1500 : 150);
    fillMixed(SRC, size, next);
    let packed = lz4.compress(SRC, size, PACKED, boundBytes(size));
    if (next(16) === 0) for (let i = 0; i < packed; i++) bytes[PACKED + i] = next(256);
    if (next(4) === 0) packed = next(packed + 1);
    for (let n = next(4); n > 0; n--)
      bytes[PACKED + next(packed || 1)] = next(2) === 0 ? next(256) : next(2) * 255;
    const at = memoryEnd - packed;
    bytes.copyWithin(at, PACKED, PACKED + packed);
    const room = next(2) === 0 ? size : next(size + 200);
    bytes.fill(0xa5, PLAIN - GUARD_BYTES, PLAIN);
    bytes.fill(0xa5, PLAIN + room, PLAIN + room + GUARD_BYTES);
    const got = lz4.decompress(at, packed, PLAIN, room);
    for (let i = 0; i < GUARD_BYTES; i++)
      if (bytes[PLAIN - 1 - i] !== 0xa5 || bytes[PLAIN + room + i] !== 0xa5)
        throw new Error(`seed ${seed}, round ${round}: a guard is overwritten`);
    if (got > room) throw new Error(`seed ${seed}, round ${round}: ${got} bytes in ${room}`);
    if (got < 0) continue;
    const theirs = liblz4.LZ4_decompress_safe(native + at, native + SRC, packed, room);
    // liblz4 knows more rules for a block's end (and takes offset 0); what both take is the same.
    if (theirs >= 0 && (theirs !== got || !same(SRC, PLAIN, got)))
      throw new Error(`seed ${seed}, round ${round}: ${got} bytes, liblz4 says ${theirs}`);
  }
}

test("TREE-09: 100,000 damaged blocks write nothing outside their room and read nothing past their end", () => {
  fuzz(6, 100_000);
}, 20_000);
