import { afterEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isFault, type StoreFault, type WritableStore } from "./contract.ts";
import { initStore, openStore } from "./open.ts";
import { otherPages } from "./pages.ts";
import { seal } from "./sealed.ts";
import { type Files, good, makeBackup, noise, readBackup, TEST_COMPUTER, writeRun } from "./testing.ts";

const folders: string[] = [];

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "understudy-store-"));
  folders.push(path);
  return path;
}

afterEach(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
});

const OTHER = { name: "other", machineId: "ffffffffffffffffffffffffffffffff" };

function newStore(directory = join(folder(), "store")): string {
  good(initStore({ directory, computer: TEST_COMPUTER, capacityBytes: null, nowMs: 1000 }));
  return directory;
}

function writing(directory: string): WritableStore {
  return good(openStore({ directory, computer: TEST_COMPUTER, write: true }));
}

function files(...seeds: number[]): Files {
  return new Map(seeds.map((seed) => [`f${seed}`, noise(seed, 5000)]));
}

function refusal(value: unknown): StoreFault {
  if (!isFault(value)) throw new Error("it was not refused");
  return value;
}

describe("TREE-03: a store begins", () => {
  test("in an empty directory, with its marker, its format page and its restorer", () => {
    const directory = newStore();
    expect(readdirSync(directory).sort()).toEqual([
      "README.txt",
      "backups",
      "lock",
      "packs",
      "partial",
      "reserve",
      "restore.py",
      "understudy-store.json",
    ]);
    expect(readFileSync(join(directory, "README.txt"), "utf8")).toContain("restore.py");
    const again = initStore({ directory, computer: TEST_COMPUTER, capacityBytes: 12345, nowMs: 5 });
    expect(again).toMatchObject({ kind: "made", before: true });
    const store = good(openStore({ directory, computer: TEST_COMPUTER, write: false }));
    expect(store.identity.capacityBytes).toBe(12345);
    expect(good(store.room()).capacityBytes).toBe(12345);
    store.close();
    good(initStore({ directory, computer: TEST_COMPUTER, capacityBytes: 0, nowMs: 5 }));
    const whole = writing(directory);
    expect(whole.identity.capacityBytes).toBeNull();
    whole.close();
  });

  test("never among other people's files", () => {
    const directory = folder();
    writeFileSync(join(directory, "thesis.txt"), "years of work");
    const fault = refusal(initStore({ directory, computer: TEST_COMPUTER, capacityBytes: null, nowMs: 0 }));
    expect(fault).toMatchObject({ cause: "notAStore" });
    expect(fault.text).toContain("thesis.txt");
    expect(readdirSync(directory)).toEqual(["thesis.txt"]);
  });
});

describe("TREE-12, 15: what is not the store is refused", () => {
  test("an empty mount point", () => {
    const directory = folder();
    const fault = refusal(openStore({ directory, computer: TEST_COMPUTER, write: true }));
    expect(fault.cause).toBe("notAStore");
    expect(fault.text).toContain("is the disk that belongs here mounted?");
    expect(readdirSync(directory)).toEqual([]);
  });

  test("a directory that does not exist, and one that is something else", () => {
    const missing = join(folder(), "nowhere");
    expect(refusal(openStore({ directory: missing, computer: TEST_COMPUTER, write: false })).text).toContain(
      "no such directory",
    );
    const directory = folder();
    mkdirSync(join(directory, "photos"));
    expect(refusal(openStore({ directory, computer: TEST_COMPUTER, write: false })).text).toContain(
      "no marker",
    );
  });

  test("an unknown format version", () => {
    const directory = newStore();
    const path = join(directory, "understudy-store.json");
    writeFileSync(path, readFileSync(path, "utf8").replace('"version": 1', '"version": 2'));
    for (const write of [false, true]) {
      const fault = refusal(openStore({ directory, computer: TEST_COMPUTER, write }));
      expect(fault.cause).toBe("newer");
      expect(fault.text).toContain("store format 2");
    }
  });

  test("another computer's, until its operator says so; reading is free", () => {
    const directory = newStore();
    const fault = refusal(openStore({ directory, computer: OTHER, write: true }));
    expect(fault.cause).toBe("foreign");
    expect(fault.text).toContain("testbed");
    const reader = good(openStore({ directory, computer: OTHER, write: false }));
    expect(reader.notes.join()).toContain("testbed");
    reader.close();
    good(openStore({ directory, computer: OTHER, write: true, acceptOtherComputer: true })).close();
    good(openStore({ directory, computer: OTHER, write: true })).close();
    good(openStore({ directory, computer: TEST_COMPUTER, write: true })).close();
  });
});

