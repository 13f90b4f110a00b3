import { expect, test } from "bun:test";
import * as at from "./layout.ts";
import { openRing } from "./ring.ts";

const MIB = 1 << 20;

function freshRing(ringBytes = 8 * MIB, stripeBytes = 512 * 1024) {
  const pages = (at.RING + ringBytes) / 65536;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const ring = openRing(memory);
  ring.set(at.RING_BYTES, ringBytes);
  ring.set(at.STRIPE_BYTES, stripeBytes);
  return { memory, ring, bytes: new Uint8Array(memory.buffer), words: new Int32Array(memory.buffer) };
}

/** Small seeded generator (mulberry32), so that a failure can be run again. */
function random(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

test("xxh3: equals Bun.hash.xxHash3 at every length class", () => {
  const { ring, bytes, memory } = freshRing();
  const next = random(1);
  const view = new DataView(memory.buffer);
  for (let i = 0; i < 5000; i++) bytes[at.RING + i] = next() * 256;
  for (let length = 0; length <= 4200; length += length < 300 ? 1 : 37) {
    ring.hashInto(at.RING + 3, length, at.READ);
    const expected = Bun.hash.xxHash3(bytes.slice(at.RING + 3, at.RING + 3 + length));
    expect(view.getBigUint64(at.READ, true)).toBe(expected);
  }
});

test("rule 8: entries are contiguous, chained by offset and sequence, and PADs fill what was skipped", () => {
  const { ring, words } = freshRing();
  words[at.CACHE_STATE / 4] = at.CACHE_HEALTHY;
  words[at.FOLLOWER / 4] = at.FOLLOWER_RING;
  const next = random(7);
  const ringBytes = 8 * MIB;
  let read = 0;
  let sequence = 0;
  let blocks = 0;
  const drain = () => {
    while (read < ring.get(at.RECEIVED)) {
      const p = at.RING + (read % ringBytes);
      expect(ring.soundHeader(p, read)).toBe(1);
      expect(ring.field64(p + at.ENTRY_SEQUENCE_AT)).toBe(sequence++);
      const size = ring.field64(p + at.ENTRY_BYTES_AT);
      expect((read % ringBytes) + size).toBeLessThanOrEqual(ringBytes);
      if (new Uint8Array(words.buffer)[p + at.ENTRY_KIND_AT] === at.KIND_BLOCK) {
        expect(ring.soundData(p)).toBe(1);
        blocks++;
      }
      read += size;
    }
    ring.set(at.TAKEN, read);
    ring.set(at.CACHED, read);
  };
  let written = 0;
  for (let i = 0; i < 3000; i++) {
    const data = Math.ceil(next() * 300_000);
    const J = ring.reserve(512 + Math.ceil(data / 512) * 512);
    if (J < 0) {
      drain();
      continue;
    }
    if (next() < 0.05) continue; // an aborted command: its place is skipped
    const used = next() < 0.1 ? Math.ceil(data / 2) : data; // a short one: less came than was asked
    ring.append(J, at.KIND_BLOCK, 0, 1, written, 0, used, 1, 0, i);
    written++;
  }
  ring.unreserve();
  drain();
  expect(blocks).toBe(written);
});

test("rule 8: room is freed only when cached and taken; a demoted reader frees it at once", () => {
  const { ring, words } = freshRing();
  words[at.CACHE_STATE / 4] = at.CACHE_HEALTHY;
  words[at.FOLLOWER / 4] = at.FOLLOWER_RING;
  while (true) {
    const J = ring.reserve(MIB);
    if (J < 0) break;
    ring.append(J, at.KIND_BLOCK, 0, 1, 0, 0, MIB - 512, 1, 0, 0);
  }
  expect(ring.room()).toBe(0);
  ring.set(at.CACHED, 4 * MIB);
  expect(ring.room()).toBe(0);
  ring.set(at.TAKEN, 2 * MIB);
  expect(ring.room()).toBe(2 * MIB);
  words[at.FOLLOWER / 4] = at.FOLLOWER_DISK;
  expect(ring.room()).toBe(4 * MIB);
  expect(ring.claim(1 * MIB)).toBe(1);
  expect(ring.room()).toBe(1 * MIB);
  words[at.FOLLOWER / 4] = at.FOLLOWER_DISK;
  ring.reserve(2 * MIB);
  expect(ring.claim(1 * MIB)).toBe(0); // those bytes are handed out already
});

test("rule 9: a barrier pads to the stripe's end", () => {
  const { ring, words } = freshRing();
  words[at.CACHE_STATE / 4] = at.CACHE_HEALTHY;
  const J = ring.reserve(1024);
  ring.append(J, at.KIND_FILEMARKS, at.FLAG_SYNCHRONIZE, 1, 5, 1, 0, 1, 0, 0);
  expect(ring.padToStripe(1, 6, 0)).toBe(512 * 1024);
  expect(ring.padToStripe(1, 6, 0)).toBe(512 * 1024);
  expect(ring.soundHeader(at.RING + 512, 512)).toBe(1);
});

test("rule 8: what a hung drive's call may still read is jumped, lap after lap; PADs keep the chain whole", () => {
  const { ring, words, bytes } = freshRing();
  words[at.CACHE_STATE / 4] = at.CACHE_HEALTHY;
  words[at.FOLLOWER / 4] = at.FOLLOWER_RING;
  const next = random(11);
  const ringBytes = 8 * MIB;
  const stripeBytes = 512 * 1024;
  const put = (dataBytes: number) => {
    const size = at.ENTRY_HEADER_BYTES + Math.ceil(dataBytes / 512) * 512;
    const J = ring.reserve(size);
    expect(J).toBeGreaterThanOrEqual(0);
    ring.append(J, at.KIND_BLOCK, 0, 1, 0, 0, dataBytes, 1, 0, 0);
    return { J, size };
  };
  for (const offset of [0, 1_000_000, 5 * MIB + 512, 7 * MIB]) {
    while (
      ring.get(at.RECEIVED) % ringBytes > offset ||
      (ring.get(at.RECEIVED) % ringBytes) + 600_000 < offset
    ) {
      put(100_000);
      for (const cursor of [at.CACHED, at.TAKEN]) ring.set(cursor, ring.get(at.RECEIVED));
    }
    const hung = put(1 + Math.floor(next() * 1_500_000));
    const inRing = hung.J % ringBytes;
    const data = { from: at.RING + inRing + at.ENTRY_HEADER_BYTES, to: at.RING + inRing + hung.size };
    bytes.fill(0xa5, data.from, data.to);
    ring.set(at.HUNG_AT, inRing);
    ring.set(at.HUNG_BYTES, hung.size);
    let read = ring.get(at.RECEIVED);
    let sequence = ring.get(at.SEQUENCE);
    for (let n = 0; n < 400; n++) {
      const { J, size } = put(1 + Math.floor(next() * 1_500_000));
      const place = J % ringBytes;
      expect(place + size <= inRing || place >= inRing + hung.size).toBe(true);
      if (next() < 0.3) ring.padToStripe(1, 0, 0);
      for (; read < ring.get(at.RECEIVED); sequence++) {
        const p = at.RING + (read % ringBytes);
        expect(ring.soundHeader(p, read)).toBe(1);
        expect(ring.field64(p + at.ENTRY_SEQUENCE_AT)).toBe(sequence);
        read += ring.field64(p + at.ENTRY_BYTES_AT);
      }
      for (const cursor of [at.CACHED, at.TAKEN]) ring.set(cursor, ring.get(at.RECEIVED));
    }
    expect(bytes.subarray(data.from, data.to).every((byte) => byte === 0xa5)).toBe(true);
    ring.set(at.HUNG_BYTES, 0);
    ring.padToStripe(1, 0, 0);
    expect(ring.get(at.RECEIVED) % stripeBytes).toBe(0);
    for (const cursor of [at.CACHED, at.TAKEN]) ring.set(cursor, ring.get(at.RECEIVED));
  }
});
