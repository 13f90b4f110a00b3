/** @module libc through bun:ffi: the few calls that the data plane needs. All may block their thread.
 *  Addresses are native addresses as numbers (exact below 2^53). Errors come back as -errno, as in the kernel's own
 *  interface: no exceptions on the data path, no reading of errno twice. */
import { dlopen, FFIType, read } from "bun:ffi";

const { i32, u32, i64_fast, u64_fast, ptr, cstring } = {
  i32: FFIType.i32,
  u32: FFIType.u32,
  i64_fast: FFIType.i64_fast,
  u64_fast: FFIType.u64_fast,
  ptr: FFIType.ptr,
  cstring: FFIType.cstring,
} as const;

const { symbols: c } = dlopen("libc.so.6", {
  __errno_location: { args: [], returns: ptr },
  open: { args: [cstring, i32, u32], returns: i32 },
  close: { args: [i32], returns: i32 },
  pread: { args: [i32, u64_fast, u64_fast, i64_fast], returns: i64_fast },
  pwrite: { args: [i32, u64_fast, u64_fast, i64_fast], returns: i64_fast },
  preadv: { args: [i32, u64_fast, i32, i64_fast], returns: i64_fast },
  pwritev: { args: [i32, u64_fast, i32, i64_fast], returns: i64_fast },
  posix_fadvise: { args: [i32, i64_fast, i64_fast, i32], returns: i32 },
  fdatasync: { args: [i32], returns: i32 },
  fsync: { args: [i32], returns: i32 },
  ftruncate: { args: [i32, i64_fast], returns: i32 },
  fallocate: { args: [i32, i32, i64_fast, i64_fast], returns: i32 },
  lseek: { args: [i32, i64_fast, i32], returns: i64_fast },
  flock: { args: [i32, i32], returns: i32 },
  socket: { args: [i32, i32, i32], returns: i32 },
  bind: { args: [i32, ptr, u32], returns: i32 },
  listen: { args: [i32, i32], returns: i32 },
  accept4: { args: [i32, ptr, ptr, i32], returns: i32 },
  connect: { args: [i32, ptr, u32], returns: i32 },
  getsockname: { args: [i32, ptr, ptr], returns: i32 },
  setsockopt: { args: [i32, i32, i32, ptr, u32], returns: i32 },
  getsockopt: { args: [i32, i32, i32, ptr, ptr], returns: i32 },
  shutdown: { args: [i32, i32], returns: i32 },
  recv: { args: [i32, u64_fast, u64_fast, i32], returns: i64_fast },
  send: { args: [i32, u64_fast, u64_fast, i32], returns: i64_fast },
  sendmsg: { args: [i32, u64_fast, i32], returns: i64_fast },
  recvmsg: { args: [i32, u64_fast, i32], returns: i64_fast },
  poll: { args: [u64_fast, u64_fast, i32], returns: i32 },
  eventfd: { args: [u32, i32], returns: i32 },
  read: { args: [i32, u64_fast, u64_fast], returns: i64_fast },
  write: { args: [i32, u64_fast, u64_fast], returns: i64_fast },
  popen: { args: [cstring, cstring], returns: ptr },
  pclose: { args: [ptr], returns: i32 },
  fileno: { args: [ptr], returns: i32 },
  usleep: { args: [u32], returns: i32 },
  memcpy: { args: [u64_fast, u64_fast, u64_fast], returns: ptr },
  memcmp: { args: [u64_fast, u64_fast, u64_fast], returns: i32 },
});

/** The raw bindings; results of -1 carry errno: pass them through `checked`. */
export const libc = c;

/** -errno where the call returned -1, else the result itself. */
export function checked(result: number | bigint): number {
  const value = Number(result);
  return value === -1 ? -read.i32(c.__errno_location()!, 0) : value;
}

export const EINTR = 4;
export const EIO = 5;
export const EAGAIN = 11;
export const EINVAL = 22;
export const ENOSPC = 28;
export const EADDRINUSE = 98;

export const O_RDONLY = 0;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_DIRECT = 0o40000;
export const O_CLOEXEC = 0o2000000;

/** Opens a file; a negative result is -errno. */
export function openFile(path: string, flags: number, mode = 0o600): number {
  return checked(c.open(Buffer.from(`${path}\0`) as unknown as never, flags | O_CLOEXEC, mode));
}

/** Reads exactly `bytes` (or to end of file); returns the bytes read or -errno. */
export function preadFully(fd: number, address: number, bytes: number, offset: number): number {
  let done = 0;
  while (done < bytes) {
    const got = checked(c.pread(fd, address + done, bytes - done, offset + done));
    if (got === -EINTR) continue;
    if (got < 0) return got;
    if (got === 0) break;
    done += got;
  }
  return done;
}

/** Writes all of `bytes`; returns `bytes` or -errno. */
export function pwriteFully(fd: number, address: number, bytes: number, offset: number): number {
  let done = 0;
  while (done < bytes) {
    const put = checked(c.pwrite(fd, address + done, bytes - done, offset + done));
    if (put === -EINTR) continue;
    if (put < 0) return put;
    done += put;
  }
  return done;
}

const errorNames: Record<number, string> = {
  1: "EPERM: not permitted",
  2: "ENOENT: no such file or directory",
  4: "EINTR: interrupted",
  5: "EIO: input/output error",
  6: "ENXIO: no such device or address",
  9: "EBADF: bad file descriptor",
  11: "EAGAIN: try again",
  12: "ENOMEM: out of memory",
  13: "EACCES: permission denied",
  16: "EBUSY: in use",
  17: "EEXIST: file exists",
  18: "EXDEV: on another file system",
  20: "ENOTDIR: not a directory",
  21: "EISDIR: is a directory",
  22: "EINVAL: invalid argument",
  23: "ENFILE: too many open files in the system",
  24: "EMFILE: too many open files",
  27: "EFBIG: file too large",
  28: "ENOSPC: no space left on device",
  30: "EROFS: read-only file system",
  31: "EMLINK: too many links",
  36: "ENAMETOOLONG: name too long",
  38: "ENOSYS: the kernel cannot do this",
  39: "ENOTEMPTY: directory not empty",
  40: "ELOOP: a symbolic link is in the way",
  61: "ENODATA: no such attribute",
  74: "EBADMSG: damaged on its medium",
  95: "EOPNOTSUPP: not supported here",
  98: "EADDRINUSE: address already in use",
  99: "EADDRNOTAVAIL: cannot assign that address",
  104: "ECONNRESET: connection reset",
  111: "ECONNREFUSED: connection refused",
  112: "EHOSTDOWN: host is down",
  116: "ESTALE: gone from its server",
  117: "EUCLEAN: the file system is damaged",
  122: "EDQUOT: quota exceeded",
};

/** Words for a -errno result. */
export function errorText(negativeErrno: number): string {
  return errorNames[-negativeErrno] ?? `errno ${-negativeErrno}`;
}