describe("a store's tree", () => {
  test("TREE-03: what was committed is there, with no catalog at hand too", () => {
    const directory = newStore();
    const store = writing(directory);
    const one = makeBackup(store, {
      level: "monthly",
      parent: null,
      files: files(1, 2),
      delta: false,
      atMs: 5,
    });
    const two = makeBackup(store, { level: "micro", parent: 1, files: files(1, 2, 3), delta: true, atMs: 6 });
    expect([one.parent, two.parent]).toEqual([null, 1]);
    expect(two).toMatchObject({ number: 2, level: "micro", verified: true, entries: 3, chunks: 1, atMs: 6 });
    const tree = store.tree();
    store.close();
    const look = () => {
      const reader = good(openStore({ directory, computer: TEST_COMPUTER, write: false }));
      const seen = [reader.tree(), readBackup(reader, 1), readBackup(reader, 2), reader.notes];
      reader.close();
      return seen;
    };
    const expected = [tree, new Map(files(1, 2)), new Map(files(1, 2, 3)), []];
    expect(look()).toEqual(expected);
    writeFileSync(join(directory, "catalog.sqlite"), "this is no database");
    expect(look()).toEqual(expected);
    rmSync(join(directory, "catalog.sqlite"));
    expect(look()).toEqual(expected);
    expect(existsSync(join(directory, "catalog.sqlite"))).toBe(false);
    writing(directory).close();
    expect(look()).toEqual(expected);
  });

  test("an unfinished run is no backup; the next run takes it over, or drops it", () => {
    const directory = newStore();
    let store = writing(directory);
    const run = good(store.beginRun());
    expect(run).toMatchObject({ number: 1, resumed: false });
    writeRun(store, run, { level: "monthly", parent: null, files: files(1), delta: false });
    writeFileSync(run.journalPath, "some");
    expect(store.tree()).toEqual([]);
    store.close();
    store = writing(directory);
    const again = good(store.beginRun());
    expect(again).toMatchObject({ number: 1, resumed: true });
    expect(store.dropRun(again)).toBeNull();
    expect(readdirSync(join(directory, "partial"))).toEqual([]);
    const third = good(store.beginRun());
    expect(third).toMatchObject({ number: 1, resumed: false });
    writeFileSync(third.archivePath, "torn");
    expect(refusal(store.commitRun(third)).cause).toBe("damaged");
    store.close();
  });

  test("TREE-08: marks and pins last; damaged ones make it unverified and pinned, and are named", () => {
    const directory = newStore();
    let store = writing(directory);
    makeBackup(store, { level: "monthly", parent: null, files: files(1), delta: false, verified: false });
    expect(store.node(1)).toMatchObject({ verified: false, pinned: false });
    good(store.mark(1, { verified: { atMs: 7, level: "full" } }));
    good(store.mark(1, { pinned: true }));
    store.close();
    store = writing(directory);
    expect(store.node(1)?.marks).toEqual({ verified: { atMs: 7, level: "full" }, pinned: true });
    good(store.mark(1, { pinned: false }));
    store.close();
    const path = join(directory, "backups", "0000000001.marks");
    writeFileSync(path, readFileSync(path, "utf8").replace("full", "fuII"));
    store = writing(directory);
    expect(store.node(1)).toMatchObject({ verified: false, pinned: true });
    expect(store.notes.join()).toContain("0000000001.marks");
    store.close();
  });

  test("a damaged archive is named and left out, a renamed one is not taken for another", () => {
    const directory = newStore();
    const store = writing(directory);
    makeBackup(store, { level: "monthly", parent: null, files: files(1), delta: false });
    makeBackup(store, { level: "micro", parent: 1, files: files(1, 2), delta: true });
    store.close();
    const path = join(directory, "backups", "0000000002.backup");
    const whole = readFileSync(path);
    writeFileSync(path, whole.subarray(0, whole.length - 700));
    writeFileSync(join(directory, "backups", "0000000007.backup"), whole);
    const reader = good(openStore({ directory, computer: TEST_COMPUTER, write: false }));
    expect(reader.tree().map(({ number }) => number)).toEqual([1]);
    expect(reader.notes.length).toBe(2);
    expect(reader.notes.join()).toContain("0000000002.backup");
    expect(reader.notes.join()).toContain("backup 2 under another's name");
    reader.close();
  });

  test("TREE-08: with a damaged header or footer a backup is read all the same, but nobody depends on it", () => {
    const directory = newStore();
    const store = writing(directory);
    makeBackup(store, { level: "monthly", parent: null, files: files(1), delta: false, atMs: 5 });
    makeBackup(store, { level: "micro", parent: 1, files: files(1, 2), delta: true, atMs: 7 });
    const before = store.tree();
    store.close();
    const path = join(directory, "backups", "0000000001.backup");
    const whole = readFileSync(path);
    for (const at of [100, whole.length - 400]) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] ?? 0) ^ 4;
      writeFileSync(path, damaged);
      const reader = good(openStore({ directory, computer: TEST_COMPUTER, write: false }));
      const [first, second] = reader.tree();
      expect([first?.verified, second?.verified, second?.parent]).toEqual([false, true, 1]);
      expect([first?.entries, first?.finishedMs, first?.marks.pinned]).toEqual([1, 5, false]);
      expect(reader.notes.join()).toMatch(/0000000001.backup: .* counts as not verified/);
      expect([...readBackup(reader, 1)]).toEqual([...files(1)]);
      expect([...readBackup(reader, 2)]).toEqual([...files(1, 2)]);
      reader.close();
    }
    writeFileSync(path, whole);
    const again = good(openStore({ directory, computer: TEST_COMPUTER, write: false }));
    expect(again.tree()).toEqual(before);
    again.close();
  });

  test("the pages that tell how to read it are made anew where they are damaged, and that is told", () => {
    const directory = newStore();
    const path = join(directory, "restore.py");
    const whole = readFileSync(path);
    const damaged = Buffer.from(whole);
    damaged[50] = (damaged[50] ?? 0) ^ 1;
    writeFileSync(path, damaged);
    expect(otherPages(directory)).toEqual(["restore.py"]);
    const store = writing(directory);
    expect(store.notes.join()).toContain("restore.py: damaged");
    store.close();
    expect([readFileSync(path), otherPages(directory)]).toEqual([whole, []]);
  });

  test("a damaged marker keeps nobody from reading, and init mends it", () => {
    const directory = newStore();
    let store = writing(directory);
    const { id } = store.identity;
    makeBackup(store, { level: "monthly", parent: null, files: files(1), delta: false });
    store.close();
    const path = join(directory, "understudy-store.json");
    writeFileSync(
      path,
      readFileSync(path, "utf8").replace(
        id,
        id.replace(/^./, (digit) => (digit === "0" ? "1" : "0")),
      ),
    );
    const broken = readFileSync(path, "utf8");
    for (const damage of [() => writeFileSync(path, broken), () => rmSync(path)]) {
      damage();
      expect(refusal(openStore({ directory, computer: TEST_COMPUTER, write: true })).cause).toBe("damaged");
      const reader = good(openStore({ directory, computer: TEST_COMPUTER, write: false }));
      expect(readBackup(reader, 1)).toEqual(new Map(files(1)));
      expect(reader.notes.join()).toContain("understudy-store.json");
      reader.close();
    }
    expect(initStore({ directory, computer: TEST_COMPUTER, capacityBytes: null, nowMs: 9 })).toMatchObject({
      kind: "made",
      id,
    });
    store = writing(directory);
    expect(store.tree().length).toBe(1);
    store.close();
    writeFileSync(path, seal({ format: "understudy-store", version: 1 }));
    expect(refusal(openStore({ directory, computer: TEST_COMPUTER, write: true })).cause).toBe("damaged");
  });
});

describe("one writer, many readers", () => {
  test("a second writer hears who the first is; readers come in", () => {
    const directory = newStore();
    const store = writing(directory);
    const fault = refusal(openStore({ directory, computer: TEST_COMPUTER, write: true }));
    expect(fault.cause).toBe("locked");
    expect(fault.text).toContain(`process ${process.pid}`);
    good(openStore({ directory, computer: TEST_COMPUTER, write: false })).close();
    store.close();
    writing(directory).close();
  });

  test("a disk that is gone is told once", () => {
    const directory = newStore();
    const store = writing(directory);
    expect(store.check()).toBeNull();
    rmSync(directory, { recursive: true });
    mkdirSync(directory);
    const first = refusal(store.check());
    expect(first.cause).toBe("gone");
    expect(first.repeated).toBeUndefined();
    expect(refusal(store.beginRun()).cause).toBe("gone");
    expect(refusal(store.check()).repeated).toBe(true);
    expect(refusal(store.setCapacity(5)).repeated).toBe(true);
    expect(readdirSync(directory)).toEqual([]);
    store.close();
  });
});
