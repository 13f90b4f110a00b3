/** @module Room kept back for the day when the disk is full: deleting may want a block of a directory, a pin a new file.
 *  Given back at the next opening for writing that finds room again. */
import { closeSync, fsyncSync, openSync, statfsSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { removeIfThere } from "./durable.ts";
import { RESERVE } from "./layout.ts";

export const RESERVE_BYTES = 256 * 1024;
/** Made only where so many times more is free. */
const PLENTY = 64;

/** Without it the store works too: no failure is told. */
export function keepReserve(directory: string): void {
  const path = join(directory, RESERVE);
  try {
    if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) >= RESERVE_BYTES) return;
    const { bavail, bsize } = statfsSync(directory);
    if (bavail * bsize < RESERVE_BYTES * PLENTY) return;
    const fd = openSync(path, "w", 0o600);
    try {
      // Not zeros: some file systems keep none.
      writeSync(fd, crypto.getRandomValues(new Uint8Array(65536)), 0);
      for (let at = 65536; at < RESERVE_BYTES; at += 65536) {
        writeSync(fd, crypto.getRandomValues(new Uint8Array(65536)), 0, 65536, at);
      }
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    // The next opening tries again.
  }
}

/** false: there was none. */
export function giveReserve(directory: string): boolean {
  try {
    return removeIfThere(join(directory, RESERVE));
  } catch {
    return false;
  }
}
