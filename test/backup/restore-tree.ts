/** @module A tree with everything in it that a file system can hold, for tests of the restore. Needs root. */
import { mkdirSync } from "node:fs";
import { libc, O_CREAT, O_RDONLY, O_RDWR } from "../../src/base/ffi.ts";
import * as files from "../../src/base/files.ts";

const path = new files.CPath();
const other = new files.CPath();
const DIR = O_RDONLY | files.O_DIRECTORY;

/** An ACL as the kernel takes it: version 2, then tag, permissions, id of each. */
export function acl(
  ...lines: readonly (readonly [tag: number, permissions: number, id?: number])[]
): Uint8Array {
  const bytes = new Uint8Array(4 + 8 * lines.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 2, true);
  for (const [at, [tag, permissions, id = 0xffffffff]] of lines.entries()) {
    view.setUint16(4 + 8 * at, tag, true);
    view.setUint16(6 + 8 * at, permissions, true);
    view.setUint32(8 + 8 * at, id, true);
  }
  return bytes;
}

const USER_OBJ = 1;
const USER = 2;
const GROUP_OBJ = 4;
const MASK = 16;
const OTHER = 32;

export const SOME_ACL = acl([USER_OBJ, 6], [USER, 4, 1234], [GROUP_OBJ, 4], [MASK, 6], [OTHER, 0]);

function check(result: number, what: string): number {
  if (result < 0) throw new Error(`${what}: errno ${-result}`);
  return result;
}

export class TreeMaker {
  readonly #value = new files.NativeBuffer(1 << 20);

  open(directory: string): number {
    mkdirSync(directory, { recursive: true });
    return check(files.openat2(files.AT_FDCWD, path.text(directory), DIR, 0), directory);
  }

  directory(parent: number, name: Uint8Array | string, mode = 0o755): number {
    const bytes = Buffer.from(name);
    check(files.mkdirat(parent, path.of(bytes), 0o700), "mkdirat");
    const fd = check(files.openat2(parent, path.of(bytes), DIR, 0), "open");
    files.fchmod(fd, mode);
    return fd;
  }

  file(parent: number, name: Uint8Array | string, content: Uint8Array | string = "", mode = 0o644): number {
    const bytes = Buffer.from(name);
    const fd = check(files.openat2(parent, path.of(bytes), O_RDWR | O_CREAT, 0, 0o600), "create");
    this.write(fd, content, 0);
    files.fchmod(fd, mode);
    return fd;
  }

