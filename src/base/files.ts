/** @module The file system through bun:ffi, for whoever must see each byte of a name and each nanosecond of a time.
 *
 *  (1) Names are bytes ended by NUL at a native address: no string in between. `CPath` and `NativeBuffer` hold such bytes.
 *  (2) Results are as in ffi.ts: what the call gave, or -errno. Nothing throws, nothing retries but where it says so.
 *  (3) The scratch memory of this module belongs to its thread (each Worker has a module of its own).
 *  (4) Needs Linux 5.6 (openat2) and glibc 2.30. */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { checked, libc, O_CLOEXEC } from "./ffi.ts";

const { i32, u32, i64_fast, u64_fast } = {
  i32: FFIType.i32,
  u32: FFIType.u32,
  i64_fast: FFIType.i64_fast,
  u64_fast: FFIType.u64_fast,
} as const;

const { symbols: c } = dlopen("libc.so.6", {
  syscall: { args: [i64_fast, i64_fast, u64_fast, u64_fast, u64_fast, i64_fast], returns: i64_fast },
  statx: { args: [i32, u64_fast, i32, u32, u64_fast], returns: i32 },
  getdents64: { args: [i32, u64_fast, u64_fast], returns: i64_fast },
  readlinkat: { args: [i32, u64_fast, u64_fast, u64_fast], returns: i64_fast },
  flistxattr: { args: [i32, u64_fast, u64_fast], returns: i64_fast },
  llistxattr: { args: [u64_fast, u64_fast, u64_fast], returns: i64_fast },
  fgetxattr: { args: [i32, u64_fast, u64_fast, u64_fast], returns: i64_fast },
  lgetxattr: { args: [u64_fast, u64_fast, u64_fast, u64_fast], returns: i64_fast },
  fsetxattr: { args: [i32, u64_fast, u64_fast, u64_fast, i32], returns: i32 },
  lsetxattr: { args: [u64_fast, u64_fast, u64_fast, u64_fast, i32], returns: i32 },
  fremovexattr: { args: [i32, u64_fast], returns: i32 },
  lremovexattr: { args: [u64_fast, u64_fast], returns: i32 },
  mkdirat: { args: [i32, u64_fast, u32], returns: i32 },
  symlinkat: { args: [u64_fast, i32, u64_fast], returns: i32 },
  mknodat: { args: [i32, u64_fast, u32, u64_fast], returns: i32 },
  linkat: { args: [i32, u64_fast, i32, u64_fast, i32], returns: i32 },
  unlinkat: { args: [i32, u64_fast, i32], returns: i32 },
  renameat2: { args: [i32, u64_fast, i32, u64_fast, u32], returns: i32 },
  fchown: { args: [i32, u32, u32], returns: i32 },
  fchownat: { args: [i32, u64_fast, u32, u32, i32], returns: i32 },
  fchmod: { args: [i32, u32], returns: i32 },
  fchmodat: { args: [i32, u64_fast, u32, i32], returns: i32 },
  utimensat: { args: [i32, u64_fast, u64_fast, i32], returns: i32 },
  futimens: { args: [i32, u64_fast], returns: i32 },
  ioctl: { args: [i32, u64_fast, u64_fast], returns: i32 },
  fstatfs: { args: [i32, u64_fast], returns: i32 },
  syncfs: { args: [i32], returns: i32 },
});

const arm = process.arch === "arm64";

/** Stands for the current directory where a directory's descriptor is asked for. */
export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_NO_AUTOMOUNT = 0x800;
export const AT_EMPTY_PATH = 0x1000;

export const O_WRONLY = 1;
export const O_TRUNC = 0o1000;
export const O_NONBLOCK = 0o4000;
export const O_DIRECTORY = arm ? 0o40000 : 0o200000;
export const O_NOFOLLOW = arm ? 0o100000 : 0o400000;
/** Leaves the access time alone; only for the file's owner or root, else EPERM. */
export const O_NOATIME = 0o1000000;
export const O_PATH = 0o10000000;

/** openat2: how a path may be walked. */
export const RESOLVE_NO_XDEV = 0x01;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;
export const RESOLVE_IN_ROOT = 0x10;

export const EPERM = 1;
export const ENOENT = 2;
export const ENXIO = 6;
export const EBADF = 9;
export const EACCES = 13;
export const EEXIST = 17;
export const EXDEV = 18;
export const ENOTDIR = 20;
export const EISDIR = 21;
export const EMFILE = 24;
export const ENOTTY = 25;
export const EFBIG = 27;
export const EROFS = 30;
export const ERANGE = 34;
export const ENAMETOOLONG = 36;
export const ENOSYS = 38;
export const ENOTEMPTY = 39;
export const ELOOP = 40;
export const ENODATA = 61;
export const EOPNOTSUPP = 95;
export const ESTALE = 116;
export const EDQUOT = 122;

