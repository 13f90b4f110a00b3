import { afterAll, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  openSync,
  writeSync,
  closeSync,
} from "node:fs";
import { AT_FDCWD, CPath, Statx } from "../../src/base/files.ts";
import { NOTHING_SPARED } from "../../src/backup/restore/extra.ts";
import { selectPaths } from "../../src/backup/restore/select.ts";
import { isMalformed } from "../../src/base/brands.ts";
import type { RestoreReport } from "../../src/backup/restore/restore.ts";
import { join } from "node:path";
import { archiveIn, backUp, describeTree, restoreTo } from "../../src/backup/restore/testing.ts";
import { removeTree, SOME_ACL, TreeMaker } from "./restore-tree.ts";

const top = mkdtempSync("/dev/shm/understudy-restore-");
afterAll(() => removeTree(top));
let folders = 0;
const folder = () => {
  const path = join(top, String(++folders));
  mkdirSync(path);
  return path;
};

const root = process.getuid?.() === 0;

test.if(root)(
  "TREE-13: every kind, attribute, name and depth comes back; a second time it is all there",
  async () => {
    const home = folder();
    const source = join(home, "src");
    new TreeMaker().make(source);
    const backup = backUp([source], archiveIn(home));
    const target = join(home, "dst");
    const report = await restoreTo(backup, target);
    expect(report.issues.map(({ path, text }) => `${Buffer.from(path)}: ${text}`)).toEqual([]);
    expect(report.outcome).toBe("done");
    expect(describeTree(target)).toEqual(describeTree(source));
    for (const policy of ["never", "if-changed", "if-newer", "always"] as const) {
      const again = await restoreTo(backup, target, {
        policy,
        paranoid: policy === "if-changed",
        delete: NOTHING_SPARED,
      });
      expect(again.issues.map(({ path, text }) => `${Buffer.from(path)}: ${text}`)).toEqual([]);
      expect(again.deleted).toBe(0);
      expect(describeTree(target)).toEqual(describeTree(source));
    }
  },
);

/** A small tree: a/{one,two,deep/three}, b/four, five. */
function smallTree(): { home: string; source: string } {
  const home = folder();
  const source = join(home, "src");
  mkdirSync(join(source, "a/deep"), { recursive: true });
  mkdirSync(join(source, "b"));
  for (const [path, text] of Object.entries({
    "a/one": "1",
    "a/two": "22",
    "a/deep/three": "333",
    "b/four": "4444",
    five: "55555",
  })) {
    writeFileSync(join(source, path), text);
    utimesSync(join(source, path), 1_000_000, 1_000_000);
  }
  return { home, source };
}

const told = (report: RestoreReport) =>
  report.issues.map(
    ({ kind, path, text }) => `${kind} ${Buffer.from(path).toString().split("/src/").at(-1)}: ${text}`,
  );
const text = (path: string) => readFileSync(path, "utf8");

test("TREE-13: a part, by relative and absolute path, with its directories; siblings are not touched by --delete", async () => {
  const { home, source } = smallTree();
  chmodSync(join(source, "a"), 0o711);
  const backup = backUp([source], archiveIn(home));
  const target = join(home, "dst");
  expect(await restoreTo(backup, target, { paths: ["a/deep/", `${source}/five`] })).toMatchObject({
    outcome: "done",
    made: 2,
    directories: 2,
  });
  expect(readdirSync(target).sort()).toEqual(["a", "five"]);
  expect(readdirSync(join(target, "a"))).toEqual(["deep"]);
  expect(lstatSync(join(target, "a")).mode & 0o777).toBe(0o711);
  for (const extra of ["extra", "a/extra", "a/deep/extra"]) writeFileSync(join(target, extra), "x");
  expect(await restoreTo(backup, target, { paths: ["a/deep"], delete: NOTHING_SPARED })).toMatchObject({
    deleted: 1,
    same: 1,
  });
  expect(existsSync(join(target, "a/extra"))).toBe(true);
  expect(existsSync(join(target, "extra"))).toBe(true);
  expect(existsSync(join(target, "a/deep/extra"))).toBe(false);
  const roots = backup.roots.map((each) => each.path);
  const none = selectPaths([Buffer.from("nothing"), Buffer.from("a")], roots, backup.index);
  expect(isMalformed(none) ? null : none.missing.map(String)).toEqual(["nothing"]);
  expect(isMalformed(selectPaths([Buffer.from("a/../b")], roots, backup.index))).toBe(true);
});

