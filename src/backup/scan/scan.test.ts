import { dlopen, FFIType } from "bun:ffi";
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  type BigIntStats,
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as files from "../../base/files.ts";
import { comparePaths, Entry, FLAG, KIND } from "../entry.ts";
import { RecordDecoder } from "../index/record.ts";
import { ScanDesk } from "./desk.ts";
import type { DirectoryIdentity } from "./messages.ts";
import { Scan, ScanFailure } from "./scan.ts";
import { resolveRoots, type Selection, scanRules } from "./selection.ts";

const isRoot = process.geteuid?.() === 0;
let folder = "";
const path = new files.CPath();

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "scan-"));
});
afterAll(() => {
  Bun.spawnSync(["rm", "-rf", folder]);
});

/** A new folder with these files (name: text; a name with "/" at its end: a directory). */
function tree(name: string, contents: Readonly<Record<string, string>>): string {
  const root = join(folder, name);
  mkdirSync(root);
  for (const [file, text] of Object.entries(contents)) {
    mkdirSync(join(root, file.endsWith("/") ? file : join(file, "..")), { recursive: true });
    if (!file.endsWith("/")) writeFileSync(join(root, file), text);
  }
  return root;
}

const NOTHING: Selection = {
  sources: [],
  exclude: [],
  excludeCaches: false,
  sizeMaxBytes: null,
  honourNodump: false,
  oneFileSystem: false,
};

interface Options extends Partial<Selection> {
  readonly workers?: number;
  readonly stores?: readonly DirectoryIdentity[];
  readonly pseudo?: ReadonlyMap<number, string>;
}

/** Scans with desks in this thread; each that is idle is given its share just as a Worker is. */
async function scan(sources: readonly (string | Uint8Array)[], options: Options = {}) {
  const outcome = resolveRoots(sources.map((source) => Buffer.from(source as string)));
  if (outcome.kind !== "roots") throw new Error(outcome.text);
  const made = scanRules({ ...NOTHING, ...options }, outcome.roots, options.stores ?? []);
  const rules = options.pseudo === undefined ? made : { ...made, pseudo: options.pseudo };
  let shares = 0;
  const scanning: Scan = new Scan(
    rules,
    Array.from({ length: options.workers ?? 2 }, (_, worker) => {
      const desk = new ScanDesk((notice) => {
        if (notice.type === "scanShare") shares++;
        queueMicrotask(() => scanning.hear(worker, notice));
      });
      return (order) => queueMicrotask(() => desk.take(order));
    }),
  );
  const entries = await entriesOf(scanning);
  const root = `${Buffer.from(outcome.roots[0] ?? new Uint8Array(0)).toString("latin1")}/`;
  const names = entries.map(({ name }) => (`${name}/` === root ? "." : name.replace(root, "")));
  const { counters, errors, notes } = scanning;
  return { entries, names, counters, errors, notes, shares };
}

interface Found {
  /** The path, a character a byte. */
  readonly name: string;
  readonly entry: Entry;
}

async function entriesOf(scanning: Scan): Promise<Found[]> {
  const decoder = new RecordDecoder();
  const found: Found[] = [];
  for await (const batch of scanning.batches()) {
    decoder.open(batch);
    for (let entry = new Entry(); decoder.next(entry); entry = new Entry()) {
      const before = found.at(-1)?.entry;
      if (before !== undefined) {
        expect(comparePaths(before.path, before.pathBytes, entry.path, entry.pathBytes)).toBeLessThan(0);
      }
      const name = Buffer.from(entry.path.subarray(0, entry.pathBytes)).toString("latin1");
      found.push({ name, entry });
    }
  }
  return found;
}

const kernelKinds: ((stat: BigIntStats) => boolean)[] = [];
kernelKinds[KIND.file] = (stat) => stat.isFile();
kernelKinds[KIND.directory] = (stat) => stat.isDirectory();
kernelKinds[KIND.symlink] = (stat) => stat.isSymbolicLink();
kernelKinds[KIND.fifo] = (stat) => stat.isFIFO();
kernelKinds[KIND.socket] = (stat) => stat.isSocket();
kernelKinds[KIND.character] = (stat) => stat.isCharacterDevice();
kernelKinds[KIND.block] = (stat) => stat.isBlockDevice();

