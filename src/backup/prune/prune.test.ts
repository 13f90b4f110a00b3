import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { present } from "../../base/assert.ts";
import type { Level } from "../../plan/tree.ts";
import { isFault, type PrunableStore, type StepHook } from "../store/contract.ts";
import { initStore, openStore } from "../store/open.ts";
import { type Files, good, makeBackup, noise, readBackup, TEST_COMPUTER } from "../store/testing.ts";
import { Folder } from "./fold.ts";
import { carryOut, type PrunePlan, planPrune } from "./prune.ts";

const folders: string[] = [];

/** In memory: thousands of syncs are not what is tested. */
const BASE = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

function newStore(hook?: StepHook): PrunableStore {
  const folder = mkdtempSync(join(BASE, "understudy-prune-"));
  folders.push(folder);
  const directory = join(folder, "store");
  good(initStore({ directory, computer: TEST_COMPUTER, capacityBytes: null, nowMs: 0 }));
  return open(directory, hook);
}

function open(directory: string, hook: StepHook = () => {}): PrunableStore {
  return good(openStore({ directory, computer: TEST_COMPUTER, write: true, hook }));
}

afterEach(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
});

const DAY_MS = 86_400_000;

function files(...seeds: number[]): Map<string, Uint8Array> {
  return new Map(seeds.map((seed) => [`f${seed % 100}`, noise(seed, 20_000 + seed)]));
}

/** Bytes of all archives, as the file system counts. */
function diskBytes(directory: string): number {
  return ["backups", "packs"]
    .flatMap((place) => readdirSync(join(directory, place)).map((name) => join(directory, place, name)))
    .filter((path) => path.endsWith(".backup"))
    .reduce((sum, path) => sum + statSync(path).blocks * 512, 0);
}

function sum(freed: ReadonlyMap<number, number>): number {
  return [...freed.values()].reduce((all, bytes) => all + bytes, 0);
}

/** Pares exactly these, whatever a plan would say; checks the promise. */
function pare(store: PrunableStore, ...numbers: number[]): number {
  const promised = sum(good(new Folder(store, null).pare(numbers)));
  const before = diskBytes(store.directory);
  const freed = sum(good(new Folder(store, store).pare(numbers)));
  expect(before - diskBytes(store.directory)).toBe(freed);
  expect(freed).toBe(promised);
  return freed;
}

function expectAll(store: PrunableStore, expected: ReadonlyMap<number, Files>): void {
  expect(store.tree().map(({ number }) => number)).toEqual([...expected.keys()]);
  for (const [number, content] of expected) expect(readBackup(store, number)).toEqual(new Map(content));
}

describe("TREE-11: folding", () => {
  test("heirs of a pared backup stay restorable; what nobody needs comes free, exactly as promised", () => {
    const store = newStore();
    const expected = new Map<number, Files>();
    const make = (level: Level, parent: number | null, content: Files, delta: boolean) => {
      const { number } = makeBackup(store, { level, parent, files: content, delta });
      expected.set(number, content);
    };
    make("monthly", null, files(1, 2, 3, 4), false);
    make("weekly", 1, files(1, 2, 103, 5), true);
    make("micro", 2, files(1, 102, 103, 6), true);
    make("micro", 3, files(101, 102, 103, 6), true);
    // 3 and 4 are the full's alone: two files of some 20,000 bytes, that is, at least 8 blocks.
    const freed = pare(store, 1);
    expected.delete(1);
    expect(freed).toBeGreaterThanOrEqual(8 * 4096);
    expect(store.node(2)?.parent).toBeNull();
    expect(store.packs().map(({ number }) => number)).toEqual([1]);
    expectAll(store, expected);
    pare(store, 2, 3);
    expected.delete(2);
    expected.delete(3);
    expect(store.node(4)).toMatchObject({ parent: null, recordedParent: 3, level: "micro" });
    expectAll(store, expected);
    expect(good(new Folder(store, null).settle())).toBe(0);
    const directory = store.directory;
    store.close();
    const again = open(directory);
    expectAll(again, expected);
    pare(again, 4);
    expect(again.packs()).toEqual([]);
    expect(readdirSync(join(directory, "packs"))).toEqual([]);
    expect(diskBytes(directory)).toBe(0);
    again.close();
  });

  test("the index of a pack stays while a living one is a difference to it, then goes", () => {
    const store = newStore();
    const many = new Map(
      Array.from({ length: 3000 }, (_, at) => [`long/name/of/file/${at}`, new Uint8Array(0)]),
    );
    makeBackup(store, { level: "monthly", parent: null, files: many, delta: false });
    makeBackup(store, {
      level: "micro",
      parent: 1,
      files: new Map([...many, ["x", noise(1, 9)]]),
      delta: true,
    });
    makeBackup(store, {
      level: "micro",
      parent: 2,
      files: new Map([...many, ["y", noise(2, 9)]]),
      delta: false,
    });
    expect(pare(store, 1)).toBe(0);
    expect(readBackup(store, 2).size).toBe(3001);
    // With 2 goes the last index that the one of 1 is a base of.
    const before = statSync(present(store.archivePath(1), "pack 1")).blocks;
    pare(store, 2);
    expect(statSync(present(store.archivePath(1), "pack 1")).blocks).toBeLessThan(before);
    expect(readBackup(store, 3).size).toBe(3001);
    store.close();
  });

  test("an index that cannot be read makes everything needed; nothing goes below an unreadable archive", () => {
    const store = newStore();
    makeBackup(store, { level: "monthly", parent: null, files: files(1, 2), delta: false });
    makeBackup(store, { level: "micro", parent: 1, files: files(1, 3), delta: false });
    const path = present(store.archivePath(2), "backup 2");
    const directory = store.directory;
    store.close();
    truncateSync(path, statSync(path).size - 700);
    const again = open(directory);
    expect([...again.broken().keys()]).toEqual([2]);
    const folder = new Folder(again, again);
    expect(sum(good(folder.pare([1])))).toBe(0);
    expect(folder.notes.join()).toContain("backup 2 cannot be read");
    expect(readdirSync(join(directory, "packs"))).toEqual(["0000000001.backup"]);
    again.close();
  });

  test("a number is never used twice", () => {
    const store = newStore();
    makeBackup(store, { level: "monthly", parent: null, files: files(1), delta: false });
    makeBackup(store, { level: "monthly", parent: null, files: files(2), delta: false });
    pare(store, 2);
    store.close();
    const again = open(store.directory);
    expect(good(again.beginRun()).number).toBe(3);
    again.close();
  });
});

