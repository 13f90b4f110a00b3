/** @module Who uses a store: kernel locks (flock), which die with their holder, however it dies.
 *  (1) One writer: exclusive on STORE/lock. Who holds it stands in the file, for the message only.
 *  (2) Readers share a lock on the directory itself; only what takes bytes away from archives (prune) needs it alone. It works on a
 *      read-only file system, and where it cannot be had reading goes on without: then nobody can prune there either. */
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { checked, EAGAIN, EINTR, errorText, libc } from "../../base/ffi.ts";
import { type StoreFault, storeFault } from "./contract.ts";
import { faultOf } from "./durable.ts";
import { LOCK } from "./layout.ts";

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

function flock(fd: number, operation: number): number {
  let result = checked(libc.flock(fd, operation));
  while (result === -EINTR) result = checked(libc.flock(fd, operation));
  return result;
}

export interface WriterLock {
  readonly kind: "locked";
  release(): void;
}

/** `atMs`: for the next one's message. */
export function lockForWriting(directory: string, atMs: number): WriterLock | StoreFault {
  const path = join(directory, LOCK);
  let fd: number;
  try {
    fd = openSync(path, "a+", 0o600);
  } catch (error) {
    return faultOf(path, error);
  }
  const result = flock(fd, LOCK_EX | LOCK_NB);
  if (result < 0) {
    closeSync(fd);
    if (result !== -EAGAIN) return storeFault("io", `${path}: cannot be locked: ${errorText(result)}`);
    return storeFault("locked", `${directory}: in use by ${holderOf(path)}; wait for it, or stop it`);
  }
  try {
    ftruncateSync(fd, 0);
    writeSync(fd, `${process.pid} ${new Date(atMs).toISOString()}\n`);
  } catch {
    // A full disk: the lock holds, only its holder's number is not known to others.
  }
  let held = true;
  return {
    kind: "locked",
    release() {
      if (held) closeSync(fd);
      held = false;
    },
  };
}

function holderOf(path: string): string {
  try {
    const match = /^(\d+) (\S+)$/.exec(readFileSync(path, "utf8").trim());
    if (match === null) return "another process";
    let command = "";
    try {
      command = readFileSync(`/proc/${match[1]}/comm`, "utf8").trim();
    } catch {
      // It runs in another container or on another computer.
    }
    return `process ${match[1]}${command === "" ? "" : ` (${command})`} since ${match[2]}`;
  } catch {
    return "another process";
  }
}

/** The readers' lock of one handle on a store. */
export class ReaderLock {
  readonly #directory: number;

  /** `directory`: a descriptor of the store's directory, the caller's. Waits while somebody prunes: that is short. */
  constructor(directory: number) {
    this.#directory = directory;
    flock(directory, LOCK_SH);
  }

  /** Alone, for taking bytes away; a fault where others read. */
  alone(path: string): StoreFault | null {
    const result = flock(this.#directory, LOCK_EX | LOCK_NB);
    if (result >= 0) return null;
    // The kernel may have let go of the shared lock first.
    flock(this.#directory, LOCK_SH);
    if (result !== -EAGAIN) return storeFault("io", `${path}: cannot be locked: ${errorText(result)}`);
    return storeFault(
      "locked",
      `${path}: a restore or a verification reads from it; nothing is deleted meanwhile`,
    );
  }

  shared(): void {
    flock(this.#directory, LOCK_SH);
  }

  close(): void {
    flock(this.#directory, LOCK_UN);
  }
}
