/** @module Full indexes, differences of any depth, and what is found in them: against plain lists in memory. */
import { describe, expect, test } from "bun:test";
import { comparePaths, Entry, FLAG, isWithin } from "../entry.ts";
import { Changes, ChangesWriter } from "./changes.ts";
import { DeltaIndexWriter } from "./delta.ts";
import { FullIndexWriter } from "./full.ts";
import { type Index, openIndex } from "./lookup.ts";
import { FRAME_BYTES_MAX } from "./pages.ts";
import { Dice, entryText, randomEntry, randomPaths } from "./random-entries.ts";
import { MalformedRecord, RecordDecoder, RecordEncoder } from "./record.ts";
import { MemoryFrames } from "./testing.ts";

/** Counts what is read. */
class Frames extends MemoryFrames {
  opened = 0;

  get bytes(): number {
    return this.frames.reduce((sum, frame) => sum + frame.length, 0);
  }

  override frame(plain: Uint8Array): void {
    expect(plain.length).toBeLessThanOrEqual(FRAME_BYTES_MAX);
    super.frame(plain);
  }

  override page(number: number): Uint8Array {
    this.opened++;
    return super.page(number);
  }
}

/** An entry in a plain list: its path and its record alone. */
interface Item {
  readonly path: Uint8Array;
  readonly record: Uint8Array;
}

const made = new Entry();
const encoder = new RecordEncoder();

function itemOf(path: Uint8Array, dice: Dice): Item {
  made.setPath(path);
  randomEntry(dice, made);
  encoder.reset();
  encoder.add(made);
  return { path, record: encoder.take() };
}

const decoder = new RecordDecoder();

function load(item: Item, entry: Entry): Entry {
  decoder.open(item.record);
  decoder.next(entry);
  return entry;
}

function byPath(a: Item, b: Item): number {
  return comparePaths(a.path, a.path.length, b.path, b.path.length);
}

function writeFull(items: readonly Item[]): Frames {
  const frames = new Frames();
  const writer = new FullIndexWriter(frames);
  const entry = new Entry();
  for (const item of items) writer.add(load(item, entry));
  writer.finish();
  return frames;
}

const shown = new Entry();

/** What the list says of an item, with the flags that an entry of an older index gets. */
function text(item: Item, takenOver: boolean): string {
  const entry = load(item, shown);
  if (takenOver) entry.flags = (entry.flags & ~FLAG.moved) | FLAG.unchanged;
  return entryText(entry);
}

interface Edit {
  readonly items: readonly Item[];
  readonly frames: Frames;
  readonly fresh: ReadonlySet<Item>;
}

/** Some entries go, some change, some come: the new list and its difference. */
function edit(base: readonly Item[], dice: Dice, share: number): Edit {
  const frames = new Frames();
  const writer = new DeltaIndexWriter(frames);
  const entry = new Entry();
  const fresh = new Set<Item>();
  const known = new Set(base.map((item) => Buffer.from(item.path).toString("latin1")));
  const coming = randomPaths(dice, Math.ceil(base.length * share) + dice.below(2))
    .filter((path) => !known.has(Buffer.from(path).toString("latin1")))
    .map((path) => itemOf(path, dice));
  const items: Item[] = [];
  let next = 0;
  const insert = (item: Item): void => {
    writer.insert(load(item, entry));
    fresh.add(item);
    items.push(item);
  };
  for (const item of base) {
    for (let come = coming[next]; come !== undefined && byPath(come, item) < 0; come = coming[++next]) {
      insert(come);
    }
    if (dice.chance(share)) {
      writer.drop(1);
      if (dice.chance(0.6)) insert(itemOf(item.path, dice));
    } else {
      writer.copy(1);
      items.push(item);
    }
  }
  for (let come = coming[next]; come !== undefined; come = coming[++next]) insert(come);
  writer.finish();
  return { items, frames, fresh };
}

function texts(index: Index): string[] {
  const found: string[] = [];
  const entry = new Entry();
  for (let source = index.cursor(); source.next(entry); ) found.push(entryText(entry));
  return found;
}

function randomItems(dice: Dice, count: number): Item[] {
  return randomPaths(dice, count).map((path) => itemOf(path, dice));
}