/** A tree of some depth, the same each time. */
function grown(hook?: StepHook): { store: PrunableStore; expected: Map<number, Files> } {
  const store = newStore(hook);
  const expected = new Map<number, Files>();
  const parents = [null, 1, 2, 3, 2, 1, 6] as const;
  for (const [at, parent] of parents.entries()) {
    const level = parent === null ? "monthly" : parent === 1 ? "weekly" : "micro";
    const content = new Map(parent === null ? [] : expected.get(parent));
    for (let file = 0; file < (parent === null ? 12 : 4); file++) {
      content.set(`f${(at + file) % 12}`, noise(at * 50 + file, 20_000 + at * 100 + file));
    }
    content.delete(`f${11 - at}`);
    const { number } = makeBackup(store, { level, parent, files: content, delta: at % 3 !== 0 });
    expected.set(number, content);
  }
  return { store, expected };
}

test("TREE-11: interrupted at every step, a prune leaves what is left restorable, and the next one makes up for it", () => {
  const steps: string[] = [];
  const whole = grown((step) => steps.push(step));
  steps.length = 0;
  pare(whole.store, 1, 3, 2, 4);
  const bytes = diskBytes(whole.store.directory);
  whole.store.close();
  const planned = steps.slice();
  expect(planned.length).toBeGreaterThan(14);
  for (let stop = 0; stop < planned.length; stop++) {
    let at = -1000;
    const { store, expected } = grown(() => {
      if (at++ === stop) throw new Error("power cut");
    });
    at = 0;
    expect(() => new Folder(store, store).pare([1, 3, 2, 4])).toThrow("power cut");
    at = -1000;
    // As the end of the process would.
    store.close();
    const after = open(store.directory);
    const left = after.tree().map(({ number }) => number);
    for (const gone of [1, 3, 2, 4]) if (!left.includes(gone)) expected.delete(gone);
    expectAll(after, expected);
    const folder = new Folder(after, after);
    good(folder.settle());
    good(folder.pare([1, 3, 2, 4].filter((number) => left.includes(number))));
    for (const gone of [1, 3, 2, 4]) expected.delete(gone);
    expectAll(after, expected);
    expect(diskBytes(store.directory)).toBe(bytes);
    after.close();
  }
}, 30_000);

