/** @module Indexes with lost frames: what is given out is right, and what is not lies in a gap that is told. */
import { expect, test } from "bun:test";
import { comparePaths, Entry, type EntrySource, FLAG, isWithin } from "../../src/backup/entry.ts";
import { Changes, ChangesWriter } from "../../src/backup/index/changes.ts";
import { DeltaIndexWriter } from "../../src/backup/index/delta.ts";
import { FullIndexWriter } from "../../src/backup/index/full.ts";
import { openIndex } from "../../src/backup/index/lookup.ts";
import {
  type Gap,
  type MendedIndex,
  type MendedLayer,
  openMendedIndex,
} from "../../src/backup/index/mended.ts";
import { Dice, entryText, randomEntry, randomPaths } from "../../src/backup/index/random-entries.ts";
import { MalformedRecord, RecordDecoder, RecordEncoder } from "../../src/backup/index/record.ts";
import { MemoryFrames } from "../../src/backup/index/testing.ts";

/** Frames some of which cannot be read. */
class LossyFrames extends MemoryFrames {
  readonly lost = new Set<number>();

  override page(number: number): Uint8Array {
    if (this.lost.has(number)) throw new MalformedRecord(`frame ${number} is lost`);
    return super.page(number);
  }
}

interface Backup {
  readonly frames: LossyFrames;
  readonly changes: Changes;
  readonly parent: Backup | null;
  readonly isDelta: boolean;
  /** Records by path, in order. */
  readonly items: ReadonlyMap<string, Uint8Array>;
}

const name = (path: Uint8Array) => Buffer.from(path).toString("latin1");
const encoder = new RecordEncoder();
const decoder = new RecordDecoder();
const made = new Entry();

function recordOf(path: Uint8Array, dice: Dice): Uint8Array {
  made.setPath(path);
  randomEntry(dice, made);
  made.flags &= ~(FLAG.moved | FLAG.unchanged);
  encoder.reset();
  encoder.add(made);
  return encoder.take();
}

function load(record: Uint8Array, into: Entry): Entry {
  decoder.open(record);
  decoder.next(into);
  return into;
}

function fullOf(items: ReadonlyMap<string, Uint8Array>): LossyFrames {
  const frames = new LossyFrames();
  const writer = new FullIndexWriter(frames);
  for (const record of items.values()) writer.add(load(record, made));
  writer.finish();
  return frames;
}

/** Some entries go, some change, some come. */
function childOf(parent: Backup, dice: Dice, isDelta: boolean, share: number): Backup {
  const items = new Map<string, Uint8Array>();
  const changes = new ChangesWriter();
  const changed = (path: string) => changes.add(Buffer.from(path, "latin1"), path.length);
  const fresh = new Map<string, Uint8Array>();
  for (const path of randomPaths(dice, Math.ceil(parent.items.size * share))) {
    if (!parent.items.has(name(path))) fresh.set(name(path), recordOf(path, dice));
  }
  for (const path of fresh.keys()) changed(path);
  const kept: [string, Uint8Array][] = [];
  for (const [path, record] of parent.items) {
    if (!dice.chance(share)) kept.push([path, record]);
    else {
      changed(path);
      if (dice.chance(0.5)) kept.push([path, recordOf(Buffer.from(path, "latin1"), dice)]);
    }
  }
  const all = [...kept, ...fresh].map(([path, record]) => ({ path: Buffer.from(path, "latin1"), record }));
  all.sort((a, b) => comparePaths(a.path, a.path.length, b.path, b.path.length));
  for (const { path, record } of all) items.set(name(path), record);
  const frames = isDelta ? deltaOf(parent.items, items) : fullOf(items);
  return { frames, changes: new Changes(changes.finish()), parent, isDelta, items };
}

function deltaOf(before: ReadonlyMap<string, Uint8Array>, after: ReadonlyMap<string, Uint8Array>) {
  const frames = new LossyFrames();
  const writer = new DeltaIndexWriter(frames);
  const paths = [...new Set([...before.keys(), ...after.keys()])].map((path) => Buffer.from(path, "latin1"));
  paths.sort((a, b) => comparePaths(a, a.length, b, b.length));
  for (const path of paths) {
    const [was, is] = [before.get(name(path)), after.get(name(path))];
    if (was !== undefined && was === is) writer.copy(1);
    else {
      if (was !== undefined) writer.drop(1);
      if (is !== undefined) writer.insert(load(is, made));
    }
  }
  writer.finish();
  return frames;
}

function chainOf(backup: Backup): Backup[] {
  return backup.isDelta && backup.parent !== null ? [...chainOf(backup.parent), backup] : [backup];
}

function mendedOf(backup: Backup, knowsEntries: boolean): MendedIndex {
  const layer = (one: Backup): MendedLayer => ({
    frames: one.frames,
    entries: knowsEntries ? one.items.size : null,
    changes: () => one.changes,
    parent: () => (one.parent === null ? null : mendedOf(one.parent, knowsEntries)),
  });
  return openMendedIndex(chainOf(backup).map(layer));
}

/** Flags aside: those depend on which index an entry is in. */
function text(entry: Entry): string {
  entry.flags &= ~(FLAG.moved | FLAG.unchanged);
  return entryText(entry);
}