test("TREE-13: several roots lie under their full paths; in place each goes back to where it was", async () => {
  const { home, source } = smallTree();
  const backup = backUp([join(source, "a"), join(source, "five")], archiveIn(home));
  const target = join(home, "dst");
  expect(await restoreTo(backup, target)).toMatchObject({ outcome: "done", made: 4 });
  expect(describeTree(join(target, source, "a"))).toEqual(describeTree(join(source, "a")));
  expect(text(join(target, source, "five"))).toBe("55555");
  const before = describeTree(join(source, "a"));
  rmSync(join(source, "a"), { recursive: true });
  rmSync(join(source, "five"));
  expect(await restoreTo(backup, null)).toMatchObject({ outcome: "done", made: 4 });
  expect(describeTree(join(source, "a"))).toEqual(before);
  expect(text(join(source, "five"))).toBe("55555");
  expect(text(join(source, "b/four"))).toBe("4444");
});

test("TREE-13: a single file that was a root of its own lands in the target under its name", async () => {
  const { home, source } = smallTree();
  const backup = backUp([join(source, "five")], archiveIn(home));
  expect(await restoreTo(backup, join(home, "dst"))).toMatchObject({ outcome: "done", made: 1 });
  expect(text(join(home, "dst/five"))).toBe("55555");
});

test("TREE-13: nothing that differs is overwritten unless the policy says so", async () => {
  const { home, source } = smallTree();
  const backup = backUp([source], archiveIn(home));
  const target = join(home, "dst");
  const fresh = async () => {
    rmSync(target, { recursive: true, force: true });
    await restoreTo(backup, target);
    writeFileSync(join(target, "a/one"), "newer");
    writeFileSync(join(target, "a/two"), "older");
    utimesSync(join(target, "a/two"), 10, 10);
    // Size and time are right, the bytes are not.
    writeFileSync(join(target, "five"), "-----");
    utimesSync(join(target, "five"), 1_000_000, 1_000_000);
    rmSync(join(target, "b"), { recursive: true });
    writeFileSync(join(target, "b"), "in place of a directory");
  };
  const found = () => ["a/one", "a/two", "five"].map((path) => text(join(target, path)));

  await fresh();
  const never = await restoreTo(backup, target);
  expect(told(never)).toEqual([
    "exists b: a file stands in place of this directory; it was left alone",
    "exists a/one: a file stands there that is not the backup's; it was left alone",
    "exists a/two: a file stands there that is not the backup's; it was left alone",
  ]);
  expect(never).toMatchObject({ outcome: "partial", skipped: 1, made: 0, same: 2 });
  expect(found()).toEqual(["newer", "older", "-----"]);
  expect(told(await restoreTo(backup, target, { paranoid: true }))).toContain(
    "exists five: a file stands there that is not the backup's; it was left alone",
  );
  expect(found()).toEqual(["newer", "older", "-----"]);

  expect(await restoreTo(backup, target, { policy: "if-newer" })).toMatchObject({ kept: 1, made: 1 });
  expect(found()).toEqual(["newer", "22", "-----"]);
  await fresh();
  expect(await restoreTo(backup, target, { policy: "if-changed" })).toMatchObject({
    outcome: "done",
    made: 3,
  });
  expect(found()).toEqual(["1", "22", "-----"]);
  expect(await restoreTo(backup, target, { policy: "if-changed", paranoid: true })).toMatchObject({
    made: 1,
  });
  expect(describeTree(target)).toEqual(describeTree(source));
  await fresh();
  expect(await restoreTo(backup, target, { policy: "always" })).toMatchObject({ outcome: "done", made: 5 });
  expect(describeTree(target)).toEqual(describeTree(source));
});

test("TREE-13: a directory in place of a file goes if it is empty", async () => {
  const { home, source } = smallTree();
  const backup = backUp([source], archiveIn(home));
  const target = join(home, "dst");
  mkdirSync(join(target, "five"), { recursive: true });
  mkdirSync(join(target, "a/one"), { recursive: true });
  writeFileSync(join(target, "a/one/kept"), "kept");
  expect(told(await restoreTo(backup, target, { policy: "always" }))).toEqual([
    "exists a/one: a directory that is not empty stands there; it was left alone",
  ]);
  expect(text(join(target, "five"))).toBe("55555");
  expect(text(join(target, "a/one/kept"))).toBe("kept");
});

