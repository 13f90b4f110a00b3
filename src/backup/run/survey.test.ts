/** @module Survey and publish together: a disk in memory, its backups, and what their indexes must say. */
import { expect, test } from "bun:test";
import { type Entry, FLAG, KIND } from "../entry.ts";
import { Dice, entryText } from "../index/random-entries.ts";
import { entriesOf, FakeBackups, FakeDisk, type FakeRun } from "./testing.ts";
import { Unseen } from "./unseen.ts";

function settled(names: Record<string, string>): { disk: FakeDisk; backups: FakeBackups } {
  const disk = new FakeDisk();
  disk.make("src", "", KIND.directory);
  for (const [path, content] of Object.entries(names)) disk.make(`src/${path}`, content);
  disk.nowSeconds += 100;
  const backups = new FakeBackups(disk);
  backups.run();
  disk.nowSeconds += 100;
  return { disk, backups };
}

/** Index and disk say the same, in both forms. */
function expectExact(run: FakeRun, backups: FakeBackups, disk: FakeDisk): Map<string, Entry> {
  const entries = entriesOf(run.index.cursor());
  const twins = entriesOf(run.twin.cursor());
  expect([...entries.values()].map(entryText)).toEqual([...twins.values()].map(entryText));
  expect([...entries.keys()]).toEqual(disk.sorted());
  for (const [path, entry] of entries) {
    const thing = disk.at(path);
    const seen = disk.entryOf(path);
    seen.flags = entry.flags;
    seen.xattrs = thing.xattrs === null ? null : Buffer.from(thing.xattrs);
    if (thing.kind === KIND.file) {
      expect(backups.contentOf(entry)).toBe(thing.content);
      seen.takeContent(entry);
    }
    expect(entryText(entry)).toBe(entryText(seen));
    const isOld = entry.spanCount > 0 && (entry.spans[0] as number) < run.number;
    if (thing.kind === KIND.file && entry.spanCount > 0)
      expect([path, (entry.flags & FLAG.unchanged) !== 0]).toEqual([path, isOld]);
  }
  return entries;
}

test("TREE-02: a full backup reads everything; the next one, of an unchanged tree, nothing", () => {
  const { disk, backups } = settled({ a: "one", b: "two", empty: "" });
  expect(backups.last.read).toEqual(["src/a", "src/b", "src/empty"]);
  expect([...backups.last.reasons.values()].flat()).toEqual(["full", "full", "full", "full"]);
  expectExact(backups.last, backups, disk);
  const run = backups.run();
  expect(run.isUnchanged).toBe(true);
  expect(run.read).toEqual([]);
  expect(run.counts).toMatchObject({ entries: 4, files: 3, bytes: 6, unchanged: 4, changed: 0, fresh: 0 });
  expectExact(run, backups, disk);
});

test("TREE-02: new, changed, deleted; a new size, and a new name between old ones", () => {
  const { disk, backups } = settled({ a: "one", c: "three", d: "four", z: "last" });
  disk.write("src/a", "ONE");
  disk.write("src/c", "longer than three");
  disk.make("src/b", "two");
  disk.remove("src/d");
  disk.remove("src/z");
  const run = backups.run();
  expect(run.stored).toEqual(["src/a", "src/c", "src/b"]);
  expect(run.counts).toMatchObject({ fresh: 1, changed: 2, deleted: 2, unchanged: 1 });
  expect(run.isUnchanged).toBe(false);
  expectExact(run, backups, disk);
});

test("TREE-02: facts alone change: nothing is stored", () => {
  const { disk, backups } = settled({ a: "one", b: "two" });
  disk.at("src/a").mode = 0o600;
  disk.touch(disk.at("src/a"));
  disk.write("src/b", "two");
  disk.at("src").xattrs = "label";
  disk.touch(disk.at("src"));
  const run = backups.run();
  expect(run.stored).toEqual([]);
  expect(Object.fromEntries(run.reasons)).toEqual({ src: ["ctime"], "src/a": ["ctime"], "src/b": ["mtime"] });
  const entries = expectExact(run, backups, disk);
  expect((entries.get("src/b")?.flags ?? 0) & FLAG.unchanged).toBe(FLAG.unchanged);
});

