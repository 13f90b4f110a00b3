/** @module Changes to a store's directory that survive a power cut, and that find room on a full disk.
 *  (1) A file is replaced whole: written beside, synced, renamed, the directory synced.
 *  (2) `makeRoom` is asked once where the disk is full, then the step is tried again. */
import { closeSync, fsyncSync, openSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import type { StepHook, StoreFault, StoreFaultCause } from "./contract.ts";
import { storeFault } from "./contract.ts";

export function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** "ENOSPC: no space left on device", without the call and its paths. */
export function errorWords(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/, \w+( '.*)?$/, "");
}

/** Errors by which a disk that was pulled out shows. */
const GONE = new Set(["EIO", "ENODEV", "ENXIO", "ESTALE", "ENOTCONN", "ESHUTDOWN", "EREMOTEIO"]);

export function faultOf(what: string, error: unknown): StoreFault {
  const code = errorCode(error);
  let cause: StoreFaultCause = "io";
  if (GONE.has(code)) cause = "gone";
  else if (code === "ENOSPC" || code === "EDQUOT") cause = "full";
  else if (code === "EROFS" || code === "EACCES" || code === "EPERM") cause = "readOnly";
  return storeFault(cause, `${what}: ${errorWords(error)}`);
}

export function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

export interface DurableTools {
  readonly hook: StepHook;
  /** Frees a reserve; false: there is none left. */
  readonly makeRoom: () => boolean;
}

/** Does it; where the disk is full, once more after room was made. */
export function withRoom<T>(tools: DurableTools, act: () => T): T {
  try {
    return act();
  } catch (error) {
    const code = errorCode(error);
    if ((code !== "ENOSPC" && code !== "EDQUOT") || !tools.makeRoom()) throw error;
    return act();
  }
}

/** Throws the system's error; the file is then as it was. */
export function replaceFile(path: string, content: string | Uint8Array, tools: DurableTools): void {
  const temporary = `${path}.tmp`;
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  withRoom(tools, () => {
    tools.hook(`write ${temporary}`);
    try {
      const fd = openSync(temporary, "w", 0o600);
      try {
        let done = 0;
        while (done < bytes.length) done += writeSync(fd, bytes, done);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      tools.hook(`rename ${temporary}`);
      renameSync(temporary, path);
    } catch (error) {
      removeIfThere(temporary);
      throw error;
    }
  });
  tools.hook(`sync ${dirname(path)}`);
  syncDirectory(dirname(path));
}

/** false: it was not there. */
export function removeIfThere(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
}
