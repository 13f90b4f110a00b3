/** @module The few things archives ask of files. */
import { checked, libc, preadFully, pwriteFully } from "../../base/ffi.ts";
import { writeFault } from "./faults.ts";
import type { WriteFault } from "./types.ts";
import type { Workspace } from "./workspace.ts";

const SEEK_END = 2;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const EOPNOTSUPP = 95;
const ENOSYS = 38;
const POSIX_FADV_SEQUENTIAL = 2;
const POSIX_FADV_DONTNEED = 4;

/** Bytes read (fewer only at the end of the file) or -errno. */
export const readFully = preadFully;

/** Size in bytes, or -errno. */
export function fileBytes(fd: number): number {
  return checked(libc.lseek(fd, 0, SEEK_END));
}

/** What follows is read from the device, not from memory: everything of the file that is already durable leaves the
 *  page cache. */
export function dropCached(fd: number): void {
  libc.posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

export function willReadInOrder(fd: number): void {
  libc.posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
}

/** Makes [offset, offset + bytes) zero, giving its space back where the file system can. */
export function clearRange(
  workspace: Workspace,
  zerosAt: number,
  zeroBytes: number,
  fd: number,
  offset: number,
  bytes: number,
): WriteFault | null {
  const punched = checked(libc.fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, offset, bytes));
  if (punched === 0) return null;
  if (punched !== -EOPNOTSUPP && punched !== -ENOSYS)
    return writeFault(punched, `clearing ${bytes} bytes at ${offset}`);
  workspace.bytes.fill(0, zerosAt, zerosAt + zeroBytes);
  for (let done = 0; done < bytes; done += zeroBytes) {
    const put = pwriteFully(fd, workspace.base + zerosAt, Math.min(zeroBytes, bytes - done), offset + done);
    if (put < 0) return writeFault(put, `clearing ${bytes} bytes at ${offset}`);
  }
  return null;
}