test("TREE-02: a moved directory's files are neither read nor stored", () => {
  const { disk, backups } = settled({});
  disk.make("src/d", "", KIND.directory);
  for (let file = 0; file < 20; file++) disk.make(`src/d/${file}`, `content ${file}`);
  disk.nowSeconds += 100;
  backups.run();
  disk.nowSeconds += 100;
  disk.rename("src/d", "src/e");
  disk.nowSeconds += 100;
  const run = backups.run();
  expect(run.read).toEqual([]);
  expect(run.counts).toMatchObject({ moved: 20, fresh: 21, deleted: 21 });
  const entries = expectExact(run, backups, disk);
  expect(entries.get("src/e/7")?.flags).toBe(FLAG.moved | FLAG.unchanged);
  // Only said once.
  disk.nowSeconds += 100;
  const next = backups.run();
  expect(next.isUnchanged).toBe(true);
  expect(entriesOf(next.index.cursor()).get("src/e/7")?.flags).toBe(FLAG.unchanged);
});

test("TREE-02: a renamed file is read, and not stored; paranoid reads plain moves, too", () => {
  const { disk, backups } = settled({ a: "one", b: "two" });
  disk.rename("src/a", "src/x");
  const run = backups.run();
  expect([run.read, run.stored, run.counts.moved]).toEqual([["src/x"], [], 1]);
  expectExact(run, backups, disk);
});

test("TREE-02: a swap of two files, and a file renamed over another, store nothing", () => {
  const { disk, backups } = settled({ a: "one", b: "TWO", old: "old text", kept: "kept", other: "other" });
  disk.rename("src/a", "src/t");
  disk.rename("src/b", "src/a");
  disk.rename("src/t", "src/b");
  disk.rename("src/other", "src/old");
  const run = backups.run();
  expect(run.stored).toEqual([]);
  expect(run.counts).toMatchObject({ moved: 3, changed: 3, deleted: 1 });
  expectExact(run, backups, disk);
});

test("TREE-02: a tree that was copied back, all inodes new, is read and not stored", () => {
  const { disk, backups } = settled({ a: "1", b: "two", c: "three" });
  // Inodes come in another order: each file has what was another's.
  const inodes = ["src/b", "src/c", "src/a"].map((path) => disk.at(path).inode);
  for (const [number, path] of ["src/a", "src/b", "src/c"].entries()) {
    disk.at(path).inode = inodes[number] as number;
    disk.touch(disk.at(path));
  }
  const run = backups.run();
  expect([run.read.length, run.stored]).toEqual([3, []]);
  expect(run.counts).toMatchObject({ moved: 0, changed: 3 });
  expectExact(run, backups, disk);
});

test("TREE-02: an inode that is given to another file proves nothing", () => {
  const { disk, backups } = settled({ a: "one", b: "two" });
  const { inode } = disk.at("src/a");
  disk.remove("src/a");
  disk.make("src/new", "NEW").inode = inode;
  const run = backups.run();
  expect([run.stored, run.counts.moved]).toEqual([["src/new"], 0]);
  expectExact(run, backups, disk);
});

test("TREE-02: kinds change both ways, a directory becomes a file", () => {
  const { disk, backups } = settled({ file: "one", link: "x", "deep.txt": "y" });
  disk.make("src/deep", "", KIND.directory);
  disk.make("src/deep/in", "inside");
  disk.nowSeconds += 100;
  backups.run();
  disk.nowSeconds += 100;
  disk.remove("src/deep");
  disk.make("src/deep", "now a file");
  disk.remove("src/file");
  disk.make("src/file", "", KIND.directory);
  disk.make("src/file/in", "one");
  disk.remove("src/link");
  disk.make("src/link", "file", KIND.symlink);
  const run = backups.run();
  expect(run.reasons.get("src/deep")).toEqual(["kind"]);
  expectExact(run, backups, disk);
});

test("TREE-02: a file of several names is read once", () => {
  const { disk, backups } = settled({ a: "one", z: "zed" });
  disk.link("src/a", "src/b");
  disk.link("src/a", "src/c");
  disk.at("src/a").xattrs = "label";
  let run = backups.run();
  expect([run.read, run.stored]).toEqual([["src/a"], []]);
  expectExact(run, backups, disk);
  disk.nowSeconds += 100;
  disk.write("src/b", "uno, which is longer");
  run = backups.run();
  expect([run.read, run.stored]).toEqual([["src/a"], ["src/a"]]);
  expectExact(run, backups, disk);
  disk.nowSeconds += 100;
  disk.remove("src/a");
  run = backups.run();
  expect([run.read, run.stored]).toEqual([["src/b"], []]);
  expectExact(run, backups, disk);
});

