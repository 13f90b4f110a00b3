import { afterAll, beforeAll, expect, test } from "bun:test";
import { lstatSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errorText, libc, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, pwriteFully } from "./ffi.ts";
import * as files from "./files.ts";

let folder = "";
let dir = -1;
const path = new files.CPath();
const second = new files.CPath();
const buffer = new files.NativeBuffer(65536);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "files-"));
  dir = files.openat2(files.AT_FDCWD, path.text(folder), O_RDONLY | files.O_DIRECTORY, 0);
  expect(dir).toBeGreaterThan(2);
});
afterAll(() => {
  files.closeFd(dir);
  rmSync(folder, { recursive: true, force: true });
});

const create = (name: string, resolve = files.RESOLVE_BENEATH | files.RESOLVE_NO_SYMLINKS) =>
  files.openat2(dir, path.text(name), O_RDWR | O_CREAT | O_EXCL, resolve, 0o640);

test("names of any bytes go to the kernel and come back", () => {
  const name = Uint8Array.from([0xff, 0x0a, 0x80, 0x20]);
  expect(files.mkdirat(dir, path.of(name), 0o700)).toBe(0);
  const got = files.getdents64(dir, buffer.address, buffer.bytes.length);
  expect(got).toBeGreaterThan(0);
  expect(Buffer.from(buffer.bytes.subarray(0, got)).includes(name)).toBe(true);
  expect(files.unlinkat(dir, path.of(name))).toBe(-files.EISDIR);
  expect(files.unlinkat(dir, path.of(name), files.AT_REMOVEDIR)).toBe(0);
});

test("openat2 follows no symbolic link and does not leave the root", () => {
  expect(files.symlinkat(second.text("/etc"), dir, path.text("out"))).toBe(0);
  const got = files.readlinkat(dir, path.text("out"), buffer.address, 100);
  expect(Buffer.from(buffer.bytes.subarray(0, got)).toString()).toBe("/etc");
  const flags = O_RDONLY;
  expect(files.openat2(dir, path.text("out/passwd"), flags, files.RESOLVE_NO_SYMLINKS)).toBe(-files.ELOOP);
  expect(files.openat2(dir, path.text("../etc"), flags, files.RESOLVE_BENEATH)).toBe(-files.EXDEV);
  expect(files.openat2(dir, path.text("absent"), flags, 0)).toBe(-files.ENOENT);
});

test("statx tells what stat tells, and times are set to the nanosecond", () => {
  const fd = create("timed");
  writeFileSync(join(folder, "timed"), "twelve bytes");
  expect(files.fchmod(fd, 0o4751)).toBe(0);
  expect(files.futimens(fd, 0, files.UTIME_OMIT, -5, 123456789)).toBe(0);
  const statx = new files.Statx();
  expect(statx.at(dir, path.text("timed"))).toBe(0);
  const like = lstatSync(join(folder, "timed"), { bigint: true });
  expect(BigInt(statx.inodeHigh) * 2n ** 32n + BigInt(statx.inodeLow)).toBe(like.ino);
  expect([statx.mode, statx.links, statx.uid, statx.gid, statx.sizeBytes]).toEqual(
    [like.mode, like.nlink, like.uid, like.gid, like.size].map(Number),
  );
  expect([statx.mtimeSeconds, statx.mtimeNs]).toEqual([-5, 123456789]);
  expect(BigInt(statx.ctimeSeconds) * 1_000_000_000n + BigInt(statx.ctimeNs)).toBe(like.ctimeNs);
  expect(BigInt(statx.atimeSeconds) * 1_000_000_000n + BigInt(statx.atimeNs)).toBe(like.atimeNs);
  expect(statx.of(fd)).toBe(0);
  expect(statx.sizeBytes).toBe(12);
  const far = 2 ** 33 + 7;
  expect(files.utimensat(dir, path.text("timed"), 1, 2, far, 999999999)).toBe(0);
  statx.of(fd);
  expect([statx.atimeSeconds, statx.atimeNs, statx.mtimeSeconds, statx.mtimeNs]).toEqual([
    1,
    2,
    far,
    999999999,
  ]);
  files.closeFd(fd);
});