test("TREE-13: a symbolic link that is planted in the target leads nowhere", async () => {
  const { home, source } = smallTree();
  symlinkSync("one", join(source, "a/link"));
  linkSync(join(source, "five"), join(source, "six"));
  const backup = backUp([source], archiveIn(home));
  const outside = join(home, "outside");
  mkdirSync(join(outside, "deep"), { recursive: true });
  writeFileSync(join(outside, "victim"), "safe");
  const before = describeTree(outside);
  for (const policy of ["never", "if-changed", "if-newer", "always"] as const) {
    const target = join(home, `dst ${policy}`);
    mkdirSync(join(target, "b"), { recursive: true });
    symlinkSync(outside, join(target, "a"));
    symlinkSync(join(outside, "victim"), join(target, "five"));
    symlinkSync(join(outside, "new"), join(target, "b/four"));
    symlinkSync(join(outside, "victim"), join(target, "six"));
    const report = await restoreTo(backup, target, { policy, delete: NOTHING_SPARED });
    expect(describeTree(outside)).toEqual(before);
    // Its own files are newer than those links only if they were made later: "if-newer" keeps them.
    if (policy === "never" || policy === "if-newer")
      expect(lstatSync(join(target, "a")).isSymbolicLink()).toBe(true);
    else {
      expect(report.outcome).toBe("done");
      expect(describeTree(target)).toEqual(describeTree(source));
    }
  }
});

test("TREE-13: nor does one that is swapped in while the restore is under way", async () => {
  const home = folder();
  const source = join(home, "src");
  for (const directory of ["a", "b", "c"]) {
    mkdirSync(join(source, directory), { recursive: true });
    for (let n = 0; n < 1200; n++) writeFileSync(join(source, directory, String(n)), `${directory} ${n}`);
  }
  const outside = join(home, "outside");
  mkdirSync(outside);
  const backup = backUp([source], archiveIn(home));
  const target = join(home, "dst");
  let swaps = 0;
  const index = {
    ...backup.index,
    count: backup.index.count,
    find: (path: Uint8Array) => backup.index.find(path),
    under: (path: Uint8Array) => backup.index.under(path),
    cursor: () => {
      const cursor = backup.index.cursor();
      let read = 0;
      return {
        next: (entry: Parameters<typeof cursor.next>[0]) => {
          const more = cursor.next(entry);
          // The directory's files are on their way by now; the rest of them is to come.
          if (++read % 700 === 0) {
            const name = Buffer.from(entry.path.subarray(0, entry.pathBytes))
              .toString()
              .split("/")
              .at(-2) as string;
            if (existsSync(join(target, name)) && !lstatSync(join(target, name)).isSymbolicLink()) {
              renameSync(join(target, name), join(target, `${name} moved`));
              symlinkSync(outside, join(target, name));
              swaps++;
            }
          }
          return more;
        },
      };
    },
  };
  const report = await restoreTo({ ...backup, index }, target);
  expect(swaps).toBeGreaterThan(0);
  expect(readdirSync(outside)).toEqual([]);
  expect(report.outcome).toBe("partial");
  expect(told(report).some((line) => line.includes("a link or a file stands where its directory was"))).toBe(
    true,
  );
});

test("TREE-13: a damaged chunk costs the files that need it, and each is named; nothing wrong is left", async () => {
  const home = folder();
  const source = join(home, "src");
  mkdirSync(source);
  for (let n = 0; n < 8; n++)
    writeFileSync(join(source, `noise ${n}`), crypto.getRandomValues(new Uint8Array(100_000)));
  writeFileSync(join(source, "large"), crypto.getRandomValues(new Uint8Array(900_000)));
  const backup = backUp([source], archiveIn(home));
  // In the third data chunk; the first two hold the pieces of the large file.
  const fd = openSync(backup.archivePath, "r+");
  writeSync(fd, Uint8Array.of(1, 2, 3), 0, 3, 4096 + 2 * 262_200 + 5000);
  closeSync(fd);
  const target = join(home, "dst");
  const report = await restoreTo(backup, target);
  expect(report.outcome).toBe("partial");
  expect(report.issueCounts.damaged).toBeGreaterThan(0);
  const named = new Set(report.issues.map(({ path }) => Buffer.from(path).toString().split("/").at(-1)));
  for (const name of readdirSync(source)) {
    expect([name, existsSync(join(target, name))]).toEqual([name, !named.has(name)]);
    if (!named.has(name))
      expect(Buffer.compare(readFileSync(join(target, name)), readFileSync(join(source, name)))).toBe(0);
  }
  expect(readdirSync(target).length).toBe(9 - named.size);
  // What stands there stays if what is to replace it turns out damaged.
  for (const name of named) writeFileSync(join(target, String(name)), "what was there");
  const over = await restoreTo(backup, target, { policy: "always" });
  expect(over.issueCounts.damaged).toBe(named.size);
  for (const name of named) expect(text(join(target, String(name)))).toBe("what was there");
  expect(readdirSync(target).length).toBe(9);
  // An archive that is not there is damage too.
  rmSync(backup.archivePath);
  expect((await restoreTo(backup, join(home, "none"))).issueCounts.damaged).toBe(9);
  expect(readdirSync(join(home, "none"))).toEqual([]);
});