function read(source: EntrySource): Map<string, string> {
  const found = new Map<string, string>();
  const entry = new Entry();
  let last = "";
  while (source.next(entry)) {
    const path = name(entry.path.subarray(0, entry.pathBytes));
    const [a, b] = [Buffer.from(last, "latin1"), Buffer.from(path, "latin1")];
    if (found.size > 0 && comparePaths(a, a.length, b, b.length) >= 0) throw new Error("out of order");
    found.set(path, text(entry));
    last = path;
  }
  return found;
}

function liesIn(path: string, { after, before }: Gap): boolean {
  const bytes = Buffer.from(path, "latin1");
  return (
    (after === null || comparePaths(bytes, bytes.length, after, after.length) > 0) &&
    (before === null || comparePaths(bytes, bytes.length, before, before.length) < 0)
  );
}

const seen = new Entry();
const texts = new Map<Uint8Array, string>();

function rightText(record: Uint8Array): string {
  const known = texts.get(record) ?? text(load(record, seen));
  texts.set(record, known);
  return known;
}

/** Everything that is given out is right; what is missing lies in gaps. Returns how many are missing. */
function check(backup: Backup, index: MendedIndex, top: Uint8Array | null): number {
  const found = read(top === null ? index.cursor() : index.under(top));
  const { gaps } = index;
  let missing = 0;
  let expected = 0;
  for (const [path, record] of backup.items) {
    const bytes = Buffer.from(path, "latin1");
    if (top !== null && !isWithin(bytes, bytes.length, top)) continue;
    expected++;
    const got = found.get(path);
    if (got !== undefined) {
      const right = rightText(record);
      if (got !== right) expect(got).toBe(right);
      continue;
    }
    missing++;
    const isTold = gaps.some((gap) => gap.missing !== 0 && liesIn(path, gap));
    if (!isTold) throw new Error(`nobody says that ${path} is missing`);
  }
  expect(found.size).toBe(expected - missing);
  return missing;
}

const dice = new Dice(5);
const root: Backup = {
  frames: new LossyFrames(),
  changes: new Changes(null),
  parent: null,
  isDelta: false,
  items: new Map(randomPaths(dice, 3500).map((path) => [name(path), recordOf(path, dice)])),
};
for (const frame of fullOf(root.items).frames) root.frames.frame(frame);
const weekly = childOf(root, dice, false, 0.02);
const micro = childOf(weekly, dice, true, 0.02);
const large = childOf(micro, dice, true, 0.6);
const last = childOf(large, dice, true, 0.01);
const backups = [root, weekly, micro, large, last];

test("an index that is whole is what it is, without gaps", () => {
  for (const backup of backups) {
    const index = mendedOf(backup, true);
    expect(check(backup, index, null)).toBe(0);
    const strict = openIndex(chainOf(backup).map(({ frames }) => frames));
    expect([index.isDamaged, index.gaps.length, index.count]).toEqual([false, 0, strict.count]);
  }
  expect(backups.map(({ frames }) => frames.count > 2)).toEqual([true, true, false, true, false]);
});

test("any one lost frame costs what changed in it, in the backups that need it, and is told", () => {
  for (const [number, damaged] of backups.entries()) {
    for (let frame = 0; frame < damaged.frames.count; frame++) {
      damaged.frames.lost.add(frame);
      for (const [place, backup] of backups.entries()) {
        if (place > 0 && backups.indexOf(backup) < number) continue;
        {
          const knowsEntries = (frame + place) % 3 !== 0;
          const index = mendedOf(backup, knowsEntries);
          const missing = check(backup, index, null);
          const mayMiss = chainOf(backup).includes(damaged);
          if (!mayMiss) expect([place, index.gaps.length]).toEqual([place, 0]);
          // The directory's loss costs nothing where the count of entries is known.
          if (frame === damaged.frames.count - 1 && knowsEntries)
            expect([number, frame, place, missing]).toEqual([number, frame, place, 0]);
          // What the parent has and was not changed is there.
          if (damaged !== root && frame < damaged.frames.count - 1) {
            const changes = [...damaged.items].filter(
              ([path, record]) => damaged.parent?.items.get(path) !== record,
            );
            expect([number, frame, place, missing <= changes.length]).toEqual([number, frame, place, true]);
          }
          const told = index.gaps.reduce((sum, gap) => sum + (gap.missing ?? Number.NaN), 0);
          if (knowsEntries) expect([number, frame, place, told]).toEqual([number, frame, place, missing]);
        }
      }
      damaged.frames.lost.clear();
    }
  }
}, 60_000);

test("several lost frames, and parts of the tree", () => {
  const random = new Dice(9);
  for (let round = 0; round < 60; round++) {
    for (const { frames } of backups)
      for (let frame = 0; frame < frames.count; frame++) if (random.chance(0.15)) frames.lost.add(frame);
    const backup = backups[random.below(backups.length)] as Backup;
    const index = mendedOf(backup, random.chance(0.7));
    const paths = [...backup.items.keys()];
    if (random.chance(0.2)) check(backup, index, null);
    else {
      const path = Buffer.from(paths[random.below(paths.length)] as string, "latin1");
      const slash = path.indexOf(0x2f);
      check(backup, index, slash > 0 && random.chance(0.5) ? path.subarray(0, slash) : path);
      const entry = index.find(path);
      if (entry !== null) expect(text(entry)).toBe(rightText(backup.items.get(name(path)) as Uint8Array));
      const other = Buffer.concat([path, Buffer.from("-no")]);
      if (!backup.items.has(name(other))) expect(index.find(other)).toBeNull();
    }
    for (const { frames } of backups) frames.lost.clear();
  }
}, 60_000);