function expectSame(index: Index, items: readonly Item[], fresh: ReadonlySet<Item>, dice: Dice): void {
  expect(index.count).toBe(items.length);
  expect(texts(index)).toEqual(items.map((item) => text(item, !fresh.has(item))));
  for (let look = 0; look < 6; look++) {
    const item = items[dice.below(items.length)];
    if (item === undefined) break;
    const found = index.find(item.path);
    expect(found === null ? null : entryText(found)).toBe(text(item, !fresh.has(item)));
    expect(index.find(Uint8Array.of(...item.path, 0xff, dice.below(255) + 1))).toBeNull();
    const top = item.path.subarray(0, Math.max(0, item.path.lastIndexOf(0x2f)));
    const below: string[] = [];
    const entry = new Entry();
    for (let source = index.under(top); source.next(entry); ) below.push(entryText(entry));
    const expected = items.filter(({ path }) => isWithin(path, path.length, top));
    expect(below).toEqual(expected.map((one) => text(one, !fresh.has(one))));
  }
}

describe("a full index", () => {
  test("TREE-06: gives back random lists, whole, by path and by directory", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const dice = new Dice(seed);
      const items = randomItems(dice, dice.below(400));
      expectSame(openIndex([writeFull(items)]), items, new Set(items), dice);
    }
  });

  test("of many pages is looked into one page at a time", () => {
    const frames = new Frames();
    const writer = new FullIndexWriter(frames);
    const entry = new Entry();
    for (let at = 0; at < 20_000; at++) {
      entry.setPath(Buffer.from(`tree/d${String(at >> 7).padStart(4, "0")}/f${String(at).padStart(6, "0")}`));
      entry.hasContent = true;
      entry.sizeBytes = at;
      entry.spanCount = 0;
      entry.sha256.fill(at & 0xff);
      if (at > 0) entry.addSpan(1, at >> 4, 8, at);
      writer.add(entry);
    }
    writer.finish();
    expect(frames.count).toBeGreaterThan(5);
    const index = openIndex([frames]);
    expect(index.count).toBe(20_000);
    for (const at of [0, 1, 4321, 9999, 19_999]) {
      const before = frames.opened;
      const path = `tree/d${String(at >> 7).padStart(4, "0")}/f${String(at).padStart(6, "0")}`;
      expect(index.find(Buffer.from(path))?.sizeBytes).toBe(at);
      expect(frames.opened - before).toBeLessThanOrEqual(1);
    }
    let count = 0;
    for (let below = index.under(Buffer.from("tree/d0007")); below.next(entry); count++) {
      expect(entry.sizeBytes >> 7).toBe(7);
    }
    expect(count).toBe(128);
    expect(index.find(Buffer.from("tree/d0007"))).toBeNull();
  });

  test("TREE-06: costs less than 56 bytes a small source file, before compression", () => {
    const dice = new Dice(14);
    const frames = new Frames();
    const writer = new FullIndexWriter(frames);
    const entry = new Entry();
    entry.hasContent = true;
    entry.inodeLow = 190_000;
    entry.ctimeSeconds = 1_795_000_000;
    let [chunk, end] = [0, 0];
    for (let at = 0; at < 5000; at++) {
      const directory = `tree/p00/m${String(Math.floor(at / 400)).padStart(2, "0")}/d${String(Math.floor(at / 20) % 20).padStart(2, "0")}`;
      entry.setPath(Buffer.from(`${directory}/f${String(at).padStart(6, "0")}.c`));
      entry.sizeBytes = 1024 + dice.below(8000);
      entry.mtimeSeconds = 1_700_000_000 - dice.below(90_000_000);
      entry.mtimeNs = dice.below(1e9);
      entry.ctimeNs = (entry.ctimeNs + 150_000 + dice.below(200_000)) % 1e9;
      entry.inodeLow++;
      for (let byte = 0; byte < 32; byte++) entry.sha256[byte] = dice.below(256);
      if (end + 8 + entry.sizeBytes > 262_152) [chunk, end] = [chunk + 1, 0];
      entry.spanCount = 0;
      entry.addSpan(1, chunk, end + 8, entry.sizeBytes);
      end += 8 + entry.sizeBytes;
      writer.add(entry);
    }
    writer.finish();
    expect(frames.bytes / 5000).toBeLessThan(56);
  });

  test("holds an entry that is larger than a frame", () => {
    const entry = new Entry();
    entry.hasContent = true;
    entry.sizeBytes = 50_000 * 262_144;
    for (let piece = 0; piece < 50_000; piece++) entry.addSpan(1, piece * 3, 8, 262_144);
    entry.pieceHashes = new BigUint64Array(50_000).fill(0xfedcba9876543210n);
    const frames = new Frames();
    const writer = new FullIndexWriter(frames);
    const expected: string[] = [];
    for (const name of ["a", "b", "c"]) {
      entry.setPath(Buffer.from(name));
      writer.add(entry);
      expected.push(entryText(entry));
    }
    writer.finish();
    expect(frames.count).toBeGreaterThan(6);
    expect(texts(openIndex([frames]))).toEqual(expected);
    expect(entryText(openIndex([frames]).find(Buffer.from("b")) ?? new Entry())).toBe(expected[1] as string);
  });

  test("of nothing", () => {
    const index = openIndex([writeFull([])]);
    expect(index.count).toBe(0);
    expect(texts(index)).toEqual([]);
    expect(index.find(new Uint8Array(0))).toBeNull();
    expect(index.under(Buffer.from("a")).next(new Entry())).toBe(false);
  });
});

