/** @module Which entries are restored: all, or those that paths name, with the directories above them. Pure. */
import { isMalformed, type Malformed, malformed } from "../../base/brands.ts";
import type { Gap } from "../index/mended.ts";
import { comparePaths, Entry, type EntrySource, isWithin } from "../entry.ts";

/** What a restore reads of an index; damaged ones have gaps, or throw. */
export interface EntryIndex {
  /** What could not be read of it up to now. */
  readonly gaps?: readonly Gap[];
  /** It is not what was written, whether it could be mended or not. */
  readonly isDamaged?: boolean;
  readonly count: number;
  cursor(): EntrySource;
  find(path: Uint8Array): Entry | null;
  under(path: Uint8Array): EntrySource;
}

const SLASH = 0x2f;
const DOT = 0x2e;

/** A path as the index has it: no leading, trailing or double slash, no "." component. */
export function tidyPath(given: Uint8Array): Uint8Array | Malformed {
  const parts: Uint8Array[] = [];
  let start = 0;
  for (let at = 0; at <= given.length; at++) {
    if (at < given.length && given[at] !== SLASH) continue;
    const part = given.subarray(start, at);
    start = at + 1;
    if (part.length === 0 || (part.length === 1 && part[0] === DOT)) continue;
    if (part.length === 2 && part[0] === DOT && part[1] === DOT) {
      return malformed(Buffer.from(given).toString(), "a path without '..'");
    }
    parts.push(part);
  }
  return joinPath(parts);
}

export function joinPath(parts: readonly Uint8Array[]): Uint8Array {
  const filled = parts.filter((part) => part.length > 0);
  const joined = new Uint8Array(
    filled.reduce((sum, part) => sum + part.length + 1, filled.length > 0 ? -1 : 0),
  );
  let at = 0;
  for (const part of filled) {
    joined.set(part, at);
    at += part.length;
    if (at < joined.length) joined[at++] = SLASH;
  }
  return joined;
}

/** What people named, as paths of the index, in order, none within another; those that are not there are told. An
 *  absolute path is meant as it stood on the source; a relative one is looked for below the root, if there is but one,
 *  and else from "/". */
export function selectPaths(
  given: readonly Uint8Array[],
  roots: readonly Uint8Array[],
  index: EntryIndex,
): { readonly paths: readonly Uint8Array[]; readonly missing: readonly Uint8Array[] } | Malformed {
  const found: Uint8Array[] = [];
  const missing: Uint8Array[] = [];
  const only = roots.length === 1 ? roots[0] : undefined;
  for (const text of given) {
    const tidy = tidyPath(text);
    if (isMalformed(tidy)) return tidy;
    const candidates =
      text[0] === SLASH || only === undefined || only.length === 0 ? [tidy] : [joinPath([only, tidy]), tidy];
    const path = candidates.find((candidate) => isThere(index, candidate));
    if (path === undefined) missing.push(text);
    else found.push(path);
  }
  found.sort((a, b) => comparePaths(a, a.length, b, b.length));
  const paths: Uint8Array[] = [];
  for (const path of found) {
    const last = paths.at(-1);
    if (last === undefined || !isWithin(path, path.length, last)) paths.push(path);
  }
  return { paths, missing };
}

function isThere(index: EntryIndex, path: Uint8Array): boolean {
  return index.under(path).next(new Entry());
}

/** The entries of a selection in order, each path's parents in front of it. */
export class SelectedEntries implements EntrySource {
  readonly #index: EntryIndex;
  readonly #paths: readonly Uint8Array[] | null;
  readonly #parents: Entry[] = [];
  #next = 0;
  #inside: EntrySource | null = null;
  #above = new Uint8Array(0);
  /** The last entry is above the selection: it is there only so that what is selected has a place. */
  isParent = false;

  /** `paths`: as `selectPaths` gives them; null: everything. */
  constructor(index: EntryIndex, paths: readonly Uint8Array[] | null) {
    this.#index = index;
    this.#paths = paths;
    if (paths === null) this.#inside = index.cursor();
  }

  next(entry: Entry): boolean {
    for (;;) {
      const parent = this.#parents.shift();
      if (parent !== undefined) {
        entry.takeFacts(parent);
        entry.clearContent();
        this.isParent = true;
        return true;
      }
      this.isParent = false;
      if (this.#inside?.next(entry) === true) return true;
      const path = this.#paths?.[this.#next++];
      if (path === undefined) return false;
      this.#queueParents(path);
      this.#inside = this.#index.under(path);
    }
  }

  #queueParents(path: Uint8Array): void {
    for (let at = 0; at < path.length; at++) {
      if (at > 0 && path[at] !== SLASH) continue;
      const above = path.subarray(0, at);
      // Those that the path before had too have been there.
      if (at > 0 && isWithin(this.#above, this.#above.length, above)) continue;
      const entry = this.#index.find(above);
      if (entry !== null) this.#parents.push(entry);
    }
    this.#above = new Uint8Array(path);
  }
}
