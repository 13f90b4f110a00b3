import { expect, test } from "bun:test";
import { dataMember, MEMBERS_MAX, parityMember } from "./layout.ts";
import { openStripe } from "./stripe.ts";

const AREA = 65536;
const memory = new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true });
const bytes = new Uint8Array(memory.buffer);
const view = new DataView(memory.buffer);
const stripe = openStripe(memory);

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

/** The map as a table, made another way: members listed round from the one after the parity strip. */
function modelMap(slot: number, members: number): { parity: number; data: number[] } {
  const parity = members - 1 - (slot % members);
  const round = Array.from({ length: members }, (_, i) => (parity + 1 + i) % members);
  return { parity, data: round.slice(0, -1) };
}

test("RED-03: xorStrips equals a plain XOR at every length, stride and count, and writes nothing else", () => {
  const next = random(3);
  for (let round = 0; round < 300; round++) {
    const count = 1 + Math.floor(next() * 15);
    const length = round < 140 ? round : Math.floor(next() * 9000);
    const stride = length + Math.floor(next() * 64);
    const source = AREA + Math.floor(next() * 64);
    const target = source + stride * count + 64;
    for (let i = source - 32; i < target + length + 64; i++) bytes[i] = next() * 256;
    const guard = bytes.slice(target + length, target + length + 64);
    const expected = new Uint8Array(length);
    for (let s = 0; s < count; s++)
      for (let i = 0; i < length; i++) expected[i]! ^= bytes[source + s * stride + i]!;
    stripe.xorStrips(source, count, stride, length, target);
    expect(bytes.slice(target, target + length)).toEqual(expected);
    expect(bytes.slice(target + length, target + length + 64)).toEqual(guard);
  }
});

test("RED-03: any one strip is the XOR of all others", () => {
  const next = random(5);
  const strip = 4096;
  for (let members = 2; members <= MEMBERS_MAX; members++) {
    for (let i = 0; i < strip * (members - 1); i++) bytes[AREA + i] = next() * 256;
    stripe.xorStrips(AREA, members - 1, strip, strip, AREA + (members - 1) * strip);
    for (let lost = 0; lost < members; lost++) {
      const gathered = AREA + strip * 32;
      let at = gathered;
      for (let m = 0; m < members; m++) {
        if (m === lost) continue;
        bytes.copyWithin(at, AREA + m * strip, AREA + (m + 1) * strip);
        at += strip;
      }
      stripe.xorStrips(gathered, members - 1, strip, strip, at);
      expect(
        Buffer.compare(
          bytes.slice(at, at + strip),
          bytes.slice(AREA + lost * strip, AREA + (lost + 1) * strip),
        ),
      ).toBe(0);
    }
  }
});

test("RED-03: parity rotates over all members, and the strips of a stripe lie on different ones", () => {
  for (let members = 2; members <= MEMBERS_MAX; members++) {
    const held = new Array<number>(members).fill(0);
    for (let slot = 0; slot < members * 3; slot++) {
      const model = modelMap(slot, members);
      const parity = parityMember(slot % members, members);
      expect(parity).toBe(model.parity);
      held[parity]!++;
      const data = model.data.map((_, d) => dataMember(d, parity, members));
      expect(data).toEqual(model.data);
      expect(new Set([parity, ...data]).size).toBe(members);
    }
    expect(held.every((count) => count === 3)).toBe(true);
  }
  for (let d = 0; d < MEMBERS_MAX; d++) expect(dataMember(d, -1, MEMBERS_MAX)).toBe(d);
});

test("RED-02: prepare points each member's iovecs at the ring's own bytes and at the parity", () => {
  const next = random(11);
  const strip = 512;
  const iovecs = AREA;
  const parityArea = AREA + 65536;
  const ring = AREA + 131072;
  const base = 0x7f12_3456_7000;
  for (let members = 1; members <= MEMBERS_MAX; members++) {
    for (const withParity of members === 1 ? [0] : [0, 1]) {
      const stripes = 1 + Math.floor(next() * 12);
      const firstSlot = Math.floor(next() * 1000);
      const dataStrips = members - withParity;
      for (let i = 0; i < stripes * dataStrips * strip; i++) bytes[ring + i] = next() * 256;
      stripe.prepare(
        ring,
        stripes,
        firstSlot % members,
        members,
        strip,
        withParity,
        0,
        parityArea,
        iovecs,
        base,
      );
      for (let s = 0; s < stripes; s++) {
        const model = withParity
          ? modelMap(firstSlot + s, members)
          : { parity: -1, data: [...Array(members).keys()] };
        const iovec = (member: number) => {
          const at = iovecs + (member * stripes + s) * 16;
          expect(view.getBigUint64(at + 8, true)).toBe(BigInt(strip));
          return Number(view.getBigUint64(at, true)) - base;
        };
        for (const [d, member] of model.data.entries())
          expect(iovec(member)).toBe(ring + (s * dataStrips + d) * strip);
        if (withParity === 0) continue;
        const place = iovec(model.parity);
        expect(place).toBe(parityArea + s * strip);
        for (let i = 0; i < strip; i++) {
          let byte = 0;
          for (let d = 0; d < dataStrips; d++) byte ^= bytes[ring + (s * dataStrips + d) * strip + i]!;
          if (bytes[place + i] !== byte)
            throw new Error(`parity of stripe ${s}, byte ${i}, ${members} members`);
        }
      }
    }
  }
});

test("RED-03: the parity of a member that is out is not computed", () => {
  bytes.fill(7, AREA + 131072, AREA + 131072 + 2048);
  bytes.fill(99, AREA + 65536, AREA + 65536 + 512);
  stripe.prepare(AREA + 131072, 1, 0, 3, 512, 1, 1 << parityMember(0, 3), AREA + 65536, AREA, 0);
  expect(bytes[AREA + 65536]).toBe(99);
});