/** Every attribute is what lstat says. */
function expectAsLstat({ name, entry }: Found): void {
  const stat = lstatSync(Buffer.from(`/${name}`, "latin1"), { bigint: true });
  expect(kernelKinds[entry.kind]?.(stat)).toBe(true);
  const ns = (seconds: number, rest: number) => BigInt(seconds) * 1_000_000_000n + BigInt(rest);
  expect([entry.mode, entry.uid, entry.gid]).toEqual([stat.mode & 0o7777n, stat.uid, stat.gid].map(Number));
  expect(ns(entry.mtimeSeconds, entry.mtimeNs)).toBe(stat.mtimeNs);
  expect(ns(entry.ctimeSeconds, entry.ctimeNs)).toBe(stat.ctimeNs);
  expect((BigInt(entry.inodeHigh) << 32n) + BigInt(entry.inodeLow)).toBe(stat.ino);
  expect(entry.sizeBytes).toBe(entry.kind === KIND.file ? Number(stat.size) : 0);
  expect(entry.links).toBe(entry.kind === KIND.directory ? 1 : Number(stat.nlink));
  expect(files.kernelDevice(entry.device)).toBe(stat.dev);
  if (entry.kind >= KIND.character) expect(files.kernelDevice(entry.specialDevice)).toBe(stat.rdev);
}

test("TREE-06: names of any bytes, every kind, every attribute, in order", async () => {
  const root = tree("kinds", { "a/x": "1", "a.b": "22", "a-": "", "empty/": "", "a/sub/deep": "333" });
  const dir = files.openat2(files.AT_FDCWD, path.text(root), files.O_DIRECTORY, 0);
  const odd = [Uint8Array.of(0xff, 0xfe), Uint8Array.of(0x0a), Uint8Array.of(0x20, 0x80), Buffer.from("ö")];
  for (const name of odd) expect(files.mkdirat(dir, path.of(name), 0o711)).toBe(0);
  const inOdd = files.openat2(dir, path.of(odd[0] as Uint8Array), files.O_DIRECTORY, 0);
  expect(files.mknodat(inOdd, path.of(Uint8Array.of(0x80, 0x27, 0x22)), files.S_IFIFO | 0o604, 0)).toBe(0);
  expect(files.mknodat(dir, path.text("socket"), files.S_IFSOCK | 0o600, 0)).toBe(0);
  if (isRoot) {
    expect(files.mknodat(dir, path.text("tty"), files.S_IFCHR | 0o620, files.deviceNumber(5, 70000))).toBe(0);
    expect(files.mknodat(dir, path.text("disk"), files.S_IFBLK | 0o660, files.deviceNumber(4000, 3))).toBe(0);
    expect(files.fchownat(dir, path.text("a-"), 123456, 4294967294)).toBe(0);
  }
  linkSync(join(root, "a.b"), join(root, "z-second-name"));
  symlinkSync("../no/such\nthing", join(root, "link"));
  chmodSync(join(root, "a/x"), 0o6751);
  expect(files.utimensat(dir, path.text("a/x"), 0, 0, -1, 999999999)).toBe(0);
  expect(files.utimensat(dir, path.text("link"), 0, 0, 2 ** 33, 1)).toBe(0);
  files.closeFd(inOdd);
  files.closeFd(dir);
  const { entries, names, counters, errors } = await scan([root]);
  for (const found of entries) expectAsLstat(found);
  const special = isRoot ? ["disk", "tty"] : [];
  const expected = [".", "\n", " \x80", "a", "a/sub", "a/sub/deep", "a/x", "a-", "a.b", "empty", "link"];
  expected.push("socket", ...special, "z-second-name", "\xc3\xb6", "\xff\xfe", "\xff\xfe/\x80'\"");
  expect([...names].sort()).toEqual(expected.sort());
  const link = entries.find(({ name }) => name.endsWith("/link"))?.entry;
  expect(Buffer.from(link?.linkTarget ?? "").toString()).toBe("../no/such\nthing");
  const [first, second] = entries.filter(({ entry }) => entry.links === 2);
  expect([first?.entry.inodeLow, first?.entry.device]).toEqual([
    second?.entry.inodeLow,
    second?.entry.device,
  ]);
  expect(counters).toEqual({
    files: 5,
    directories: 8,
    symlinks: 1,
    specials: 2 + special.length,
    bytes: 1 + 2 + 2 + 3,
    errors: 0,
    skipped: 0,
    vanished: 0,
  });
  expect(errors).toEqual([]);
});

