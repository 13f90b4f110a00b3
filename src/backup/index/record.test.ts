/** @module Records come back as they went in; damaged ones are noticed and named. */
import { describe, expect, test } from "bun:test";
import { Entry, KIND, PIECE_BYTES } from "../entry.ts";
import { Dice, entryText, randomEntry, randomName, randomPaths } from "./random-entries.ts";
import { MalformedRecord, RecordDecoder, RecordEncoder } from "./record.ts";
import { ByteReader, fold, putVarint } from "./varint.ts";

function encodeRandom(seed: number, count: number): { bytes: Uint8Array; texts: string[] } {
  const dice = new Dice(seed);
  const encoder = new RecordEncoder();
  const entry = new Entry();
  const texts: string[] = [];
  for (const path of randomPaths(dice, count)) {
    entry.setPath(path);
    randomEntry(dice, entry);
    encoder.add(entry);
    texts.push(entryText(entry));
  }
  return { bytes: encoder.take(), texts };
}

function decodeAll(decoder: RecordDecoder): string[] {
  const entry = new Entry();
  const texts: string[] = [];
  while (decoder.next(entry)) texts.push(entryText(entry));
  return texts;
}

describe("numbers", () => {
  test("come back at every length", () => {
    const out = new Uint8Array(16);
    for (let power = 0; power <= 53; power++) {
      for (const near of [-1, 0, 1]) {
        const value = Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, 2 ** power + near));
        const bytes = putVarint(out, 0, value);
        expect(bytes).toBeLessThanOrEqual(8);
        expect(new ByteReader(out.subarray(0, bytes)).varint()).toBe(value);
        expect(() => new ByteReader(out.subarray(0, bytes - 1)).varint()).toThrow(MalformedRecord);
        const signed = -Math.floor(value / 4);
        expect(new ByteReader(out.subarray(0, putVarint(out, 0, fold(signed)))).signed()).toBe(signed + 0);
      }
    }
  });

  test("that no writer makes are refused", () => {
    expect(() => new ByteReader(new Uint8Array(20).fill(0xff)).varint()).toThrow(MalformedRecord);
    expect(() => new ByteReader(new Uint8Array(20).fill(0x80)).varint()).toThrow(MalformedRecord);
  });
});

describe("records", () => {
  test("TREE-06: random entries come back with every attribute and any byte in their names", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { bytes, texts } = encodeRandom(seed, 200);
      expect(decodeAll(new RecordDecoder(bytes, true))).toEqual(texts);
    }
  });

  test("each batch stands alone, and one entry may serve two decoders in turns", () => {
    const one = encodeRandom(31, 100);
    const two = encodeRandom(32, 100);
    const decoder = new RecordDecoder(one.bytes);
    expect(decodeAll(decoder)).toEqual(one.texts);
    decoder.open(two.bytes);
    expect(decodeAll(decoder)).toEqual(two.texts);
    const entry = new Entry();
    const other = new RecordDecoder(one.bytes);
    decoder.open(two.bytes);
    for (let at = 0; at < 100; at++) {
      decoder.next(entry);
      expect(entryText(entry)).toBe(two.texts[at] as string);
      other.next(entry);
      expect(entryText(entry)).toBe(one.texts[at] as string);
    }
  });

  test("need not be in order unless that is asked for", () => {
    const dice = new Dice(5);
    const encoder = new RecordEncoder();
    const entry = new Entry();
    const texts: string[] = [];
    for (let at = 0; at < 300; at++) {
      entry.setPath(randomName(dice));
      randomEntry(dice, entry);
      encoder.add(entry);
      texts.push(entryText(entry));
    }
    expect(encoder.count).toBe(300);
    expect(encoder.view().length).toBe(encoder.bytes);
    expect(decodeAll(new RecordDecoder(encoder.view()))).toEqual(texts);
    expect(() => decodeAll(new RecordDecoder(encoder.view(), true))).toThrow(MalformedRecord);
    encoder.reset();
    expect([encoder.count, encoder.bytes]).toEqual([0, 0]);
  });

  test("a path of many directories and a file of many pieces", () => {
    const entry = new Entry();
    entry.setPath(new Uint8Array(60_000).map((_, at) => (at % 3 === 2 ? 0x2f : 0x78)).subarray(0, 59_999));
    entry.kind = KIND.file;
    entry.hasContent = true;
    entry.sizeBytes = 10_000 * PIECE_BYTES;
    entry.pieceHashes = new BigUint64Array(10_000).fill(0x0123456789abcdefn);
    for (let piece = 0; piece < 10_000; piece++)
      entry.addSpan(7, piece + (piece > 5000 ? 3 : 0), 8, PIECE_BYTES);
    const encoder = new RecordEncoder(1);
    encoder.add(entry);
    encoder.add(entry);
    expect(encoder.bytes).toBeLessThan(60_000 + 2 * 10_000 * 10);
    expect(decodeAll(new RecordDecoder(encoder.take()))).toEqual([entryText(entry), entryText(entry)]);
  });

  test("may carry another version's content, but not in an index", () => {
    for (const sizeBytes of [0, 5, 100, 300]) {
      const entry = new Entry();
      entry.setPath(Buffer.from("a"));
      entry.hasContent = true;
      entry.sizeBytes = sizeBytes;
      entry.addSpan(3, 9, 8, 100);
      entry.addSpan(0, 0, 0, 10);
      entry.addSpan(3, 9, 108, 100);
      const encoder = new RecordEncoder();
      encoder.add(entry);
      expect(decodeAll(new RecordDecoder(encoder.view()))).toEqual([entryText(entry)]);
      expect(() => decodeAll(new RecordDecoder(encoder.view(), true))).toThrow(MalformedRecord);
    }
  });

  test("a file behind another in the same chunk costs no bytes for its place", () => {
    const encoder = new RecordEncoder();
    const entry = new Entry();
    entry.setPath(Buffer.from("tree/a"));
    entry.hasContent = true;
    entry.sizeBytes = 100;
    entry.addSpan(3, 9, 8, 100);
    encoder.add(entry);
    const first = encoder.bytes;
    entry.setPath(Buffer.from("tree/b"));
    entry.clearContent();
    entry.hasContent = true;
    entry.addSpan(3, 9, 116, 100);
    encoder.add(entry);
    // Head, kept, added, name, size, inode, hash.
    expect(encoder.bytes - first).toBe(1 + 1 + 1 + 1 + 1 + 1 + 32);
  });
});

