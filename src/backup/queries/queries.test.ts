/** @module Questions about a tree, answered as plain maps of what each backup holds would answer them. */
import { describe, expect, test } from "bun:test";
import { isMalformed } from "../../base/brands.ts";
import type { Index } from "../index/lookup.ts";
import { Dice } from "../index/random-entries.ts";
import { addTo, changeOf, differencesOf, noTotals } from "./diff.ts";
import { findPaths } from "./find.ts";
import { type PathPattern, parsePattern } from "./glob.ts";
import { type Holding, TreeInMemory } from "./testing.ts";
import { type VersionsAnswer, versionsOf } from "./versions.ts";

const bytes = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));
const text = (path: Uint8Array) => Buffer.from(path).toString("latin1");

function pattern(of: string, ignoreCase = false): PathPattern {
  const parsed = parsePattern(of, { ignoreCase });
  if (isMalformed(parsed)) throw new Error(parsed.expected);
  return parsed;
}

/** "1-3:5 4:gone 5:7": what which backups hold. */
function shown({ versions }: Pick<VersionsAnswer, "versions">): string {
  return versions
    .map(({ facts, backups }) => {
      const numbers = backups.map(({ number }) => number);
      const span = numbers.length === 1 ? `${numbers[0]}` : `${numbers[0]}-${numbers.at(-1)}`;
      return `${span}:${facts === null ? "gone" : facts.sizeBytes}`;
    })
    .join(" ");
}

/** The same, from the maps. */
function expected(tree: TreeInMemory, path: string): string {
  const runs: { from: number; to: number; what: number | undefined }[] = [];
  for (const { number } of tree.backups) {
    const what = tree.holdingOf(number).get(path);
    const last = runs.at(-1);
    if (last !== undefined && last.what === what) last.to = number;
    else if (last !== undefined || what !== undefined) runs.push({ from: number, to: number, what });
  }
  return runs
    .map(({ from, to, what }) => `${from === to ? from : `${from}-${to}`}:${what ?? "gone"}`)
    .join(" ");
}

function edited(holding: Holding, dice: Dice): Holding {
  const next = new Map(holding);
  for (let edits = dice.below(4); edits > 0; edits--) {
    const path = dice.chance(0.5)
      ? `home/d${dice.below(3)}/f${dice.below(20)}`
      : ([...next.keys()][dice.below(next.size)] ?? "home");
    if (dice.chance(0.3)) next.delete(path);
    else next.set(path, 1 + dice.below(1000));
  }
  return next;
}

/** A tree of random backups with parents anywhere before, some of them pared. */
function randomTree(seed: number, backups: number): TreeInMemory {
  const dice = new Dice(seed);
  const tree = new TreeInMemory();
  let holding: Holding = new Map([
    ["home", 10],
    ["home/d1", 20],
    ["home/d1/f1", 1],
    ["home/\xff\x01", 3],
  ]);
  for (let number = 1; number <= backups; number++) {
    holding = edited(holding, dice);
    const parent =
      number === 1 || dice.chance(0.05) ? null : number - 1 - dice.below(Math.min(number - 1, 3));
    tree.add(holding, parent, parent === null || dice.chance(0.2));
  }
  for (let number = 1; number < backups; number++) if (dice.chance(0.2)) tree.pare(number);
  return tree;
}

