/** @module One process a state directory: a kernel lock (flock) on DIR/lock, which dies with its holder, however it dies.
 *  The holder's process id stands in the file for the message only; the lock is the truth. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checked, EAGAIN, EINTR, errorText, libc, O_CREAT, O_RDWR, openFile } from "./ffi.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;

export interface StateLock {
  readonly kind: "locked";
  /** Lets go; the end of the process does so too. */
  release(): void;
}

export interface StateLockRefused {
  readonly kind: "refused";
  readonly text: string;
}

/** Makes the directory (mode 700) where it is missing and takes it for this process. */
export function lockState(directory: string): StateLock | StateLockRefused {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    const cause = error instanceof Error ? error.message.replace(/, mkdir .*$/, "") : String(error);
    return {
      kind: "refused",
      text: `${directory}: the state directory cannot be made: ${cause}; name another: --state DIR`,
    };
  }
  const path = join(directory, "lock");
  const fd = openFile(path, O_RDWR | O_CREAT);
  if (fd < 0) {
    return {
      kind: "refused",
      text: `${path}: cannot be opened: ${errorText(fd)}; name another directory: --state DIR`,
    };
  }
  let result = checked(libc.flock(fd, LOCK_EX | LOCK_NB));
  while (result === -EINTR) result = checked(libc.flock(fd, LOCK_EX | LOCK_NB));
  if (result < 0) {
    libc.close(fd);
    const text =
      result === -EAGAIN
        ? `${directory}: in use by ${holderOf(path)}; stop it, or name another directory: --state DIR`
        : `${path}: cannot be locked: ${errorText(result)}`;
    return { kind: "refused", text };
  }
  writeFileSync(path, `${process.pid}\n`);
  let held = true;
  return {
    kind: "locked",
    release() {
      if (held) libc.close(fd);
      held = false;
    },
  };
}

function holderOf(path: string): string {
  try {
    const pid = readFileSync(path, "utf8").trim();
    return /^\d+$/.test(pid) ? `process ${pid}` : "another process";
  } catch {
    return "another process";
  }
}