describe("damaged records", () => {
  test("mutated bytes give a typed error or valid entries", () => {
    const dice = new Dice(77);
    const entry = new Entry();
    let refused = 0;
    for (let round = 0; round < 1500; round++) {
      const { bytes } = encodeRandom(round % 10, 20);
      for (let flips = 1 + dice.below(4); flips > 0; flips--)
        bytes[dice.below(bytes.length)] = dice.below(256);
      const cut = dice.chance(0.3) ? bytes.subarray(0, dice.below(bytes.length)) : bytes;
      const strict = dice.chance(0.5);
      const decoder = new RecordDecoder(cut, strict);
      try {
        while (decoder.next(entry)) expectValid(entry, strict);
      } catch (failure) {
        if (!(failure instanceof MalformedRecord)) throw failure;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(300);
  });

  test("noise gives a typed error or valid entries, with little memory", () => {
    const dice = new Dice(78);
    const entry = new Entry();
    for (let round = 0; round < 3000; round++) {
      const decoder = new RecordDecoder(dice.bytes(dice.below(200)));
      try {
        while (decoder.next(entry)) expectValid(entry, false);
      } catch (failure) {
        if (!(failure instanceof MalformedRecord)) throw failure;
      }
      expect(entry.path.length).toBe(4096);
      expect(entry.spans.length).toBeLessThanOrEqual(1024);
    }
  });

  test.each([
    ["/a", "empty name"],
    ["a//b", "empty name"],
    ["a/", "empty name"],
    [".", "dots"],
    ["..", "dots"],
    ["a/../b", "dots"],
    ["a/.", "dots"],
    ["a\0b", "NUL"],
  ])("a path %j is refused", (path, why) => {
    const entry = new Entry();
    entry.setPath(Buffer.from(path));
    const encoder = new RecordEncoder();
    encoder.add(entry);
    expect(() => decodeAll(new RecordDecoder(encoder.take()))).toThrow(why);
  });

  test.each([".a", "..a", "a.", "a..", "...", "a/.../b", "a./b."])("a path %j is taken", (path) => {
    const entry = new Entry();
    entry.setPath(Buffer.from(path));
    const encoder = new RecordEncoder();
    encoder.add(entry);
    expect(decodeAll(new RecordDecoder(encoder.take()))).toEqual([entryText(entry)]);
  });
});

/** Every number in its range: what the rest of the program relies on. */
function expectValid(entry: Entry, strict: boolean): void {
  const numbers = [entry.sizeBytes, entry.inodeLow, entry.inodeHigh, entry.uid, entry.gid, entry.links];
  numbers.push(
    entry.device,
    entry.specialDevice,
    entry.attributes,
    entry.flags,
    entry.mtimeNs,
    entry.ctimeNs,
  );
  if (!numbers.every((number) => Number.isSafeInteger(number) && number >= 0))
    throw new Error(entryText(entry));
  const times = [entry.mtimeSeconds, entry.ctimeSeconds];
  if (!times.every(Number.isSafeInteger)) throw new Error(entryText(entry));
  if (entry.mtimeNs >= 1e9 || entry.ctimeNs >= 1e9 || entry.mode > 0o7777 || entry.kind > 6) {
    throw new Error(entryText(entry));
  }
  let bytes = 0;
  for (let at = 0; at < entry.spanCount * 4; at++) {
    const number = entry.spans[at] as number;
    if (!Number.isSafeInteger(number) || number < 0) throw new Error(entryText(entry));
    if (at % 4 === 3) bytes += number;
  }
  if (strict && entry.spanCount > 0 && bytes !== entry.sizeBytes) throw new Error(entryText(entry));
}
