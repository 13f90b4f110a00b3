/** @module Edits that hide: each is in the next micro backup (TREE-02, TREE-06). */
import { expect, test } from "bun:test";
import {
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  lutimesSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { Laboratory } from "./tree-maker/laboratory.ts";

/** Longer than the racy rule's 3 s: what was written before is trusted, as after any night. */
const SETTLED_MS = 3200;
const LONG_AGO = new Date("2024-01-01T00:00:00.123Z");
const WITHIN_MS = 30_000;

interface Trick {
  readonly name: string;
  readonly prepare: (dir: string) => void;
  readonly play: (dir: string) => void;
  /** Contents afterwards, by path; null: not there. */
  readonly expected: Readonly<Record<string, string | null>>;
}

const put = (path: string, text: string) => {
  writeFileSync(path, text);
  utimesSync(path, LONG_AGO, LONG_AGO);
};

const TRICKS: readonly Trick[] = [
  {
    name: "same size, mtime put back",
    prepare: (dir) => put(join(dir, "edit"), "aaaaaaaa"),
    play: (dir) => {
      const { atime, mtime } = statSync(join(dir, "edit"));
      writeFileSync(join(dir, "edit"), "AAAAAAAA");
      utimesSync(join(dir, "edit"), atime, mtime);
    },
    expected: { edit: "AAAAAAAA" },
  },
  {
    name: "same size and mtime by a rename over it",
    prepare: (dir) => put(join(dir, "over"), "bbbbbbbb"),
    play: (dir) => {
      put(join(dir, "new"), "BBBBBBBB");
      renameSync(join(dir, "new"), join(dir, "over"));
    },
    expected: { over: "BBBBBBBB", new: null },
  },
  {
    name: "rename over it by a file that is as old as it",
    prepare: (dir) => {
      put(join(dir, "kept"), "cccccccc");
      put(join(dir, "other"), "CCCCCCCC");
    },
    play: (dir) => renameSync(join(dir, "other"), join(dir, "kept")),
    expected: { kept: "CCCCCCCC", other: null },
  },
  {
    name: "two files swapped",
    prepare: (dir) => {
      put(join(dir, "one"), "1111");
      put(join(dir, "two"), "2222");
    },
    play: (dir) => {
      renameSync(join(dir, "one"), join(dir, "between"));
      renameSync(join(dir, "two"), join(dir, "one"));
      renameSync(join(dir, "between"), join(dir, "two"));
    },
    expected: { one: "2222", two: "1111", between: null },
  },
  {
    name: "two directories swapped, with files of the same names, sizes and times",
    prepare: (dir) => {
      for (const name of ["left", "right"]) {
        mkdirSync(join(dir, name));
        put(join(dir, name, "file"), name.padEnd(5));
        utimesSync(join(dir, name), LONG_AGO, LONG_AGO);
      }
    },
    play: (dir) => {
      renameSync(join(dir, "left"), join(dir, "middle"));
      renameSync(join(dir, "right"), join(dir, "left"));
      renameSync(join(dir, "middle"), join(dir, "right"));
    },
    expected: { "left/file": "right", "right/file": "left ", "middle/file": null },
  },
  {
    name: "a file replaced by a directory, and a directory by a file",
    prepare: (dir) => {
      put(join(dir, "becomes-dir"), "file");
      mkdirSync(join(dir, "becomes-file"));
      put(join(dir, "becomes-file", "inside"), "inside");
    },
    play: (dir) => {
      rmSync(join(dir, "becomes-dir"));
      mkdirSync(join(dir, "becomes-dir"));
      put(join(dir, "becomes-dir", "new"), "new");
      rmSync(join(dir, "becomes-file"), { recursive: true });
      put(join(dir, "becomes-file"), "file");
    },
    expected: { "becomes-dir/new": "new", "becomes-file": "file", "becomes-file/inside": null },
  },
  {
    name: "a file replaced by a link to another of the same content, size and time",
    prepare: (dir) => {
      put(join(dir, "target"), "same");
      put(join(dir, "linked"), "same");
    },
    play: (dir) => {
      rmSync(join(dir, "linked"));
      symlinkSync("target", join(dir, "linked"));
      lutimesSync(join(dir, "linked"), LONG_AGO, LONG_AGO);
    },
    expected: { linked: "same", target: "same" },
  },
  {
    name: "a file goes and another comes at its inode, if the file system gives it again",
    prepare: (dir) => put(join(dir, "gone"), "dddddddd"),
    play: (dir) => {
      rmSync(join(dir, "gone"));
      put(join(dir, "come"), "DDDDDDDD");
    },
    expected: { gone: null, come: "DDDDDDDD" },
  },
];

for (const settled of [false, true]) {
  const when = settled ? "long after the backup before" : "in the same second as the backup before";
  test(
    `TREE-02: sneaky edits, ${when}, are all in the next micro backup`,
    async () => {
      const laboratory = await Laboratory.open("sneaky");
      try {
        const { source } = laboratory;
        mkdirSync(source);
        for (const { prepare } of TRICKS) prepare(source);
        if (settled) await Bun.sleep(SETTLED_MS);
        await laboratory.backup({ level: "monthly" });
        for (const { play } of TRICKS) play(source);
        const { node } = await laboratory.backup({ level: "micro" });
        expect(node.parent).toBe(1);
        for (const id of [node.number, 1]) {
          await laboratory.restored(id, null, async (dest) => {
            for (const { name, expected } of id === 1 ? [] : TRICKS)
              for (const [path, text] of Object.entries(expected))
                expect(`${name}: ${path}: ${contentOf(join(dest, path))}`).toBe(`${name}: ${path}: ${text}`);
            if (id === 1) expect(contentOf(join(dest, "edit"))).toBe("aaaaaaaa");
          });
        }
      } finally {
        laboratory.close();
      }
    },
    WITHIN_MS,
  );
}

test(
  "TREE-02: a file edited again and again within one second is in each micro backup as it was",
  async () => {
    const laboratory = await Laboratory.open("sneaky");
    try {
      const path = join(laboratory.source, "counter");
      mkdirSync(laboratory.source);
      const texts = ["00000000", "11111111", "22222222", "33333333"];
      for (const text of texts) {
        put(path, text);
        await laboratory.backup({ level: text === texts[0] ? "monthly" : "micro" });
      }
      for (const [n, text] of texts.entries())
        await laboratory.restored(n + 1, null, async (dest) => {
          expect(contentOf(join(dest, "counter"))).toBe(text);
        });
    } finally {
      laboratory.close();
    }
  },
  WITHIN_MS,
);

function contentOf(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