export const S_IFMT = 0o170000;
export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFBLK = 0o060000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const S_IFSOCK = 0o140000;

/** Memory at an address that stays while this object lives. */
export class NativeBuffer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly address: number;

  constructor(sizeBytes: number) {
    this.bytes = new Uint8Array(new ArrayBuffer(sizeBytes));
    this.address = Number(ptr(this.bytes));
  }

  /** The same bytes at the head of a larger buffer. */
  grown(sizeBytes: number): NativeBuffer {
    const larger = new NativeBuffer(sizeBytes);
    larger.bytes.set(this.bytes);
    return larger;
  }
}

/** One name or path at a time, ended by NUL; the address counts until the next call of `of` or `text`. */
export class CPath {
  #buffer = new NativeBuffer(8192);

  /** Puts down bytes [from, to) and gives their address. */
  of(bytes: Uint8Array, from = 0, to = bytes.length): number {
    const length = to - from;
    if (length >= this.#buffer.bytes.length) this.#buffer = new NativeBuffer(2 * length + 1);
    const into = this.#buffer.bytes;
    if (length < 64) for (let at = 0; at < length; at++) into[at] = bytes[from + at] as number;
    else into.set(bytes.subarray(from, to));
    into[length] = 0;
    return this.#buffer.address;
  }

  text(path: string): number {
    return this.of(Buffer.from(path));
  }
}

const scratch = new NativeBuffer(256);
const scratchU32 = new Uint32Array(scratch.bytes.buffer);
const scratchI64 = new BigInt64Array(scratch.bytes.buffer);
const EMPTY_AT = 248; // a NUL that nobody overwrites: the empty path
const EMPTY = scratch.address + EMPTY_AT;

/** An empty path, for calls with AT_EMPTY_PATH. */
export const EMPTY_PATH = EMPTY;

const SYS_OPENAT2 = 437;
const OPEN_HOW_BYTES = 24;
const how = new NativeBuffer(64);
const howU32 = new Uint32Array(how.bytes.buffer);

/** Opens a path; O_CLOEXEC is added. Returns a descriptor or -errno (ELOOP: a symbolic link, EXDEV: it left the root). */
export function openat2(dirFd: number, path: number, flags: number, resolve: number, mode = 0): number {
  howU32[0] = flags | O_CLOEXEC;
  howU32[2] = mode;
  howU32[4] = resolve;
  for (;;) {
    const fd = checked(c.syscall(SYS_OPENAT2, dirFd, path, how.address, OPEN_HOW_BYTES, 0));
    // EAGAIN: a rename somewhere raced with RESOLVE_BENEATH; the kernel's manual says to try again.
    if (fd !== -4 && fd !== -11) return fd;
  }
}

export const closeFd = (fd: number): number => checked(libc.close(fd));

export const STATX_BYTES = 256;
export const STATX_BASIC = 0x7ff;
export const STATX_MNT_ID = 0x1000;

/** Fills the 256 bytes at `into` (layout: statx(2)); class Statx reads them. */
export function statx(dirFd: number, path: number, flags: number, mask: number, into: number): number {
  const result = c.statx(dirFd, path, flags, mask, into);
  return result === 0 ? 0 : checked(result);
}

/** One file's attributes as the kernel gave them last. Times: whole seconds and nanoseconds. */
export class Statx {
  readonly #buffer = new NativeBuffer(STATX_BYTES);
  readonly address = this.#buffer.address;
  readonly #u32 = new Uint32Array(this.#buffer.bytes.buffer);
  readonly #i32 = new Int32Array(this.#buffer.bytes.buffer);

  /** A name in a directory; a symbolic link is described, not followed. */
  at(dirFd: number, path: number, flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT): number {
    return statx(dirFd, path, flags, STATX_BASIC, this.address);
  }

  of(fd: number): number {
    return statx(fd, EMPTY, AT_EMPTY_PATH, STATX_BASIC, this.address);
  }