describe("versions", () => {
  test("TREE-18: what was lost at 13:20 is found in the micro backup of 13:15", () => {
    const tree = new TreeInMemory();
    const day = Date.UTC(2026, 10, 20);
    const at = (hour: number, minute: number) => day + (hour * 60 + minute) * 60_000;
    const holding = new Map([["home", 10]]);
    for (let file = 0; file < 500; file++) holding.set(`home/f${file}`, 7);
    tree.add(holding, null, true, at(0, 0));
    // Every 15 minutes; somebody writes the report at 09:07, 11:40 and 13:02, and loses it at 13:20.
    const written = new Map([
      [at(9, 7), 101],
      [at(11, 40), 102],
      [at(13, 2), 103],
    ]);
    let report: number | undefined;
    for (let ms = at(0, 15); ms <= at(15, 0); ms += 15 * 60_000) {
      for (const [when, what] of written) if (when > ms - 15 * 60_000 && when <= ms) report = what;
      if (ms > at(13, 20)) report = undefined;
      const now = new Map(holding);
      now.set("home/busy", ms / 1000);
      if (report !== undefined) now.set("home/report", report);
      tree.add(now, tree.backups.length, false, ms);
    }
    const answer = versionsOf(tree, bytes("home/report"));
    const lost = answer.versions.at(-1);
    expect(lost?.facts).toBeNull();
    expect(new Date(lost?.backups.at(0)?.atMs ?? 0).toISOString()).toBe("2026-11-20T13:30:00.000Z");
    const found = answer.versions.at(-2);
    expect(found?.facts?.sizeBytes).toBe(103);
    expect(new Date(found?.backups.at(-1)?.atMs ?? 0).toISOString()).toBe("2026-11-20T13:15:00.000Z");
    expect(answer.versions.map(({ facts }) => facts?.sizeBytes)).toEqual([101, 102, 103, undefined]);
    // The full, and one index for each change, of 61.
    expect(answer.opened).toBe(5);
  });

  test("TREE-18: random trees, pared here and there: every path as the backups hold it", () => {
    for (let seed = 1; seed <= 15; seed++) {
      const tree = randomTree(seed, 40);
      const paths = new Set(tree.backups.flatMap(({ number }) => [...tree.holdingOf(number).keys()]));
      for (const path of [...paths, "home/never", ""]) {
        const answer = versionsOf(tree, bytes(path));
        expect(shown(answer)).toBe(expected(tree, path));
        expect(answer.faults).toEqual([]);
      }
    }
  });

  test("TREE-18: a damaged index hides its own backup and no other that does not need it", () => {
    const tree = new TreeInMemory();
    tree.add(new Map([["a", 1]]), null, true);
    tree.add(new Map([["a", 2]]), 1, false);
    tree.add(new Map([["a", 3]]), 2, true);
    tree.add(new Map([["a", 3]]), 3, false);
    tree.damage(2);
    const answer = versionsOf(tree, bytes("a"));
    expect(shown(answer)).toBe("1:1 3-4:3");
    expect(answer.faults.map(({ backup }) => backup.number)).toEqual([2]);
  });
});

describe("diff", () => {
  test("TREE-18: any two backups of random trees differ as the maps do", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const tree = randomTree(100 + seed, 12);
      const numbers = tree.backups.map(({ number }) => number);
      for (const a of numbers) {
        for (const b of numbers) {
          const found = [
            ...differencesOf((tree.indexOf(a) as Index).cursor(), (tree.indexOf(b) as Index).cursor()),
          ];
          const [was, is] = [tree.holdingOf(a), tree.holdingOf(b)];
          const paths = [...new Set([...was.keys(), ...is.keys()])].filter(
            (path) => was.get(path) !== is.get(path),
          );
          expect(new Set(found.map(({ path }) => text(path)))).toEqual(new Set(paths));
          for (const { path, before, after } of found) {
            expect(before?.sizeBytes).toBe(was.get(text(path)) as number);
            expect(after?.sizeBytes).toBe(is.get(text(path)) as number);
          }
        }
      }
    }
  });

  test("tells what came, what went, what changed", () => {
    const tree = new TreeInMemory();
    tree.add(
      new Map([
        ["a", 1],
        ["b", 2],
        ["c", 3],
        ["d", 40],
        ["e", 5],
      ]),
      null,
      true,
    );
    tree.add(
      new Map([
        ["a", 1],
        ["b", 22],
        ["d", 50],
        ["e", 60],
        ["f", 7],
      ]),
      1,
      false,
    );
    const totals = noTotals();
    const lines = [];
    const [before, after] = [tree.indexOf(1) as Index, tree.indexOf(2) as Index];
    for (const difference of differencesOf(before.cursor(), after.cursor())) {
      addTo(totals, difference);
      lines.push(`${changeOf(difference)} ${text(difference.path)} ${difference.aspects}`);
    }
    expect(lines).toEqual([
      "changed b content,mtime",
      "removed c ",
      "touched d mtime",
      "changed e kind,content,mtime,mode",
      "added f ",
    ]);
    expect(totals).toEqual({
      added: 1,
      removed: 1,
      changed: 2,
      touched: 1,
      addedBytes: 7,
      removedBytes: 3,
      changedBytes: 22,
    });
  });
});