test("TREE-02: all names of a file have what was read under one, though it grew since the scan", () => {
  const { disk, backups } = settled({ a: "one" });
  disk.link("src/a", "src/b");
  const run = backups.run({ between: () => disk.write("src/a", "grown since") });
  expectExact(run, backups, disk);
});

test("TREE-02: a file whose first name is gone, or another file's, is read under the next", () => {
  for (const replaced of [false, true]) {
    const { disk, backups } = settled({ z: "zed" });
    disk.make("src/a", "one");
    for (const name of ["b", "c"]) disk.link("src/a", `src/${name}`);
    const run = backups.run({
      between: () => {
        disk.remove("src/a");
        if (!replaced) return;
        disk.make("src/a", "new");
        disk.link("src/a", "src/zz");
      },
    });
    expect(run.read).toEqual(replaced ? ["src/a", "src/b"] : ["src/b"]);
    expect(run.complaints).toEqual([]);
    const entries = entriesOf(run.index.cursor());
    expect(entries.has("src/a")).toBe(replaced);
    for (const name of ["src/b", "src/c"]) {
      const entry = entries.get(name) as Entry;
      expect([entry.flags, backups.contentOf(entry)]).toEqual([0, "one"]);
    }
    disk.nowSeconds += 100;
    expectExact(backups.run(), backups, disk);
  }
});

test("TREE-02: where no name leads to it any more, the last backup's content is kept, flagged and read next time", () => {
  const { disk, backups } = settled({ a: "one", y: "yes" });
  disk.link("src/a", "src/b");
  backups.run();
  disk.nowSeconds += 100;
  disk.write("src/a", "two!");
  disk.make("src/w", "two");
  disk.link("src/w", "src/x");
  const run = backups.run({
    between: () => {
      disk.remove("src/a");
      disk.remove("src/w");
    },
    careless: true,
  });
  const entries = entriesOf(run.index.cursor());
  const [b, x] = [entries.get("src/b") as Entry, entries.get("src/x") as Entry];
  expect([backups.contentOf(b), b.sizeBytes, b.flags]).toEqual(["one", 3, FLAG.unreadable | FLAG.unchanged]);
  expect([backups.contentOf(x), x.flags]).toEqual([null, FLAG.unreadable]);
  expect(run.complaints).toHaveLength(2);
  expect(run.counts).toMatchObject({ vanished: 2, unreadable: 2 });
  disk.nowSeconds += 100;
  expectExact(backups.run(), backups, disk);
});

test("TREE-02: what vanishes before it is read is not in the backup", () => {
  const { disk, backups } = settled({ a: "one", b: "two" });
  disk.write("src/a", "changed");
  disk.make("src/c", "new");
  const run = backups.run({
    between: () => {
      disk.remove("src/a");
      disk.remove("src/c");
    },
  });
  expect(run.counts).toMatchObject({ vanished: 2, deleted: 1, fresh: 0, unchanged: 2 });
  expectExact(run, backups, disk);
});

test("TREE-02: what cannot be read keeps the last backup's content, and is read again", () => {
  const { disk, backups } = settled({ a: "one", b: "two" });
  disk.write("src/a", "changed");
  disk.make("src/new", "new");
  disk.rename("src/b", "src/c");
  const locked = ["src/a", "src/new", "src/c"];
  const run = backups.run({ locked });
  const entries = entriesOf(run.index.cursor());
  const facts = locked.map((path) => {
    const entry = entries.get(path) as Entry;
    return [backups.contentOf(entry), entry.flags];
  });
  expect(facts).toEqual([
    ["one", FLAG.unreadable | FLAG.unchanged],
    [null, FLAG.unreadable],
    [null, FLAG.unreadable],
  ]);
  expect(run.counts.unreadable).toBe(3);
  disk.nowSeconds += 100;
  const still = backups.run({ locked });
  expect(still.counts).toMatchObject({ unreadable: 3, unchanged: 4, changed: 0 });
  disk.nowSeconds += 100;
  expectExact(backups.run(), backups, disk);
});

