import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { O_RDONLY, O_RDWR, pwriteFully } from "../../base/ffi.ts";
import * as files from "../../base/files.ts";
import { Entry, KIND } from "../entry.ts";
import { DataRuns, mayHaveHoles } from "./data-runs.ts";
import { entryFromStatx, kindOfMode } from "./entries.ts";
import { parseNameTable, readNames } from "./names.ts";
import { Opener } from "./open.ts";
import { defaultSelection, pseudoFileSystems } from "./selection.ts";
import { packXattrs, unpackXattrs, XattrReader } from "./xattrs.ts";

let folder = "";
const path = new files.CPath();
const value = new files.NativeBuffer(65536);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "access-"));
});
afterAll(() => {
  Bun.spawnSync(["rm", "-rf", folder]);
});

const open = (file: string, flags = O_RDWR) => files.openat2(files.AT_FDCWD, path.text(file), flags, 0);

test("TREE-06: xattrs and ACLs of files, directories and links, by descriptor and by path, in order", () => {
  const file = join(folder, "attributes");
  writeFileSync(file, "");
  const fd = open(file);
  const set = (name: string, bytes: Uint8Array) => {
    value.bytes.set(bytes);
    return files.fsetxattr(fd, path.text(name), value.address, bytes.length);
  };
  if (set("user.zeta", Uint8Array.of(0, 255, 10)) === -files.EOPNOTSUPP) return;
  expect(set("user.alpha", new Uint8Array(0))).toBe(0);
  // Version 2; owner rw, user 1000 r, group r, mask r, others nothing.
  const acl = "02000000 01000600ffffffff 02000400e8030000 04000400ffffffff 10000400ffffffff 20000000ffffffff";
  const hasAcl = set("system.posix_acl_access", Buffer.from(acl.replaceAll(" ", ""), "hex")) === 0;
  const reader = new XattrReader(new Opener());
  const at = (named: string) => reader.ofPath(Buffer.from(named.slice(1)), Buffer.byteLength(named) - 1);
  const byFd = reader.ofFd(fd);
  const found = unpackXattrs(byFd instanceof Uint8Array ? byFd : new Uint8Array(0)) ?? [];
  expect(found.map(({ name }) => Buffer.from(name).toString())).toEqual([
    ...(hasAcl ? ["system.posix_acl_access"] : []),
    "user.alpha",
    "user.zeta",
  ]);
  expect([...(found.at(-1)?.value ?? [])]).toEqual([0, 255, 10]);
  expect(at(file)).toEqual(byFd);
  files.closeFd(fd);

  const link = join(folder, "link");
  symlinkSync("attributes", link);
  expect(at(link)).toBeNull();
  value.bytes.set([7]);
  if (files.lsetxattr(path.text(link), new files.CPath().text("trusted.t"), value.address, 1) === 0) {
    expect(unpackXattrs(at(link) as Uint8Array)).toHaveLength(1);
  }
  expect(at(join(folder, "absent"))).toBe(-files.ENOENT);
});

test("packed xattrs are read back, and nothing else is taken for them", () => {
  const list = [
    { name: Buffer.from("user.b"), value: Uint8Array.of(1) },
    { name: Buffer.from("user.a"), value: new Uint8Array(70000) },
  ];
  const packed = packXattrs(list);
  expect(unpackXattrs(packed)?.map(({ value }) => value.length)).toEqual([70000, 1]);
  for (const bytes of [1, 2, 5, 11, packed.length - 1])
    expect(unpackXattrs(packed.subarray(0, bytes))).toBeNull();
});

test("data and holes are found", () => {
  const file = join(folder, "holes");
  writeFileSync(file, "");
  const fd = open(file);
  const runs = new DataRuns();
  expect(runs.read(fd, 0)).toBe(0);
  expect(runs.count).toBe(0);
  pwriteFully(fd, value.address, 8192, 65536);
  pwriteFully(fd, value.address, 4096, 1 << 20);
  pwriteFully(fd, value.address, 1, (1 << 21) - 1);
  const statx = new files.Statx();
  statx.of(fd);
  expect(mayHaveHoles(statx)).toBe(true);
  expect(runs.read(fd, 1 << 21)).toBe(0);
  expect([...runs.starts.subarray(0, runs.count)]).toEqual([65536, 1 << 20, (1 << 21) - 4096]);
  expect([...runs.ends.subarray(0, runs.count)]).toEqual([65536 + 8192, (1 << 20) + 4096, 1 << 21]);
  expect(runs.read(fd, 70000)).toBe(0);
  expect([runs.count, runs.starts[0], runs.ends[0]]).toEqual([1, 65536, 70000]);
  runs.setWhole(5);
  expect([runs.count, runs.starts[0], runs.ends[0]]).toEqual([1, 0, 5]);
  files.closeFd(fd);
});