test("TREE-10: the plan decides, with steps and reasons, and says before what comes free", () => {
  const store = newStore();
  makeBackup(store, { level: "monthly", parent: null, files: files(1, 2), delta: false, atMs: 0 });
  makeBackup(store, { level: "micro", parent: 1, files: files(1, 3), delta: true, atMs: 1 * DAY_MS });
  makeBackup(store, { level: "micro", parent: 2, files: files(1, 4), delta: true, atMs: 9 * DAY_MS });
  makeBackup(store, { level: "monthly", parent: null, files: files(5), delta: false, atMs: 10 * DAY_MS });
  store.setCapacity(100_000_000);
  const request = { nowMs: 10 * DAY_MS, beforeFull: false, keepWeeklies: null };
  const byAge = good(planPrune(store, { ...request, neededBytes: () => 0 }));
  expect(byAge).toMatchObject({ enough: true, residueBytes: 0 });
  expect(byAge.pares).toMatchObject([{ number: 2, step: "100", byAge: true }]);
  const free = good(store.room()).freeBytes;
  const { freedBytes } = present(byAge.pares[0], "one goes");
  const more = good(planPrune(store, { ...request, neededBytes: () => free + freedBytes + 1 }));
  expect(more.pares.map(({ number, step, byAge: age }) => [number, step, age])).toEqual([
    [2, "100", true],
    [1, "136", false],
  ]);
  const never = good(planPrune(store, { ...request, neededBytes: () => free * 2 }));
  expect(never).toMatchObject({ enough: false });
  expect(never.pares.map(({ number }) => number)).toEqual([2]);
  expect(store.tree().length).toBe(4);
  const report = good(carryOut(store, more));
  expect(report.freedBytes).toBe(more.pares.reduce((all, one) => all + one.freedBytes, 0));
  expect(store.tree().map(({ number }) => number)).toEqual([3, 4]);
  expect(readBackup(store, 3)).toEqual(files(1, 4));
  store.close();
});

test("TREE-11: only right before a full does the last one go, with all that depends on it", () => {
  const store = newStore();
  store.setCapacity(600_000);
  makeBackup(store, { level: "monthly", parent: null, files: files(1, 2), delta: false, atMs: 0 });
  makeBackup(store, { level: "micro", parent: 1, files: files(1, 3), delta: true, atMs: 1 });
  makeBackup(store, { level: "micro", parent: 2, files: files(4, 3), delta: true, atMs: 2 });
  const { freeBytes } = good(store.room());
  const request = { nowMs: 10, keepWeeklies: null, neededBytes: () => freeBytes + 90_000 };
  expect(good(planPrune(store, { ...request, beforeFull: false }))).toMatchObject({
    enough: false,
    pares: [],
  });
  const plan = good(planPrune(store, { ...request, beforeFull: true }));
  expect(plan.pares).toMatchObject([{ number: 1, step: "118", dependants: [3, 2], tellOperator: true }]);
  const before = diskBytes(store.directory);
  expect(good(carryOut(store, plan)).freedBytes).toBe(before);
  expect([store.tree(), store.packs(), diskBytes(store.directory)]).toEqual([[], [], 0]);
  expect(good(store.beginRun()).number).toBe(4);
  store.close();
});

test("nothing is deleted while somebody restores", () => {
  const store = newStore();
  makeBackup(store, { level: "monthly", parent: null, files: files(1), delta: false });
  const plan: PrunePlan = {
    ...good(planPrune(store, { nowMs: 0, beforeFull: true, keepWeeklies: null, neededBytes: () => 0 })),
  };
  const reader = good(openStore({ directory: store.directory, computer: TEST_COMPUTER, write: false }));
  const refused = carryOut(store, plan);
  expect(isFault(refused) && refused.cause).toBe("locked");
  reader.close();
  expect(carryOut(store, plan).kind).toBe("pruned");
  store.close();
});

test("TREE-11: any tree, any order: every backup that is left is whole", () => {
  for (let seed = 1; seed <= 4; seed++) {
    let state = seed;
    const random = (below: number) => {
      state = (state * 1103515245 + 12345) % 2147483648;
      return Math.floor((state / 2147483648) * below);
    };
    const store = newStore();
    const expected = new Map<number, Files>();
    for (let step = 0; step < 40; step++) {
      const living = [...expected.keys()];
      if (living.length > 2 && random(3) === 0) {
        const victim = present(living[random(living.length)], "a victim");
        expected.delete(victim);
        pare(store, victim);
      } else {
        const parent = random(6) === 0 ? null : (living[random(living.length)] ?? null);
        const content = new Map(parent === null ? [] : expected.get(parent));
        for (let edit = random(4); edit >= 0; edit--)
          content.set(`f${random(8)}`, noise(random(1e6), random(30_000)));
        content.delete(`f${random(8)}`);
        const level = parent === null ? "monthly" : "micro";
        const made = makeBackup(store, { level, parent, files: content, delta: random(3) > 0 });
        expected.set(made.number, content);
      }
      if (step % 10 === 9) expectAll(store, expected);
    }
    expectAll(store, expected);
    const reopened = store.directory;
    store.close();
    const again = open(reopened);
    expectAll(again, expected);
    again.close();
  }
}, 60_000);