test("TREE-02: what the scan could not look at is not deleted", () => {
  const { disk, backups } = settled({ a: "one", "d.txt": "not in d", z: "zed" });
  disk.make("src/d", "", KIND.directory);
  disk.make("src/d/in", "inside");
  disk.make("src/d/gone", "goes later");
  disk.make("src/d/e", "", KIND.directory);
  disk.make("src/d/e/deep", "deep");
  disk.nowSeconds += 100;
  backups.run();
  disk.nowSeconds += 100;
  disk.remove("src/z");
  disk.remove("src/d/gone");
  const blind = ["src/d", "src/a"];
  const run = backups.run({ blind });
  const entries = entriesOf(run.index.cursor());
  expect([...entries.keys()]).toEqual([
    "src",
    "src/a",
    "src/d",
    "src/d/e",
    "src/d/e/deep",
    "src/d/gone",
    "src/d/in",
    "src/d.txt",
  ]);
  for (const [path, content] of [
    ["src/a", "one"],
    ["src/d/in", "inside"],
    ["src/d/e/deep", "deep"],
  ] as const) {
    const entry = entries.get(path) as Entry;
    expect([backups.contentOf(entry), entry.flags]).toEqual([content, FLAG.unreadable | FLAG.unchanged]);
  }
  expect((entries.get("src/d")?.flags ?? 0) & FLAG.unreadable).toBe(FLAG.unreadable);
  expect(run.counts).toMatchObject({ deleted: 1, changed: 5, unreadable: 4, vanished: 0 });
  expect([...entriesOf(run.twin.cursor()).values()].map(entryText)).toEqual(
    [...entries.values()].map(entryText),
  );
  disk.nowSeconds += 100;
  expect(backups.run({ blind }).counts).toMatchObject({ deleted: 0, changed: 0, unreadable: 4 });
  disk.nowSeconds += 100;
  const seen = backups.run();
  expect([seen.stored, seen.counts.deleted]).toEqual([[], 1]);
  expectExact(seen, backups, disk);
});

test("unseen is what an error names, and all below; with errors that nobody listed, anything", () => {
  const path = (text: string) => new Uint8Array(Buffer.from(text));
  const unseen = new Unseen([{ path: path("a/b"), text: "" }]);
  const has = (text: string) => unseen.has(path(text), text.length);
  expect(["a/b", "a/b/c", "a/b/c/d"].map(has)).toEqual([true, true, true]);
  expect(["a", "a/bc", "a/c", "b", ""].map(has)).toEqual([false, false, false, false, false]);
  expect(new Unseen([]).has(path("a"), 1)).toBe(false);
  expect(new Unseen([], 1).has(path("a"), 1)).toBe(true);
  expect(new Unseen([{ path: path(""), text: "" }]).has(path("a"), 1)).toBe(true);
});

test("TREE-02: rot is told from change, and the good copy stays", () => {
  const { disk, backups } = settled({ a: "one", b: "two" });
  disk.at("src/a").content = "0ne";
  expect(backups.run().isUnchanged).toBe(true);
  const run = backups.run({ judging: { paranoid: true } });
  expect(run.counts).toMatchObject({ rotten: 1, changed: 1, unchanged: 2 });
  const rotten = entriesOf(run.index.cursor()).get("src/a") as Entry;
  expect(backups.contentOf(rotten)).toBe("one");
  expect(rotten.flags).toBe(FLAG.rotten | FLAG.unchanged);
});

test("TREE-02: what is written in the moment of a backup, with no new times, is in the next", () => {
  const disk = new FakeDisk();
  disk.make("a", "one");
  const backups = new FakeBackups(disk);
  backups.run();
  disk.at("a").content = "two";
  const run = backups.run();
  expect(run.reasons.get("a")).toEqual(["racy"]);
  expectExact(run, backups, disk);
});

test("TREE-02: where inode numbers are made up, they are neither change nor move", () => {
  const { disk, backups } = settled({ a: "one", b: "two" });
  const [a, b] = [disk.at("src/a"), disk.at("src/b")];
  [a.inode, b.inode] = [b.inode, a.inode];
  expect(backups.run({ judging: { trustInode: false } }).isUnchanged).toBe(true);
  disk.rename("src/a", "src/c");
  const run = backups.run({ judging: { trustInode: false } });
  expect([run.read, run.stored, run.counts.moved]).toEqual([["src/c"], ["src/c"], 0]);
});