test("a tree shared by idle Workers is the same list, each entry once", async () => {
  const root = join(folder, "shared");
  mkdirSync(root);
  const expected: string[] = [];
  const add = (at: string, depth: number) => {
    for (let number = 0; number < 6; number++) {
      writeFileSync(join(at, `file-${number}.txt`), "");
      if (depth === 3) continue;
      mkdirSync(join(at, `file-${number}`));
      add(join(at, `file-${number}`), depth + 1);
    }
  };
  add(root, 1);
  for (let number = 0; number < 700; number++) writeFileSync(join(root, `flat-${number * 7919}`), "");
  const walk = (at: string) => {
    expected.push(at.slice(1));
    if (!lstatSync(at).isDirectory()) return;
    for (const name of readdirSync(at)) walk(join(at, name));
  };
  walk(root);
  expected.sort((a, b) => comparePaths(Buffer.from(a), a.length, Buffer.from(b), b.length));
  for (const workers of [1, 2, 5]) {
    const { entries, counters, shares } = await scan([root], { workers });
    expect(shares > 0).toBe(workers > 1);
    expect(entries.map(({ name }) => name)).toEqual(expected);
    expect(counters.files + counters.directories).toBe(expected.length);
  }
});

test("large directories are in order, whatever their names have in common", async () => {
  const root = join(folder, "order");
  mkdirSync(root);
  const names = new Set<string>();
  for (let number = 0; number < 1500; number++) {
    const digits = String((number * 7919) % 1500);
    names.add(
      number % 3 === 0
        ? `common-prefix-of-all-${digits}`
        : `common-prefix-of-all-${"x".repeat(number % 40)}${digits}`,
    );
  }
  names.add("common-prefix-of-all-");
  for (const name of names) writeFileSync(join(root, name), "");
  const found = (await scan([root], { workers: 1 })).names.slice(1);
  expect(found).toEqual([...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
});

test("deep trees: more directories than are kept open, paths longer than the kernel takes", async () => {
  const root = join(folder, "deep");
  mkdirSync(root);
  const part = "directory-with-a-rather-long-name-";
  let dir = files.openat2(files.AT_FDCWD, path.text(root), files.O_DIRECTORY, 0);
  for (let depth = 0; depth < 200; depth++) {
    const name = `${part}${String(depth).padStart(3, "0")}`;
    expect(files.mkdirat(dir, path.text(name), 0o755)).toBe(0);
    expect(files.mkdirat(dir, path.text("z-behind"), 0o755)).toBe(0);
    const next = files.openat2(dir, path.text(name), files.O_DIRECTORY, 0);
    files.closeFd(dir);
    dir = next;
  }
  files.closeFd(dir);
  for (const workers of [1, 3]) {
    const { counters, errors, entries } = await scan([root], { workers });
    expect(errors).toEqual([]);
    expect(counters.directories).toBe(401);
    expect(Math.max(...entries.map(({ entry }) => entry.pathBytes))).toBeGreaterThan(7000);
  }
});

test("no link is followed; a source that is a link is the link, with a slash behind it its target", async () => {
  const root = tree("links", { "real/inside": "x" });
  symlinkSync("real", join(root, "to-directory"));
  symlinkSync(".", join(root, "loop"));
  expect((await scan([root])).names).toEqual([".", "loop", "real", "real/inside", "to-directory"]);
  const alone = await scan([join(root, "to-directory")]);
  expect(alone.entries.map(({ entry }) => entry.kind)).toEqual([KIND.symlink]);
  const behind = await scan([`${join(root, "to-directory")}/`]);
  expect(behind.entries.map(({ name }) => name)).toEqual([
    join(root, "real").slice(1),
    join(root, "real/inside").slice(1),
  ]);
  const file = await scan([join(root, "to-directory/inside")]);
  expect(file.entries.map(({ name }) => name)).toEqual([join(root, "real/inside").slice(1)]);
});

test("TREE-01: patterns leave out and bring back", async () => {
  const root = tree("patterns", {
    "a.o": "",
    "keep.o": "",
    "build/x": "",
    "src/build/y": "",
    "src/main.c": "",
    "doc/a.txt": "",
    "doc/sub/b.txt": "",
  });
  const { names, counters } = await scan([root], { exclude: ["*.o", "!keep.o", "build/", "/doc/*.txt"] });
  expect(names).toEqual([".", "doc", "doc/sub", "doc/sub/b.txt", "keep.o", "src", "src/main.c"]);
  expect(counters.skipped).toBe(4);
  const absolute = await scan([root], { exclude: [`${root}/src`, "/b*"] });
  expect(absolute.names).toEqual([".", "a.o", "doc", "doc/a.txt", "doc/sub", "doc/sub/b.txt", "keep.o"]);
});

test("TREE-01: caches with a valid tag, large files, nodump", async () => {
  const tag = "Signature: 8a477f597d28d172789f06886806bc55\n# more";
  const root = tree("rules", {
    "cache/CACHEDIR.TAG": tag,
    "cache/junk": "x",
    "cache/sub/junk": "x",
    "not/CACHEDIR.TAG": "Signature: something else",
    "not/kept": "x",
    large: "x".repeat(101),
    small: "x".repeat(100),
    "secret/inside": "x",
  });
  const caches = await scan([root], { excludeCaches: true, sizeMaxBytes: 100 });
  expect(caches.names).toEqual([
    ".",
    "cache",
    "cache/CACHEDIR.TAG",
    "not",
    "not/CACHEDIR.TAG",
    "not/kept",
    "secret",
    "secret/inside",
    "small",
  ]);
  expect(caches.counters.skipped).toBe(3);
  for (const name of ["small", "secret"]) {
    const fd = files.openat2(files.AT_FDCWD, path.text(join(root, name)), 0, 0);
    const flags = files.inodeFlags(fd);
    if (flags < 0 || files.setInodeFlags(fd, flags | files.FS_NODUMP_FL) < 0) return;
    files.closeFd(fd);
  }
  const nodump = await scan([root], { honourNodump: true });
  expect(nodump.names.filter((name) => /^(small|secret)/.test(name))).toEqual([]);
  const all = await scan([root]);
  expect(all.entries.filter(({ entry }) => entry.attributes === 0x40)).toHaveLength(2);
});

test.skipIf(!isRoot)("other file systems: entered, only listed, or pseudo; each with a note", async () => {
  const root = tree("mounts", { here: "", "mount/": "", z: "" });
  const mount = join(root, "mount");
  if (Bun.spawnSync(["mount", "-t", "tmpfs", "none", mount], { stderr: "ignore" }).exitCode !== 0) return;
  try {
    writeFileSync(join(mount, "there"), "");
    expect((await scan([root])).names).toEqual([".", "here", "mount", "mount/there", "z"]);
    const one = await scan([root], { oneFileSystem: true });
    expect(one.names).toEqual([".", "here", "mount", "z"]);
    expect(one.notes.map(({ text }) => text)).toEqual(["another file system: its contents are left out"]);
    const device = one.entries[2]?.entry.device ?? 0;
    const pseudo = await scan([root], { pseudo: new Map([[device, "proc"]]) });
    expect(pseudo.names).toEqual([".", "here", "mount", "z"]);
    expect(pseudo.notes[0]?.text).toContain("proc");
    const both = await scan([root, mount], { oneFileSystem: true });
    expect(both.names).toEqual([".", "here", "mount", "mount/there", "z"]);
    expect(both.counters).toMatchObject({ files: 3, directories: 2 });
  } finally {
    Bun.spawnSync(["umount", mount]);
  }
});

test("/proc is never entered, not even as a source", async () => {
  const { entries, notes } = await scan(["/proc"]);
  expect(entries.map(({ name }) => name)).toEqual(["proc"]);
  expect(notes).toHaveLength(1);
});

test.skipIf(!isRoot)("what cannot be read is told and counted, and the rest is there", async () => {
  const root = tree("unreadable", { "open/x": "", "shut/y": "", "blind/z": "" });
  chmodSync(join(root, "shut"), 0o700);
  chmodSync(join(root, "blind"), 0o744); // its names can be listed, but not looked at
  const { symbols } = dlopen("libc.so.6", { setfsuid: { args: [FFIType.u32], returns: FFIType.i32 } });
  chmodSync(folder, 0o755);
  symbols.setfsuid(65534); // this thread only: it loses root's right to read all
  let result: Awaited<ReturnType<typeof scan>>;
  try {
    result = await scan([root]);
  } finally {
    symbols.setfsuid(0);
  }
  expect(result.names).toEqual([".", "blind", "open", "open/x", "shut"]);
  expect(result.entries.map(({ entry }) => entry.flags)).toEqual([0, 0, 0, 0, FLAG.unreadable]);
  expect(result.counters.errors).toBe(2);
  const told = result.errors.map(({ path, text }) => [Buffer.from(path).toString(), text]);
  expect(told).toEqual([
    [join(root, "blind/z").slice(1), "EACCES: permission denied"],
    [join(root, "shut").slice(1), "EACCES: permission denied"],
  ]);
});

test("the store is left out of what it stores", async () => {
  const root = tree("with-store", { a: "", "store/backups/1": "", z: "" });
  const fd = files.openat2(files.AT_FDCWD, path.text(join(root, "store")), files.O_DIRECTORY, 0);
  const statx = new files.Statx();
  statx.of(fd);
  files.closeFd(fd);
  const { device, inodeHigh, inodeLow } = statx;
  const { names, notes } = await scan([root], { stores: [{ device, inodeHigh, inodeLow }] });
  expect(names).toEqual([".", "a", "z"]);
  expect(notes).toHaveLength(1);
});

test("several sources, one within another, one twice: each entry once, in order", async () => {
  const root = tree("sources", { "a/1": "", "b/in/2": "", "b/in/deeper/3": "", "b/z": "", "c/4": "" });
  const all = await scan([join(root, "c"), join(root, "a"), join(root, "a"), join(root, "b")]);
  expect(all.entries.map(({ name }) => name.replace(`${root.slice(1)}/`, ""))).toEqual([
    "a",
    "a/1",
    "b",
    "b/in",
    "b/in/2",
    "b/in/deeper",
    "b/in/deeper/3",
    "b/z",
    "c",
    "c/4",
  ]);
  const nested = await scan([root, join(root, "b/in/deeper"), join(root, "b/in")], { exclude: ["b/"] });
  expect(nested.names).toEqual([
    ".",
    "a",
    "a/1",
    "b/in",
    "b/in/2",
    "b/in/deeper",
    "b/in/deeper/3",
    "c",
    "c/4",
  ]);
  expect(nested.counters.directories).toBe(5);
});

test("a source that is missing is an outcome; one that goes away is an error", async () => {
  const outcome = resolveRoots([Buffer.from(join(folder, "absent"))]);
  expect(outcome).toMatchObject({ kind: "missing", text: expect.stringContaining("ENOENT") });
  const root = tree("goes", {});
  const rules = scanRules(NOTHING, [Buffer.from(root.slice(1))], []);
  rmSync(root, { recursive: true });
  const scanning: Scan = new Scan(rules, [
    (order) => queueMicrotask(() => new Promise(() => desk.take(order))),
  ]);
  const desk = new ScanDesk((notice) => queueMicrotask(() => scanning.hear(0, notice)));
  expect(await entriesOf(scanning)).toEqual([]);
  expect(scanning.errors[0]?.text).toContain("ENOENT");
});

test("a Worker that dies ends the scan: no list is better than one with a gap", async () => {
  const scanning = new Scan(scanRules(NOTHING, [Buffer.from(folder.slice(1))], []), [() => {}]);
  scanning.fail("it died");
  expect(entriesOf(scanning)).rejects.toThrow(ScanFailure);
});

test("reading a tree leaves its access times alone", async () => {
  if (!isRoot) return;
  const root = tree("atimes", { "d/x": "" });
  utimesSync(join(root, "d"), 1000, 2000);
  await scan([root]);
  expect(statSync(join(root, "d")).atimeMs).toBe(1_000_000);
});
