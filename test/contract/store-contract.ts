/** @module What every store must do, whatever carries it: one suite, run for each kind. `make` gives an empty one. */
import { afterEach, beforeEach, test as bunTest, describe, expect } from "bun:test";
import { present } from "../../src/base/assert.ts";
import { carryOut, planPrune } from "../../src/backup/prune/prune.ts";
import { isFault, type PrunableStore, type ReadableStore } from "../../src/backup/store/contract.ts";
import {
  type Files,
  good,
  makeBackup,
  noise,
  readBackup,
  type NewBackup,
  writeRun,
} from "../../src/backup/store/testing.ts";
import { isNeeded } from "../../src/backup/store/uses.ts";

export interface StoreMaker {
  /** Opens the store for writing; refused (a fault's text is thrown) while another has it. */
  write(): PrunableStore;
  read(): ReadableStore;
  /** Throws it away. */
  end(): void;
}

const DAY_MS = 86_400_000;

export function storeContract(name: string, make: () => StoreMaker): void {
  let maker: StoreMaker;
  let store: PrunableStore;
  beforeEach(() => {
    maker = make();
    store = maker.write();
  });
  afterEach(() => {
    store.close();
    maker.end();
  });

  const test = (what: string, act: () => void) => bunTest(what, act, 30_000);
  const files = (...seeds: number[]): Files =>
    new Map(seeds.map((seed) => [`f${seed % 100}`, noise(seed, 20_000)]));
  const full = (content: Files, change: Partial<NewBackup> = {}) =>
    makeBackup(store, { level: "monthly", parent: null, files: content, delta: false, ...change });
  const micro = (parent: number, content: Files, change: Partial<NewBackup> = {}) =>
    makeBackup(store, { level: "micro", parent, files: content, delta: true, ...change });
  const reopen = () => {
    store.close();
    store = maker.write();
  };
  const pareAll = (nowMs: number) =>
    good(
      carryOut(
        store,
        good(planPrune(store, { nowMs, beforeFull: false, keepWeeklies: null, neededBytes: () => 0 })),
      ),
    );

  describe(`a store (${name})`, () => {
    test("is empty at first, and has an identity that stays", () => {
      const { id } = store.identity;
      expect(id).toMatch(/^[0-9a-f-]{36}$/);
      expect([store.tree(), store.packs(), store.node(1), store.archivePath(1)]).toEqual([
        [],
        [],
        null,
        null,
      ]);
      expect(isFault(store.indexOf(1)) && isFault(store.readerOf(1))).toBe(true);
      expect(store.check()).toBeNull();
      reopen();
      expect(store.identity.id).toBe(id);
    });

    test("TREE-03: keeps what was committed, numbered from 1, in a tree", () => {
      full(files(1, 2));
      micro(1, files(1, 2, 3), { atMs: 5 });
      micro(2, files(1, 3), { level: "weekly", delta: false, atMs: 3 });
      const seen = (from: ReadableStore) => [
        from.tree(),
        ...[1, 2, 3].map((number) => readBackup(from, number)),
        from.node(3)?.atMs,
      ];
      const before = seen(store);
      expect(store.tree().map(({ number, parent, level }) => [number, parent, level])).toEqual([
        [1, null, "monthly"],
        [2, 1, "micro"],
        [3, 2, "weekly"],
      ]);
      reopen();
      expect(seen(store)).toEqual(before);
      const reader = maker.read();
      expect(seen(reader)).toEqual(before);
      reader.close();
    });

    test("a run is nothing until it is committed; the next one finds it, or drops it", () => {
      const run = good(store.beginRun());
      writeRun(store, run, { level: "monthly", parent: null, files: files(1), delta: false });
      reopen();
      expect(store.tree()).toEqual([]);
      const again = good(store.beginRun());
      expect([again.number, again.resumed]).toEqual([run.number, true]);
      expect(good(store.commitRun(again)).number).toBe(1);
      expect(readBackup(store, 1)).toEqual(new Map(files(1)));
      const next = good(store.beginRun());
      expect([next.number, next.resumed]).toEqual([2, false]);
      writeRun(store, next, { level: "monthly", parent: null, files: files(2), delta: false });
      expect(store.dropRun(next)).toBeNull();
      expect(good(store.beginRun()).resumed).toBe(false);
    });

    test("TREE-08: is verified and pinned only as it was marked", () => {
      full(files(1), { verified: false });
      expect(store.node(1)).toMatchObject({ verified: false, pinned: false, complete: true });
      good(store.mark(1, { verified: { atMs: 9000, level: "quick" } }));
      good(store.mark(1, { pinned: true }));
      const marks = { verified: { atMs: 9000, level: "quick" }, pinned: true } as const;
      expect(store.node(1)).toMatchObject({ verified: true, pinned: true, marks });
      reopen();
      expect(store.node(1)?.marks).toEqual(marks);
      good(store.mark(1, { verified: null }));
      expect(store.node(1)).toMatchObject({ verified: false, pinned: true });
      expect(isFault(store.mark(2, { pinned: true }))).toBe(true);
    });

    test("TREE-11: what is pared is no backup any more, and its heirs stay whole", () => {
      full(files(1, 2, 3), { atMs: 0 });
      micro(1, files(101, 2, 3), { atMs: DAY_MS });
      micro(2, files(101, 102, 3), { atMs: 2 * DAY_MS });
      micro(3, files(101, 102, 103), { atMs: 20 * DAY_MS });
      pareAll(20 * DAY_MS);
      expect(store.tree().map(({ number, parent }) => [number, parent])).toEqual([
        [1, null],
        [4, 1],
      ]);
      expect(store.packs().map(({ number }) => number)).toEqual([2, 3]);
      expect(store.node(2)).toBeNull();
      expect(isFault(store.mark(2, { pinned: true }))).toBe(true);
      for (const when of ["now", "later"]) {
        expect([when, readBackup(store, 4)]).toEqual([when, new Map(files(101, 102, 103))]);
        expect(readBackup(store, 1)).toEqual(new Map(files(1, 2, 3)));
        reopen();
      }
      expect(store.neededOf(1)).toBeNull();
      const needed = good(store.neededOf(2));
      expect(isNeeded(present(needed, "a bitmap"), 0)).toBe(true);
      pareAll(30 * DAY_MS);
      expect(store.packs()).toEqual([]);
      micro(1, files(5));
      expect(store.node(5)?.parent).toBe(1);
    });

    test("never gives a number out twice", () => {
      full(files(1), { atMs: 0 });
      micro(1, files(2), { atMs: 0 });
      pareAll(20 * DAY_MS);
      expect(store.tree().map(({ number }) => number)).toEqual([1]);
      reopen();
      expect(good(store.beginRun()).number).toBe(3);
    });

    test("has room as it was told to", () => {
      expect(store.setCapacity(10_000_000)).toBeNull();
      const { usedBytes, freeBytes, capacityBytes } = good(store.room());
      expect([capacityBytes, freeBytes]).toEqual([10_000_000, 10_000_000 - usedBytes]);
      full(files(1, 2, 3));
      reopen();
      expect(store.identity.capacityBytes).toBe(10_000_000);
      expect(good(store.room()).usedBytes).toBeGreaterThanOrEqual(usedBytes + 60_000);
      expect(store.setCapacity(usedBytes)).toBeNull();
      expect(good(store.room()).freeBytes).toBeLessThan(0);
    });

    test("is for one writer and any reader; nothing is deleted while somebody reads", () => {
      full(files(1), { atMs: 0 });
      micro(1, files(2), { atMs: 0 });
      expect(() => maker.write()).toThrow(/in use by/);
      const reader = maker.read();
      const plan = good(
        planPrune(store, { nowMs: 20 * DAY_MS, beforeFull: false, keepWeeklies: null, neededBytes: () => 0 }),
      );
      expect(plan.pares.length).toBe(1);
      const refused = carryOut(store, plan);
      expect(isFault(refused) && refused.cause).toBe("locked");
      expect(readBackup(reader, 2)).toEqual(new Map(files(2)));
      reader.close();
      expect(carryOut(store, plan).kind).toBe("pruned");
    });
  });
}