test("a salvaged file is not read; its other names have its content", () => {
  const { disk, backups } = settled({ a: "one" });
  disk.write("src/a", "two");
  disk.link("src/a", "src/b");
  const content = entriesOf(backups.last.index.cursor()).get("src/a") as Entry;
  const run = backups.run({
    salvage: {
      contentOf(entry) {
        entry.takeContent(content);
        return true;
      },
    },
  });
  expect(run.read).toEqual([]);
  const entries = entriesOf(run.index.cursor());
  expect([...entries.values()].map((entry) => backups.contentOf(entry))).toEqual([null, "one", "one"]);
});

test("TREE-02: random trees, edits, moves, races and blind spots: each backup is what the disk was", () => {
  for (let seed = 1; seed <= 60; seed++) play(seed);
}, 20_000);

function play(seed: number): void {
  const dice = new Dice(seed);
  const disk = new FakeDisk();
  const backups = new FakeBackups(disk);
  const edits = new RandomEdits(dice, disk);
  for (let edit = 0; edit < 40; edit++) edits.one();
  for (let round = 0; round < 8; round++) {
    const paranoid = dice.chance(0.1);
    const parent = backups.runs.at(-1);
    if (dice.chance(0.2)) {
      // Whatever happens while it runs: the next one is exact, and this one holds nothing that never was.
      const before = contents(disk);
      const things = new Map(disk.names);
      const blind = dice.chance(0.5) ? [...disk.names.keys()].filter(() => dice.chance(0.1)) : [];
      const run = backups.run({ blind, between: () => edits.some(5), judging: { paranoid } });
      const after = contents(disk);
      for (const [path, entry] of entriesOf(run.index.cursor())) {
        const content = backups.contentOf(entry);
        // As it was, as the name is now, or as the file is now that had the name.
        const possible = [before.get(path), after.get(path), things.get(path)?.content];
        const isPossible = possible.includes(content ?? "");
        if (content !== null && (entry.flags & FLAG.unreadable) === 0)
          expect([seed, path, isPossible]).toEqual([seed, path, true]);
      }
      edits.racy();
    } else {
      const run = backups.run({ judging: { paranoid } });
      expectExact(run, backups, disk);
      expectCounted(run, parent);
      expectThrifty(run, parent);
    }
    disk.nowSeconds += dice.below(10);
    edits.some(12);
  }
}

const contents = (disk: FakeDisk) => new Map([...disk.names].map(([path, thing]) => [path, thing.content]));

/** What an index says of an entry but for flags. */
const factsOf = (entry: Entry) => entryText(entry).replace(/ flags \d+/, "");

function expectCounted(run: FakeRun, parent: FakeRun | undefined): void {
  const now = entriesOf(run.index.cursor());
  const then = parent === undefined ? new Map<string, Entry>() : entriesOf(parent.index.cursor());
  const lasting = (entry: Entry) => entry.flags & ~(FLAG.unchanged | FLAG.moved);
  const isSame = (path: string, entry: Entry) => {
    const old = then.get(path);
    return old !== undefined && factsOf(old) === factsOf(entry) && lasting(old) === lasting(entry);
  };
  const files = [...now.values()].filter(({ kind }) => kind === KIND.file);
  const unchanged = [...now].filter(([path, entry]) => isSame(path, entry)).length;
  const fresh = [...now.keys()].filter((path) => !then.has(path)).length;
  expect(run.counts).toMatchObject({
    entries: now.size,
    files: files.length,
    bytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    unchanged,
    fresh,
    changed: now.size - unchanged - fresh,
    deleted: [...then.keys()].filter((path) => !now.has(path)).length,
    vanished: 0,
  });
  if (run.isUnchanged) expect(unchanged).toBe(then.size);
}

/** Nothing is stored that the parent has in the same file. */
function expectThrifty(run: FakeRun, parent: FakeRun | undefined): void {
  if (parent === undefined) return;
  const then = entriesOf(parent.index.cursor());
  const now = entriesOf(run.index.cursor());
  for (const path of run.stored) {
    const [was, is] = [then.get(path), now.get(path)];
    if (was?.hasContent !== true || is === undefined || was.inodeLow !== is.inodeLow) continue;
    expect([path, Buffer.compare(was.sha256, is.sha256)]).not.toEqual([path, 0]);
  }
}