test("a wrong hash in the index, and content that never was read, are told and not written", async () => {
  const { home, source } = smallTree();
  const backup = backUp([source], archiveIn(home), 1, (entry) => {
    if (entry.sizeBytes === 5) entry.sha256[3] = (entry.sha256[3] as number) ^ 1;
    if (entry.sizeBytes === 4) entry.clearContent();
  });
  const report = await restoreTo(backup, join(home, "dst"));
  expect(told(report)).toEqual([
    "unreadable b/four: it could not be read when it was backed up",
    "damaged five: its bytes are not those that were backed up (SHA-256)",
  ]);
  expect(readdirSync(join(home, "dst")).sort()).toEqual(["a", "b"]);
});

test("TREE-13: what an interrupted restore left unfinished is made anew, under every policy", async () => {
  const { home, source } = smallTree();
  const backup = backUp([source], archiveIn(home));
  for (const policy of ["never", "if-changed", "if-newer", "always"] as const) {
    const target = join(home, policy);
    mkdirSync(join(target, "a"), { recursive: true });
    writeFileSync(join(target, "a/two"), "2");
    chmodSync(join(target, "a/two"), 0o1200);
    expect(await restoreTo(backup, target, { policy })).toMatchObject({ outcome: "done", made: 5 });
    expect(describeTree(target)).toEqual(describeTree(source));
  }
});

test("--delete removes whole trees, follows no link and spares what is sacred or excluded", async () => {
  const { home, source } = smallTree();
  const backup = backUp([source], archiveIn(home));
  const target = join(home, "dst");
  await restoreTo(backup, target);
  const outside = join(home, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "safe"), "safe");
  mkdirSync(join(target, "more/and/more"), { recursive: true });
  writeFileSync(join(target, "more/and/file"), "x");
  symlinkSync(outside, join(target, "more/link"));
  symlinkSync(outside, join(target, "link"));
  mkdirSync(join(target, "a/store/backups"), { recursive: true });
  mkdirSync(join(target, "b/cache"));
  const store = new Statx();
  store.at(AT_FDCWD, new CPath().text(join(target, "a/store")));
  writeFileSync(join(target, "a/deep/extra"), "x");
  const report = await restoreTo(backup, target, {
    delete: {
      directories: [store],
      isExcluded: (path) => Buffer.from(path).toString().endsWith("/cache"),
      isWhole: (path) => Buffer.from(path).toString().endsWith("/deep"),
    },
  });
  expect(existsSync(join(target, "a/deep/extra"))).toBe(true);
  expect(report).toMatchObject({ outcome: "done", deleted: 2 });
  expect(readdirSync(target).sort()).toEqual(["a", "b", "five"]);
  expect(existsSync(join(target, "a/store/backups"))).toBe(true);
  expect(existsSync(join(target, "b/cache"))).toBe(true);
  expect(text(join(outside, "safe"))).toBe("safe");
});

test.if(root)(
  "an owner goes by the name's number here; an ACL handed down to the target does not stay",
  async () => {
    const { home, source } = smallTree();
    chownSync(join(source, "five"), 1234, 5678);
    const backup = backUp([source], archiveIn(home));
    const target = join(home, "dst");
    mkdirSync(target);
    const maker = new TreeMaker();
    const fd = maker.open(target);
    maker.xattr(fd, "system.posix_acl_default", SOME_ACL);
    const identities = { users: new Map([[1234, 4321]]), groups: new Map([[5678, 8765]]) };
    expect(await restoreTo(backup, target, { identities })).toMatchObject({ outcome: "done" });
    expect([lstatSync(join(target, "five")).uid, lstatSync(join(target, "five")).gid]).toEqual([4321, 8765]);
    chownSync(join(target, "five"), 1234, 5678);
    expect(describeTree(target)).toEqual(describeTree(source));
  },
);