describe("a difference", () => {
  test("TREE-07: without any change costs less than 200 bytes, and all entries are `unchanged`", () => {
    const dice = new Dice(3);
    const items = randomItems(dice, 500);
    const full = writeFull(items);
    const frames = new Frames();
    const writer = new DeltaIndexWriter(frames);
    writer.copy(items.length);
    writer.finish();
    // With the 32 bytes that the archive puts before each frame.
    expect(frames.bytes + 32 * frames.count).toBeLessThan(200);
    expectSame(openIndex([full, frames]), items, new Set(), dice);
  });

  test("TREE-07: random edit histories come back at every depth", () => {
    for (let seed = 1; seed <= 8; seed++) {
      const dice = new Dice(100 + seed);
      let items: readonly Item[] = randomItems(dice, dice.below(200));
      const chain = [writeFull(items)];
      for (let depth = 0; depth < 6; depth++) {
        const step = edit(items, dice, dice.chance(0.2) ? 0.9 : 0.05);
        chain.push(step.frames);
        items = step.items;
        expectSame(openIndex(chain), items, step.fresh, dice);
      }
    }
  });

  test("TREE-07: a hundred differences in a chain read as one list", () => {
    const dice = new Dice(9);
    let items: readonly Item[] = randomItems(dice, 300);
    const chain = [writeFull(items)];
    let fresh: ReadonlySet<Item> = new Set();
    for (let depth = 0; depth < 100; depth++) {
      const step = edit(items, dice, 0.02);
      chain.push(step.frames);
      ({ items, fresh } = step);
    }
    expectSame(openIndex(chain), items, fresh, dice);
  });

  test("of more changes than one page holds", () => {
    const dice = new Dice(10);
    const items = randomItems(dice, 1800);
    const step = edit(items, dice, 0.95);
    const again = edit(step.items, dice, 0.5);
    expect(step.frames.count).toBeGreaterThan(2);
    expectSame(openIndex([writeFull(items), step.frames]), step.items, step.fresh, dice);
    expectSame(openIndex([writeFull(items), step.frames, again.frames]), again.items, again.fresh, dice);
  });

  test("of so many ops that some pages hold nothing else", () => {
    const full = new Frames();
    const fullWriter = new FullIndexWriter(full);
    const entry = new Entry();
    const count = 300_000;
    const name = (at: number) => Buffer.from(`f${String(at).padStart(6, "0")}`);
    for (let at = 0; at < count; at++) {
      entry.setPath(name(at));
      entry.sizeBytes = at;
      fullWriter.add(entry);
    }
    fullWriter.finish();
    const delta = new Frames();
    const writer = new DeltaIndexWriter(delta);
    entry.setPath(Buffer.from("a"));
    writer.insert(entry);
    for (let at = 0; at < count; at += 2) {
      writer.copy(1);
      writer.drop(1);
    }
    entry.setPath(Buffer.from("z"));
    writer.insert(entry);
    writer.finish();
    expect(delta.count).toBeGreaterThan(3);
    const index = openIndex([full, delta]);
    expect(index.count).toBe(count / 2 + 2);
    for (const path of ["a", "z"]) expect(index.find(Buffer.from(path))?.sizeBytes).toBe(count - 1);
    for (const at of [0, 200_000, 299_998]) expect(index.find(name(at))?.sizeBytes).toBe(at);
    for (const at of [1, 299_999]) expect(index.find(name(at))).toBeNull();
    let read = 0;
    for (const source = index.cursor(); source.next(entry); ) read++;
    expect(read).toBe(count / 2 + 2);
    expect(index.under(Buffer.from("z")).next(entry)).toBe(true);
  });

  test("that does not belong to the index below it is refused", () => {
    const dice = new Dice(11);
    const items = randomItems(dice, 50);
    const step = edit(items, dice, 0.1);
    const other = writeFull(items.slice(1));
    expect(() => openIndex([other, step.frames])).toThrow(MalformedRecord);
    expect(() => openIndex([step.frames])).toThrow(MalformedRecord);
    expect(() => openIndex([other, writeFull(items)])).toThrow(MalformedRecord);
  });
});

