/** @module An exclusive lock between processes, for work that only one of them may do.
 *
 *  It is flock(2): the kernel drops it when its holder dies, so a killed build leaves no stale lock. The call never
 *  blocks (a blocked foreign call would hold up the whole event loop); waiting is polling. */

import { dlopen, FFIType } from "bun:ffi";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";

const LOCK_EX = 2;
const LOCK_NB = 4;
const POLL_MS = 250;

const libc = dlopen("libc.so.6", {
  flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
});

/** Runs `work` while holding the lock on `path`; the file stays, the lock goes. */
export async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(path), { recursive: true });
  const fd = openSync(path, "a");
  try {
    while (libc.symbols.flock(fd, LOCK_EX | LOCK_NB) !== 0) await Bun.sleep(POLL_MS);
    return await work();
  } finally {
    closeSync(fd);
  }
}