test("holes are punched, found and counted", () => {
  const fd = create("holes");
  expect(pwriteFully(fd, buffer.address, 65536, 0)).toBe(65536);
  expect(pwriteFully(fd, buffer.address, 65536, 1 << 20)).toBe(65536);
  expect(files.seek(fd, 0, files.SEEK_HOLE)).toBe(65536);
  expect(files.seek(fd, 65536, files.SEEK_DATA)).toBe(1 << 20);
  expect(files.punchHole(fd, 0, 65536)).toBe(0);
  expect(files.seek(fd, 0, files.SEEK_DATA)).toBe(1 << 20);
  expect(files.seek(fd, (1 << 20) + 65536, files.SEEK_DATA)).toBe(-files.ENXIO);
  expect(statSync(join(folder, "holes")).size).toBe((1 << 20) + 65536);
  files.closeFd(fd);
});

test("extended attributes of files, by descriptor and by path", () => {
  const fd = create("attributes");
  buffer.bytes.set([1, 0, 255]);
  const set = files.fsetxattr(fd, path.text("user.bytes"), buffer.address, 3);
  if (set === -files.EOPNOTSUPP) return;
  expect(set).toBe(0);
  const listed = files.flistxattr(fd, buffer.address, 1000);
  expect(Buffer.from(buffer.bytes.subarray(0, listed)).toString()).toContain("user.bytes\0");
  const full = second.text(join(folder, "attributes"));
  expect(files.lgetxattr(full, path.text("user.bytes"), buffer.address, 1000)).toBe(3);
  expect([...buffer.bytes.subarray(0, 3)]).toEqual([1, 0, 255]);
  expect(files.lgetxattr(full, path.text("user.bytes"), buffer.address, 2)).toBe(-files.ERANGE);
  expect(files.lremovexattr(full, path.text("user.bytes"))).toBe(0);
  expect(files.fgetxattr(fd, path.text("user.bytes"), buffer.address, 9)).toBe(-files.ENODATA);
  files.closeFd(fd);
});

test("links, fifos, renames", () => {
  files.closeFd(create("one"));
  expect(files.linkat(dir, path.text("one"), dir, second.text("two"))).toBe(0);
  expect(statSync(join(folder, "two")).nlink).toBe(2);
  expect(files.renameat2(dir, path.text("one"), dir, second.text("two"), files.RENAME_NOREPLACE)).toBe(
    -files.EEXIST,
  );
  expect(files.renameat2(dir, path.text("one"), dir, second.text("three"))).toBe(0);
  expect(readFileSync(join(folder, "three"), "utf8")).toBe("");
  expect(files.mknodat(dir, path.text("fifo"), files.S_IFIFO | 0o600, 0)).toBe(0);
  expect(lstatSync(join(folder, "fifo")).isFIFO()).toBe(true);
  expect(files.symlinkat(second.text("a"), dir, path.text("link"))).toBe(0);
  expect(readlinkSync(join(folder, "link"))).toBe("a");
  if (process.geteuid?.() !== 0) return;
  expect(files.mknodat(dir, path.text("null"), files.S_IFCHR | 0o666, files.deviceNumber(1, 3))).toBe(0);
  expect(lstatSync(join(folder, "null")).rdev).toBe(0x103);
  expect(files.fchownat(dir, path.text("link"), 12, 34)).toBe(0);
  expect([lstatSync(join(folder, "link")).uid, lstatSync(join(folder, "link")).gid]).toEqual([12, 34]);
});

test("inode flags, the file system's figures, and words for each error", () => {
  const fd = create("flagged");
  const flags = files.inodeFlags(fd);
  if (flags >= 0) {
    expect(files.setInodeFlags(fd, flags | files.FS_NODUMP_FL)).toBe(0);
    expect(files.inodeFlags(fd) & files.FS_NODUMP_FL).toBe(files.FS_NODUMP_FL);
  }
  const stats = files.fileSystemStats(fd);
  if (typeof stats === "number") throw new Error(errorText(stats));
  expect(stats.totalBytes).toBeGreaterThanOrEqual(stats.freeBytes);
  expect(stats.freeBytes).toBeGreaterThanOrEqual(stats.availableBytes);
  expect(files.syncFileSystem(fd)).toBe(0);
  expect(libc.close(fd)).toBe(0);
  expect(files.inodeFlags(fd)).toBe(-files.EBADF);
});

test("device numbers as the kernel packs them", () => {
  expect(files.kernelDevice(files.deviceNumber(8, 1))).toBe(0x801n);
  expect(files.kernelDevice(files.deviceNumber(0xfff, 0xfffff))).toBe(0xffffff_ffn & 0xfffffffffn);
});