class RandomEdits {
  readonly #dice: Dice;
  readonly #disk: FakeDisk;

  constructor(dice: Dice, disk: FakeDisk) {
    this.#dice = dice;
    this.#disk = disk;
  }

  some(most: number): void {
    for (let left = this.#dice.below(most + 1); left > 0; left--) this.one();
  }

  /** New bytes of the same length and no new times, where a clock is too coarse to tell. */
  racy(): void {
    for (const thing of this.#disk.names.values()) {
      const isFresh = Math.max(thing.mtime, thing.ctime) >= this.#disk.nowSeconds - 2;
      if (isFresh && thing.kind === KIND.file && this.#dice.chance(0.5))
        thing.content = this.#text(thing.content.length);
    }
  }

  one(): void {
    const dice = this.#dice;
    const disk = this.#disk;
    if (dice.chance(0.3)) disk.nowSeconds += dice.below(6);
    const files = this.#all(KIND.file);
    const path = this.#pick(files);
    const any = this.#pick([...disk.names.keys()]);
    const what = dice.below(12);
    if (path === undefined || any === undefined || what < 3) this.#make();
    else if (what === 3) disk.write(path, this.#text(dice.below(6)));
    else if (what === 4) {
      // Sneaky: same size, time put back.
      const { content, mtime } = disk.at(path);
      disk.write(path, this.#text(content.length));
      disk.at(path).mtime = mtime;
    } else if (what === 5) {
      disk.at(any).mode = dice.below(0o1000);
      disk.touch(disk.at(any));
    } else if (what === 6) disk.remove(any);
    else if (what === 7) this.#rename(any);
    else if (what === 8) this.#swap(path, this.#pick(files) ?? path);
    else if (what === 9) this.#link(path);
    else if (what === 10) {
      disk.at(any).xattrs = dice.chance(0.3) ? null : this.#text(3);
      disk.touch(disk.at(any));
    } else {
      // Another file, in the same place and of the same size and time, maybe with an inode that was another's.
      const { content, mtime } = disk.at(path);
      disk.remove(path);
      disk.make(path, dice.chance(0.5) ? content : this.#text(content.length)).mtime = mtime;
    }
  }

  #text(bytes: number): string {
    return Array.from({ length: bytes }, () => "abc"[this.#dice.below(3)]).join("");
  }

  #all(kind: number): string[] {
    return [...this.#disk.names].filter(([, thing]) => thing.kind === kind).map(([path]) => path);
  }

  #pick(list: readonly string[]): string | undefined {
    return list[this.#dice.below(list.length)];
  }

  #freeName(): string {
    const directory = this.#dice.chance(0.3) ? undefined : this.#pick(this.#all(KIND.directory));
    const name = "ab.-"[this.#dice.below(2)] + this.#text(this.#dice.below(3));
    const path = directory === undefined ? name : `${directory}/${name}`;
    return this.#disk.names.has(path) ? `${path}_${this.#dice.below(1e9)}` : path;
  }

  #make(): void {
    const path = this.#freeName();
    const kind = this.#dice.below(8);
    if (kind === 0) this.#disk.make(path, this.#text(4), KIND.symlink);
    else if (kind === 1) this.#disk.make(path, "", KIND.fifo);
    else if (kind < 4) this.#disk.make(path, "", KIND.directory);
    else this.#disk.make(path, this.#text(this.#dice.below(6)));
  }

  #rename(from: string): void {
    const to = this.#dice.chance(0.3) ? this.#pick(this.#all(this.#disk.at(from).kind)) : this.#freeName();
    if (to === undefined || to === from || to.startsWith(`${from}/`) || from.startsWith(`${to}/`)) return;
    this.#disk.rename(from, to);
  }

  #swap(a: string, b: string): void {
    const [one, other] = [this.#disk.at(a), this.#disk.at(b)];
    this.#disk.names.set(a, other);
    this.#disk.names.set(b, one);
    this.#disk.touch(one);
    this.#disk.touch(other);
  }

  #link(from: string): void {
    this.#disk.link(from, this.#freeName());
  }
}