describe("find", () => {
  test("TREE-18: random trees: all paths of any backup that match, each with its versions", () => {
    for (let seed = 1; seed <= 15; seed++) {
      const tree = randomTree(200 + seed, 30);
      const paths = new Set(tree.backups.flatMap(({ number }) => [...tree.holdingOf(number).keys()]));
      for (const glob of ["f1*", "/home/d1/**", "*", "d?", "nothing"]) {
        const wanted = pattern(glob);
        tree.opened = 0;
        const answer = findPaths(tree, { pattern: wanted, kind: null, pathsMax: 1000 });
        const found = [...answer.findings];
        expect(found.map(({ path }) => text(path)).sort()).toEqual(
          [...paths].filter((path) => wanted.matches(bytes(path), path.length)).sort(),
        );
        for (const finding of found) expect(shown(finding)).toBe(expected(tree, text(finding.path)));
        expect([answer.more, answer.faults]).toEqual([false, []]);
      }
    }
  });

  test("by kind; no more than asked for; a damaged archive is told", () => {
    const tree = randomTree(300, 10);
    const all = { pattern: pattern("*"), kind: null, pathsMax: 1000 };
    for (const { versions } of findPaths(tree, { ...all, kind: "directory" }).findings) {
      expect(versions.some(({ facts }) => facts?.kind === "directory")).toBe(true);
    }
    expect(findPaths(tree, { ...all, pathsMax: 2 }).more).toBe(true);
    tree.damage(10);
    expect(findPaths(tree, all).faults.map(({ number }) => number)).toEqual([10]);
  });
});

describe("patterns", () => {
  test.each([
    ["*.conf", "etc/host.conf etc/a/b.conf .conf", "etc/host.conf/x etc/hostconf"],
    ["host?", "etc/hosts a/host\xc3\xa4", "etc/host etc/hosts2"],
    ["host\u00e4", "host\xc3\xa4", "hosta"],
    ["/etc/*.conf", "etc/host.conf", "etc/a/b.conf usr/etc/a.conf"],
    ["etc/*.conf", "etc/host.conf usr/etc/a.conf", "etc/a/b.conf petc/a.conf"],
    ["/etc/**/*.conf", "etc/a.conf etc/a/b.conf etc/a/b/c.conf", "etc.conf usr/etc/a.conf"],
    ["/home/**", "home/a home/a/b", "home homes/a"],
    ["/home/**/b/", "home/b home/a/b home/a/c/b", "home/ab"],
    ["**/b", "b a/b a/c/b", "ab a/bb"],
    ["a**b", "ab acb x/a1b", "acbd a1bx"],
    ["[a-c]x", "ax bx d/cx", "dx Ax"],
    ["[!a-c]x", "dx", "ax x"],
    ["[]x]", "] x", "y"],
    ["[\u00e0-\u00ff]", "\xc3\xa4", "a"],
    ["a\\*", "a*", "ab"],
    ["[ab", "[ab", "a"],
    ["*.{c,h}", "a.c a/b.h", "a.x"],
    ["{a,b{c,d}}x", "ax bcx bdx", "bx cx"],
    ["{a}", "{a}", "a"],
    ["*a*b*c*", "abc xaxbxcx", "acb"],
    ["/", "", "a"],
  ])("%s", (glob, fits, not) => {
    if (glob === "/") {
      expect(isMalformed(parsePattern(glob))).toBe(true);
      return;
    }
    const parsed = pattern(glob);
    for (const path of fits.split(" "))
      expect([path, parsed.matches(bytes(path), path.length)]).toEqual([path, true]);
    for (const path of not.split(" "))
      expect([path, parsed.matches(bytes(path), path.length)]).toEqual([path, false]);
  });

  test("without regard to case", () => {
    expect(pattern("READ*.[a-z]D", true).matches(bytes("x/ReadMe.mD"), 11)).toBe(true);
    expect(pattern("readme").matches(bytes("README"), 6)).toBe(false);
  });

  test("take no more time than both lengths make", () => {
    const long = bytes(`${"a".repeat(4000)}b`);
    const started = performance.now();
    expect(pattern(`/${"**a".repeat(40)}c`).matches(long, long.length)).toBe(false);
    expect(pattern(`${"*a".repeat(40)}c`).matches(long, long.length)).toBe(false);
    expect(performance.now() - started).toBeLessThan(500);
    expect(isMalformed(parsePattern("{a,b}".repeat(9)))).toBe(true);
    expect(isMalformed(parsePattern(""))).toBe(true);
  });
});