test("many runs", () => {
  const fd = open(join(folder, "holes"));
  for (let number = 0; number < 200; number++)
    pwriteFully(fd, value.address, 100, (1 << 22) + number * 65536);
  const runs = new DataRuns();
  expect(runs.read(fd, 2 ** 30)).toBe(0);
  expect(runs.count).toBe(203);
  files.closeFd(fd);
});

test("entries are opened by paths of any length, never through a link", () => {
  const opener = new Opener();
  const named = (file: string, flags = O_RDONLY) =>
    opener.open(Buffer.from(file.slice(1)), file.length - 1, flags);
  let dir = open(folder, O_RDONLY);
  const parts: string[] = [];
  for (let depth = 0; depth < 45; depth++) {
    const name = `${"d".repeat(200)}${depth}`;
    expect(files.mkdirat(dir, path.text(name), 0o755)).toBe(0);
    const next = files.openat2(dir, path.text(name), O_RDONLY, 0);
    files.closeFd(dir);
    dir = next;
    parts.push(name);
  }
  const made = files.openat2(dir, path.text("leaf"), O_RDWR | 0o100, 0, 0o600);
  expect(pwriteFully(made, value.address, 10, 0)).toBe(10);
  const leaf = join(folder, ...parts, "leaf");
  const fd = named(leaf);
  expect(fd).toBeGreaterThan(0);
  const statx = new files.Statx();
  expect(statx.of(fd)).toBe(0);
  const entry = new Entry();
  expect(entryFromStatx(entry, statx)).toBe(true);
  expect([entry.kind, entry.sizeBytes, entry.mode]).toEqual([KIND.file, 10, 0o600]);
  expect(kindOfMode(0)).toBeNull();
  const xattrs = new XattrReader(opener);
  expect(xattrs.ofPath(Buffer.from(leaf.slice(1)), leaf.length - 1)).toBeNull();
  for (const each of [fd, made, dir]) files.closeFd(each);

  mkdirSync(join(folder, "real"));
  writeFileSync(join(folder, "real/file"), "");
  symlinkSync("real", join(folder, "through"));
  expect(named(join(folder, "through/file"))).toBe(-files.ELOOP);
  expect(named(join(folder, "through"))).toBe(-files.ELOOP);
  const root = named("/");
  expect(root).toBeGreaterThan(0);
  files.closeFd(root);
});

test("TREE-06: owners have names", () => {
  const table = parseNameTable(
    "root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:\n#c:x:9:\n+nis\nbad:x:abc:\na:x:1000:1000\na:x:7:\n",
  );
  expect([...table.nameOf]).toEqual([
    [0, "root"],
    [1000, "a"],
    [7, "a"],
  ]);
  expect(table.numberOf.get("toor")).toBe(0);
  expect(table.numberOf.get("a")).toBe(1000);
  expect(readNames().users.nameOf.get(0)).toBe("root");
  expect(readNames(folder).groups.nameOf.size).toBe(0);
});

test("pseudo file systems are known by their types", () => {
  const text =
    "22 1 0:21 / /proc rw,nosuid shared:5 - proc proc rw\n23 1 8:1 / / rw - ext4 /dev/sda1 rw\n" +
    "24 1 0:6 / /dev rw - devtmpfs udev rw\n25 23 0:40 / /mnt/a\\040b rw - sysfs sysfs rw\n26 1 0:7 / /tmp rw - tmpfs t rw\n";
  expect([...pseudoFileSystems(text)]).toEqual([
    [21, "proc"],
    [6, "devtmpfs"],
    [40, "sysfs"],
  ]);
});

test("TREE-16: the system's configuration is part of the default selection", () => {
  const { sources, exclude } = defaultSelection();
  expect(sources.map((source) => Buffer.from(source).toString())).toContain("/etc");
  expect(exclude.some((pattern) => pattern.startsWith("/etc"))).toBe(false);
});