  get links(): number {
    return this.#u32[4] as number;
  }
  get uid(): number {
    return this.#u32[5] as number;
  }
  get gid(): number {
    return this.#u32[6] as number;
  }
  /** Type and permission bits. */
  get mode(): number {
    return (this.#u32[7] as number) & 0xffff;
  }
  /** Bits 0 to 31 of the statx attributes. */
  get attributes(): number {
    return this.#u32[2] as number;
  }
  get inodeLow(): number {
    return this.#u32[8] as number;
  }
  get inodeHigh(): number {
    return this.#u32[9] as number;
  }
  get sizeBytes(): number {
    return (this.#u32[11] as number) * 0x1_0000_0000 + (this.#u32[10] as number);
  }
  /** Of 512 bytes. */
  get blocks(): number {
    return (this.#u32[13] as number) * 0x1_0000_0000 + (this.#u32[12] as number);
  }
  get atimeSeconds(): number {
    return (this.#i32[17] as number) * 0x1_0000_0000 + (this.#u32[16] as number);
  }
  get atimeNs(): number {
    return this.#u32[18] as number;
  }
  get ctimeSeconds(): number {
    return (this.#i32[25] as number) * 0x1_0000_0000 + (this.#u32[24] as number);
  }
  get ctimeNs(): number {
    return this.#u32[26] as number;
  }
  get mtimeSeconds(): number {
    return (this.#i32[29] as number) * 0x1_0000_0000 + (this.#u32[28] as number);
  }
  get mtimeNs(): number {
    return this.#u32[30] as number;
  }
  /** Of a character or block special file: major * 2^20 + minor. */
  get specialDevice(): number {
    return deviceNumber(this.#u32[32] as number, this.#u32[33] as number);
  }
  /** The file system's: major * 2^20 + minor. */
  get device(): number {
    return deviceNumber(this.#u32[34] as number, this.#u32[35] as number);
  }
}

/** Devices as one number: major * 2^20 + minor. */
export const deviceNumber = (major: number, minor: number): number => major * 0x10_0000 + minor;

/** A device number as mknod(2) takes it. */
export function kernelDevice(device: number): bigint {
  const major = BigInt(Math.floor(device / 0x10_0000));
  const minor = BigInt(device % 0x10_0000);
  return (
    ((major & 0xfffff000n) << 32n) |
    ((major & 0xfffn) << 8n) |
    ((minor & 0xffffff00n) << 12n) |
    (minor & 0xffn)
  );
}

/** Directory records (u64 inode, i64 offset, u16 bytes, u8 type, name, NUL) into memory; 0 at the end. */
export const getdents64 = (fd: number, into: number, bytes: number): number =>
  checked(c.getdents64(fd, into, bytes));

/** A symbolic link's text (not ended by NUL); as many bytes as there is room for. */
export const readlinkat = (dirFd: number, path: number, into: number, bytes: number): number =>
  checked(c.readlinkat(dirFd, path, into, bytes));

/** Names, each ended by NUL; with 0 bytes of room: how many there are. ERANGE: more than the room. */
export const flistxattr = (fd: number, into: number, bytes: number): number =>
  checked(c.flistxattr(fd, into, bytes));
export const llistxattr = (path: number, into: number, bytes: number): number =>
  checked(c.llistxattr(path, into, bytes));
export const fgetxattr = (fd: number, name: number, into: number, bytes: number): number =>
  checked(c.fgetxattr(fd, name, into, bytes));
export const lgetxattr = (path: number, name: number, into: number, bytes: number): number =>
  checked(c.lgetxattr(path, name, into, bytes));
export const fsetxattr = (fd: number, name: number, value: number, bytes: number): number =>
  checked(c.fsetxattr(fd, name, value, bytes, 0));
export const lsetxattr = (path: number, name: number, value: number, bytes: number): number =>
  checked(c.lsetxattr(path, name, value, bytes, 0));
export const fremovexattr = (fd: number, name: number): number => checked(c.fremovexattr(fd, name));
export const lremovexattr = (path: number, name: number): number => checked(c.lremovexattr(path, name));

export const mkdirat = (dirFd: number, path: number, mode: number): number =>
  checked(c.mkdirat(dirFd, path, mode));
export const symlinkat = (target: number, dirFd: number, path: number): number =>
  checked(c.symlinkat(target, dirFd, path));
/** `mode` with its S_IF bits; `device` as major * 2^20 + minor. */
export const mknodat = (dirFd: number, path: number, mode: number, device: number): number =>
  checked(c.mknodat(dirFd, path, mode, kernelDevice(device)));
/** A second name for a file; a symbolic link is linked itself unless flags hold AT_SYMLINK_FOLLOW. */
export const linkat = (oldFd: number, oldPath: number, newFd: number, newPath: number, flags = 0): number =>
  checked(c.linkat(oldFd, oldPath, newFd, newPath, flags));
/** With AT_REMOVEDIR: an empty directory. */
export const unlinkat = (dirFd: number, path: number, flags = 0): number =>
  checked(c.unlinkat(dirFd, path, flags));

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const renameat2 = (
  oldFd: number,
  oldPath: number,
  newFd: number,
  newPath: number,
  flags = 0,
): number => checked(c.renameat2(oldFd, oldPath, newFd, newPath, flags));

export const fchown = (fd: number, uid: number, gid: number): number => checked(c.fchown(fd, uid, gid));
/** The link itself where it is a symbolic one. */
export const fchownat = (
  dirFd: number,
  path: number,
  uid: number,
  gid: number,
  flags = AT_SYMLINK_NOFOLLOW,
): number => checked(c.fchownat(dirFd, path, uid, gid, flags));
export const fchmod = (fd: number, mode: number): number => checked(c.fchmod(fd, mode));
/** Follows a symbolic link (the kernel has no mode for links): make sure that it is none. */
export const fchmodat = (dirFd: number, path: number, mode: number): number =>
  checked(c.fchmodat(dirFd, path, mode, 0));

/** In place of nanoseconds: leave this time as it is, or set it to now. */
export const UTIME_OMIT = 0x3ffffffe;
export const UTIME_NOW = 0x3fffffff;

/** A time_t and its nanoseconds at a 64-bit word of the scratch memory; without BigInts, since a restore does it a file. */
function putTime(word: number, seconds: number, nanoseconds: number): void {
  scratchU32[word * 2] = seconds % 0x1_0000_0000;
  scratchU32[word * 2 + 1] = Math.floor(seconds / 0x1_0000_0000);
  scratchU32[word * 2 + 2] = nanoseconds;
  scratchU32[word * 2 + 3] = 0;
}

function putTimes(atimeSeconds: number, atimeNs: number, mtimeSeconds: number, mtimeNs: number): number {
  putTime(0, atimeSeconds, atimeNs);
  putTime(2, mtimeSeconds, mtimeNs);
  return scratch.address;
}

/** Sets access and modification times to the nanosecond; a symbolic link's own by default. */
export function utimensat(
  dirFd: number,
  path: number,
  atimeSeconds: number,
  atimeNs: number,
  mtimeSeconds: number,
  mtimeNs: number,
  flags = AT_SYMLINK_NOFOLLOW,
): number {
  return checked(c.utimensat(dirFd, path, putTimes(atimeSeconds, atimeNs, mtimeSeconds, mtimeNs), flags));
}

/** The same of an open file. */
export function futimens(
  fd: number,
  atimeSeconds: number,
  atimeNs: number,
  mtimeSeconds: number,
  mtimeNs: number,
): number {
  return checked(c.futimens(fd, putTimes(atimeSeconds, atimeNs, mtimeSeconds, mtimeNs)));
}

const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
/** Inode flags (chattr); their first bits are not those of statx, but these four have the same values. */
export const FS_COMPR_FL = 0x04;
export const FS_IMMUTABLE_FL = 0x10;
export const FS_APPEND_FL = 0x20;
export const FS_NODUMP_FL = 0x40;

/** The inode flags of an open file or directory (32 bits), or -errno (ENOTTY, EOPNOTSUPP: the file system has none). */
export function inodeFlags(fd: number): number {
  scratchU32[0] = 0;
  const result = checked(c.ioctl(fd, FS_IOC_GETFLAGS, scratch.address));
  return result < 0 ? result : (scratchU32[0] as number);
}

export function setInodeFlags(fd: number, flags: number): number {
  scratchU32[0] = flags;
  return checked(c.ioctl(fd, FS_IOC_SETFLAGS, scratch.address));
}

export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
/** The next data or hole at or behind `offset`; -ENXIO: there is no data behind it. Moves the descriptor's offset. */
export const seek = (fd: number, offset: number, whence: number): number =>
  checked(libc.lseek(fd, offset, whence));

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
/** Gives the range's space back to the file system; it reads as zeros then. EOPNOTSUPP: it cannot. */
export const punchHole = (fd: number, offset: number, bytes: number): number =>
  checked(libc.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes));
/** Reserves space; the file's size stays. */
export const reserve = (fd: number, offset: number, bytes: number): number =>
  checked(libc.fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, bytes));

export interface FileSystemStats {
  /** The kernel's magic number of the type of file system. */
  readonly magic: number;
  readonly blockBytes: number;
  readonly totalBytes: number;
  /** Free to whoever is not root. */
  readonly availableBytes: number;
  /** Free in all, root's reserve included. */
  readonly freeBytes: number;
  readonly inodes: number;
  readonly inodesFree: number;
}

/** The file system that an open file lies in, or -errno. */
export function fileSystemStats(fd: number): FileSystemStats | number {
  const result = checked(c.fstatfs(fd, scratch.address));
  if (result < 0) return result;
  const word = (at: number) => Number(scratchI64[at]);
  const fragmentBytes = word(9) || word(1);
  return {
    magic: Number(BigInt.asUintN(32, scratchI64[0] as bigint)),
    blockBytes: word(1),
    totalBytes: word(2) * fragmentBytes,
    freeBytes: word(3) * fragmentBytes,
    availableBytes: word(4) * fragmentBytes,
    inodes: word(5),
    inodesFree: word(6),
  };
}

/** Writes out all of the file system that an open file lies in. */
export const syncFileSystem = (fd: number): number => checked(c.syncfs(fd));