describe("damaged frames", () => {
  test("mutated bytes give a typed error or a list, never a crash or a hang", () => {
    const dice = new Dice(12);
    const items = randomItems(dice, 60);
    const first = edit(items, dice, 0.2);
    const second = edit(first.items, dice, 0.2);
    const whole = [writeFull(items), first.frames, second.frames];
    let refused = 0;
    for (let round = 0; round < 1500; round++) {
      const chain = whole.map((frames) => {
        const copy = new Frames();
        copy.frames.push(...frames.frames.map((frame) => frame.slice()));
        return copy;
      });
      const victim = chain[dice.below(chain.length)] as Frames;
      for (let flips = 1 + dice.below(3); flips > 0; flips--) {
        const frame = victim.frames[dice.below(victim.count)] as Uint8Array;
        frame[dice.below(frame.length)] = dice.below(256);
      }
      if (dice.chance(0.1)) victim.frames.pop();
      const top = (items[dice.below(items.length)] as Item).path;
      try {
        const index = openIndex(chain);
        const entry = new Entry();
        let read = 0;
        for (let source = index.cursor(); source.next(entry); ) read++;
        expect(read).toBe(index.count);
        for (let source = index.under(top); source.next(entry); ) read++;
        index.find(top);
      } catch (failure) {
        if (!(failure instanceof MalformedRecord)) throw failure;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(300);
  }, 10_000);
});

describe("changed paths", () => {
  test("TREE-18: each is found again, hardly any other, in under four bytes a path", () => {
    const dice = new Dice(13);
    const paths = randomPaths(dice, 4000);
    const writer = new ChangesWriter();
    for (const [at, path] of paths.entries()) if (at % 2 === 0) writer.add(path, path.length);
    const bytes = writer.finish();
    expect(bytes?.length ?? Number.NaN).toBeLessThan(2001 * 3.5);
    const changes = new Changes(bytes);
    expect(paths.every((path, at) => at % 2 === 1 || changes.mayHold(path))).toBe(true);
    expect(paths.filter((path, at) => at % 2 === 1 && changes.mayHold(path)).length).toBeLessThan(3);
  });

  test("none, and too many", () => {
    expect(new Changes(new ChangesWriter().finish()).mayHold(Buffer.from("a"))).toBe(false);
    const writer = new ChangesWriter();
    for (let at = 0; at < 70_000; at++) writer.add(Buffer.from(`${at}`), `${at}`.length);
    expect(writer.finish()).toBeNull();
    expect(new Changes(null).mayHold(Buffer.from("a"))).toBe(true);
    expect(new Changes(new Uint8Array(0)).mayHold(Buffer.from("a"))).toBe(false);
    expect(() => new Changes(Uint8Array.of(0x7f, 0x7f))).not.toThrow();
    expect(() => new Changes(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 1))).toThrow(MalformedRecord);
    expect(() => new Changes(new Uint8Array(16).fill(0xff))).toThrow(MalformedRecord);
  });
});
