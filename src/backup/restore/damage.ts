/** @module A backup's index that is not what was written. */
import { pathLine } from "../archive/names.ts";
import { comparePaths } from "../entry.ts";
import { isDamage } from "../index/damage.ts";
import type { Gap } from "../index/mended.ts";

export interface DamagedIndex {
  readonly kind: "damaged";
  readonly text: string;
}

/** Bytes of an index that are not what was written; anything else is a bug. */
export function damageOf(error: unknown): DamagedIndex {
  if (isDamage(error)) {
    return { kind: "damaged", text: `the index is damaged: ${error.message}` };
  }
  throw error;
}

/** For people: where a gap lies and what is wrong. */
export function gapText({ after, before, text, missing, mended }: Gap): string {
  const from = after === null ? "from the beginning" : `behind ${pathLine(after)}`;
  const to = before === null ? "to the end" : `up to ${pathLine(before)}`;
  const head = `the index is damaged ${from} ${to} (${text})`;
  if (missing === 0) return `${head}: the parent's index has what is lost: ${mended} entries`;
  const rest = missing === null ? "what else was there" : `${missing} entries`;
  return `${head}: ${rest} cannot be restored`;
}

/** Whether the path, or something below it, may be what is lost. */
export function mayLieIn(path: Uint8Array, { after, before, missing }: Gap): boolean {
  if (missing === 0) return false;
  return (
    (after === null || comparePaths(path, path.length, after, after.length) >= 0) &&
    (before === null || comparePaths(path, path.length, before, before.length) < 0)
  );
}
