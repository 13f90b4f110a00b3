/** @module Stores on disks of their own: full ones, read-only ones, ones that know no holes. Only root may mount; without,
 *  these tests do not run. */
import { afterEach, describe, expect, test } from "bun:test";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { carryOut, planPrune } from "../../src/backup/prune/prune.ts";
import { isFault } from "../../src/backup/store/contract.ts";
import { initStore, openStore } from "../../src/backup/store/open.ts";
import {
  type Files,
  good,
  makeBackup,
  noise,
  readBackup,
  TEST_COMPUTER,
} from "../../src/backup/store/testing.ts";

const DAY_MS = 86_400_000;
const DISK_MIB = 40;

const undo: (() => void)[] = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

function command(...words: string[]): boolean {
  return Bun.which(words[0] ?? "") !== null && Bun.spawnSync(words).exitCode === 0;
}

/** A mounted file system of its own; null: it cannot be had here. */
function disk(kind: string): string | null {
  if (process.getuid?.() !== 0) return null;
  const folder = mkdtempSync(join(tmpdir(), "understudy-disk-"));
  undo.push(() => rmSync(folder, { recursive: true, force: true }));
  const at = join(folder, "mnt");
  mkdirSync(at);
  let mounted: boolean;
  if (kind === "tmpfs") mounted = command("mount", "-t", "tmpfs", "-o", `size=${DISK_MIB}m`, "none", at);
  else {
    const image = join(folder, "image");
    const quiet = kind === "ext4" ? ["-q", "-m", "0"] : [];
    mounted =
      command("truncate", "-s", `${DISK_MIB}M`, image) &&
      command(`mkfs.${kind}`, ...quiet, image) &&
      command("mount", "-o", "loop", image, at);
  }
  if (!mounted) return null;
  undo.push(() => command("umount", at));
  return at;
}

/** Not one byte is left. */
function fill(directory: string): void {
  const fd = openSync(join(directory, "fill"), "w");
  for (let step = 1 << 20; step >= 1; step = step === 1 ? 0 : step >> 2) {
    const bytes = noise(1, step + 8).subarray(0, step);
    try {
      while (writeSync(fd, bytes) > 0);
    } catch {
      // Smaller steps may still fit.
    }
  }
  closeSync(fd);
}

function files(...seeds: number[]): Files {
  return new Map(seeds.map((seed) => [`f${seed % 1000}`, noise(seed, 250_000)]));
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => from + at);

/** A full with three micros that overwrite some of it; number 2 is old enough to go. */
function filledStore(directory: string): Map<number, Files> {
  good(initStore({ directory, computer: TEST_COMPUTER, capacityBytes: null, nowMs: 0 }));
  const store = good(openStore({ directory, computer: TEST_COMPUTER, write: true }));
  const expected = new Map<number, Files>();
  const make = (parent: number | null, content: Files, days: number) => {
    const level = parent === null ? "monthly" : "micro";
    const options = { level, parent, files: content, delta: parent !== null, atMs: days * DAY_MS } as const;
    expected.set(makeBackup(store, options).number, content);
  };
  make(null, files(...range(0, 40)), 0);
  make(1, files(...range(1000, 1010), ...range(10, 40)), 1);
  make(2, files(...range(2000, 2005), ...range(1005, 1010), ...range(10, 40)), 9);
  make(null, files(...range(0, 8)), 10);
  store.close();
  return expected;
}

function checkAll(directory: string, expected: ReadonlyMap<number, Files>): void {
  const store = good(openStore({ directory, computer: TEST_COMPUTER, write: false }));
  expect(store.tree().map(({ number }) => number)).toEqual([...expected.keys()]);
  for (const [number, content] of expected) expect(readBackup(store, number)).toEqual(new Map(content));
  store.close();
}

function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}

describe("TREE-11: paring works on a full disk", () => {
  for (const kind of ["tmpfs", "ext4", "xfs", "btrfs"]) {
    test(kind, () => {
      const at = disk(kind);
      if (at === null) return;
      const directory = join(at, "store");
      const expected = filledStore(directory);
      fill(at);
      expect(freeBytes(at)).toBeLessThan(4096);
      const store = good(openStore({ directory, computer: TEST_COMPUTER, write: true }));
      // The first change of a full disk takes the reserve.
      expect(good(store.mark(3, { pinned: true })).pinned).toBe(true);
      fill(at);
      const before = freeBytes(at);
      const plan = good(
        planPrune(store, {
          nowMs: 10 * DAY_MS,
          beforeFull: false,
          keepWeeklies: null,
          neededBytes: () => 2_500_000,
        }),
      );
      expect(plan.enough).toBe(true);
      expect(plan.pares.map(({ number, step }) => [number, step])).toEqual([
        [2, "100"],
        [1, "136"],
      ]);
      const report = good(carryOut(store, plan));
      const planned = plan.pares.reduce((sum, one) => sum + one.freedBytes, plan.residueBytes);
      expect(Math.abs(report.freedBytes - planned)).toBeLessThanOrEqual(2 * 4096);
      expect(freeBytes(at) - before).toBeGreaterThanOrEqual(planned - 16 * 4096);
      store.close();
      expected.delete(1);
      expected.delete(2);
      checkAll(directory, expected);
      const again = good(openStore({ directory, computer: TEST_COMPUTER, write: true }));
      const next = good(
        planPrune(again, { nowMs: 0, beforeFull: false, keepWeeklies: null, neededBytes: () => 0 }),
      );
      expect([next.residueBytes, next.pares.length]).toEqual([0, 0]);
      again.close();
    }, 60_000);
  }
});

test("a file system without holes: heirs stay restorable, and what cannot be freed is not promised", () => {
  const at = disk("vfat");
  if (at === null) return;
  const directory = join(at, "store");
  const expected = filledStore(directory);
  const store = good(openStore({ directory, computer: TEST_COMPUTER, write: true }));
  const request = { nowMs: 10 * DAY_MS, beforeFull: false, keepWeeklies: null, neededBytes: () => 0 };
  const plan = good(planPrune(store, request));
  expect(plan.notes.join()).toContain("no holes");
  expect(plan.pares.map(({ number, freedBytes }) => [number, freedBytes])).toEqual([[2, 0]]);
  expect(good(carryOut(store, plan)).freedBytes).toBe(0);
  store.close();
  expected.delete(2);
  checkAll(directory, expected);
}, 60_000);

test("TREE-03: a read-only disk alone is enough to read", () => {
  const at = disk("tmpfs");
  if (at === null) return;
  const directory = join(at, "store");
  const expected = filledStore(directory);
  rmSync(join(directory, "catalog.sqlite"));
  if (!command("mount", "-o", "remount,ro", at)) return;
  checkAll(directory, expected);
  const refused = openStore({ directory, computer: TEST_COMPUTER, write: true });
  expect(isFault(refused) && refused.cause).toBe("readOnly");
  expect(statSync(directory).isDirectory()).toBe(true);
}, 60_000);

test("a disk that is unmounted is not written to: neither behind the store's back nor where it was", () => {
  const at = disk("tmpfs");
  if (at === null) return;
  filledStore(at);
  const store = good(openStore({ directory: at, computer: TEST_COMPUTER, write: true }));
  expect(command("umount", at)).toBe(false);
  expect(command("umount", "-l", at)).toBe(true);
  const gone = store.mark(1, { pinned: true });
  expect(isFault(gone) && gone.cause).toBe("gone");
  store.close();
  const empty = openStore({ directory: at, computer: TEST_COMPUTER, write: true });
  expect(isFault(empty) && empty.text).toContain("is the disk that belongs here mounted?");
}, 60_000);