  write(fd: number, content: Uint8Array | string, offset: number): void {
    const data = Buffer.from(content);
    for (let at = 0; at < data.length; at += this.#value.bytes.length) {
      const part = data.subarray(at, at + this.#value.bytes.length);
      this.#value.bytes.set(part);
      libc.pwrite(fd, this.#value.address, part.length, offset + at);
    }
  }

  xattr(fd: number, name: string, value: Uint8Array | string): void {
    const data = Buffer.from(value);
    this.#value.bytes.set(data);
    check(files.fsetxattr(fd, path.text(name), this.#value.address, data.length), name);
  }

  /** Everything, below a directory that is made. */
  make(directory: string): void {
    const top = this.open(directory);
    const close = files.closeFd;
    const plain = this.directory(top, "plain");
    for (let n = 0; n < 50; n++) close(this.file(plain, `file ${n}`, `${n} `.repeat(n * 37)));
    close(this.file(plain, "exactly a piece", Buffer.alloc(262144, "piece")));
    close(this.file(plain, "a piece and a byte", Buffer.alloc(262145, "piece+")));
    close(this.file(plain, "noise", crypto.getRandomValues(new Uint8Array(60_000))));
    check(files.fchown(plain, 12, 34), "chown");
    close(plain);

    const names = this.directory(top, Buffer.from([0xff, 0xfe, 0x0a, 0x20, 0x5c]));
    for (let byte = 1; byte < 256; byte++) {
      if (byte !== 0x2f) close(this.file(names, Buffer.from([0x78, byte]), String(byte)));
    }
    close(this.file(names, Buffer.alloc(255, 0xc3), "long"));
    close(this.file(names, "-rf *", "star"));
    close(names);

    const odd = this.directory(top, "odd", 0o7751);
    for (const mode of [0o4755, 0o2755, 0o6711, 0o1644, 0, 0o777, 0o400]) {
      const fd = this.file(odd, `mode ${mode.toString(8)}`, "x");
      files.fchown(fd, 1001, 1002);
      files.fchmod(fd, mode);
      close(fd);
    }
    for (const [n, [seconds, ns]] of [
      [-5, 123_456_789],
      [2 ** 33, 1],
      [0, 999_999_999],
    ].entries()) {
      const fd = this.file(odd, `time ${n}`, "t");
      files.futimens(fd, 0, files.UTIME_OMIT, seconds as number, ns as number);
      close(fd);
    }
    const tagged = this.file(odd, "xattrs", "tagged", 0o660);
    this.xattr(tagged, "user.empty", "");
    this.xattr(tagged, "user.bytes", Uint8Array.from([0, 255, 10]));
    this.xattr(tagged, "trusted.secret", "root");
    this.xattr(tagged, "system.posix_acl_access", SOME_ACL);
    close(tagged);
    const capable = this.file(odd, "capable", "#!/bin/true", 0o755);
    files.fchown(capable, 7, 7);
    this.xattr(
      capable,
      "security.capability",
      Buffer.from("0100000200040000000000000000000000000000", "hex"),
    );
    close(capable);
    const heir = this.directory(odd, "default acl");
    close(this.file(heir, "child without an acl", "c", 0o640));
    this.xattr(heir, "system.posix_acl_default", SOME_ACL);
    files.futimens(heir, 0, files.UTIME_OMIT, 77, 88);
    close(heir);
    for (const [name, flags] of [
      ["immutable", 0x10],
      ["append", 0x20],
      ["nodump", 0x40],
    ] as const) {
      const fd = this.file(odd, name, name);
      files.setInodeFlags(fd, flags);
      close(fd);
    }
    const locked = this.directory(odd, "immutable directory");
    close(this.file(locked, "inside", "inside"));
    files.futimens(locked, 0, files.UTIME_OMIT, 5, 6);
    files.setInodeFlags(locked, 0x10);
    close(locked);

    const sparse = this.file(odd, "sparse", "");
    this.write(sparse, "begins", 0);
    this.write(sparse, "middle", 3_000_000);
    libc.ftruncate(sparse, 9_000_001);
    close(sparse);
    const hole = this.file(odd, "only a hole", "");
    libc.ftruncate(hole, 2_000_000);
    close(hole);

    const special = this.directory(top, "special");
    for (const [name, type, device] of [
      ["fifo", files.S_IFIFO, 0],
      ["socket", files.S_IFSOCK, 0],
      ["null", files.S_IFCHR, files.deviceNumber(1, 3)],
      ["large numbers", files.S_IFBLK, files.deviceNumber(259, 70_000)],
    ] as const) {
      check(files.mknodat(special, path.text(name), type | 0o624, device), name);
      check(files.utimensat(special, path.text(name), 0, files.UTIME_OMIT, 123, 456), name);
      check(files.fchownat(special, path.text(name), 5, 6), name);
    }
    check(files.symlinkat(other.of(Buffer.from([0xff, 0x2f, 0x20])), special, path.text("link")), "symlink");
    check(files.fchownat(special, path.text("link"), 8, 9), "chown");
    check(files.utimensat(special, path.text("link"), 0, files.UTIME_OMIT, 11, 22), "time");
    check(files.symlinkat(other.text("a".repeat(4000)), special, path.text("long link")), "symlink");
    close(special);

    const linked = this.directory(top, "linked");
    close(this.file(linked, "first", "one file"));
    check(files.linkat(linked, path.text("first"), linked, other.text("second")), "link");
    check(files.linkat(linked, path.text("first"), top, other.text("zz third")), "link");
    const kept = this.file(linked, "kept", "immutable and linked");
    check(files.linkat(linked, path.text("kept"), linked, other.text("kept too")), "link");
    files.setInodeFlags(kept, 0x10);
    close(kept);
    check(files.symlinkat(other.text("to"), linked, path.text("symlink")), "symlink");
    check(files.linkat(linked, path.text("symlink"), linked, other.text("symlink too")), "link");
    close(linked);

    let deep = this.directory(top, "deep");
    for (let level = 0; level < 60; level++) {
      const next = this.directory(deep, `${level} ${"d".repeat(100)}`);
      close(deep);
      deep = next;
    }
    close(this.file(deep, "at the bottom", "bottom"));
    close(deep);
    close(this.directory(top, "empty", 0o500));
    files.futimens(top, 0, files.UTIME_OMIT, 1_000_000_000, 5);
    close(top);
  }
}

/** Takes off what keeps a tree from being removed, then removes it. */
export function removeTree(directory: string): void {
  Bun.spawnSync(["sh", "-c", 'chattr -R -f -i -a -- "$1"; rm -rf -- "$1"', "sh", directory]);
}
