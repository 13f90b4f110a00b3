/** @module The port between the cache and its members' files: the system calls that touch data, so that tests can
 *  make any of them fail. Results are bytes or -errno. `member` says whose call it is; the system ignores it. */

import { checked, EINTR, libc, preadFully, pwriteFully } from "../base/ffi.ts";
import { AsyncWrites, type WriteBatch } from "./aio.ts";

export interface MemberIo {
  pwritev(member: number, fd: number, iovecsAddress: number, iovecCount: number, offset: number): number;
  /** All writes of the batch, at once where that can be had; fills its results. */
  pwritevAll(batch: WriteBatch): void;
  pwrite(member: number, fd: number, address: number, bytes: number, offset: number): number;
  pread(member: number, fd: number, address: number, bytes: number, offset: number): number;
  fdatasync(member: number, fd: number): number;
  /** Asks for bytes that will be read soon; returns at once, and may do nothing. */
  prefetch(member: number, fd: number, offset: number, bytes: number): void;
}

const POSIX_FADV_WILLNEED = 3;

/** One a thread, made when first needed. */
let asyncWrites: AsyncWrites | null | undefined;

/** A batch one by one, from `first` on. */
export function writeOneByOne(io: MemberIo, batch: WriteBatch, first = 0): void {
  for (let i = first; i < batch.count; i++) {
    const { iovecCount, offset } = batch;
    batch.results[i] = io.pwritev(
      batch.members[i] ?? 0,
      batch.fds[i] ?? -1,
      batch.iovecs[i] ?? 0,
      iovecCount,
      offset,
    );
  }
}

export const systemIo: MemberIo = {
  pwritevAll(batch) {
    if (asyncWrites === undefined) asyncWrites = AsyncWrites.open();
    const submitted = batch.count > 1 && asyncWrites !== null ? asyncWrites.write(batch) : 0;
    writeOneByOne(systemIo, batch, submitted);
  },
  pwritev(_member, fd, iovecsAddress, iovecCount, offset) {
    for (;;) {
      const wrote = checked(libc.pwritev(fd, iovecsAddress, iovecCount, offset));
      if (wrote !== -EINTR) return wrote;
    }
  },
  pwrite(_member, fd, address, bytes, offset) {
    return pwriteFully(fd, address, bytes, offset);
  },
  pread(_member, fd, address, bytes, offset) {
    return preadFully(fd, address, bytes, offset);
  },
  fdatasync(_member, fd) {
    for (;;) {
      const result = checked(libc.fdatasync(fd));
      if (result !== -EINTR) return result;
    }
  },
  prefetch(_member, fd, offset, bytes) {
    libc.posix_fadvise(fd, offset, bytes, POSIX_FADV_WILLNEED);
  },
};
