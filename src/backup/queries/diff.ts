/** @module What differs between two backups: one pass over both indexes, in their order. */
import { comparePaths, Entry, type EntrySource } from "../entry.ts";
import { type Aspect, differences, type Facts, factsOf } from "./facts.ts";

/** One path that is not the same in both; valid as long as anyone likes. */
export interface Difference {
  readonly path: Uint8Array;
  /** As the first backup has it; null: added. */
  readonly before: Facts | null;
  /** As the second one has it; null: removed. */
  readonly after: Facts | null;
  /** What differs, where both have it. */
  readonly aspects: readonly Aspect[];
}

/** Yields the differences in the order of paths. What the sources throw goes through. */
export function* differencesOf(before: EntrySource, after: EntrySource): Generator<Difference> {
  const a = new Entry();
  const b = new Entry();
  let hasA = before.next(a);
  let hasB = after.next(b);
  while (hasA || hasB) {
    const order = !hasA ? 1 : !hasB ? -1 : comparePaths(a.path, a.pathBytes, b.path, b.pathBytes);
    if (order === 0 && !isSame(a, b)) {
      const [was, is] = [factsOf(a), factsOf(b)];
      const aspects = differences(was, is);
      if (aspects.length > 0) yield { path: pathOf(a), before: was, after: is, aspects };
    } else if (order < 0) yield { path: pathOf(a), before: factsOf(a), after: null, aspects: [] };
    else if (order > 0) yield { path: pathOf(b), before: null, after: factsOf(b), aspects: [] };
    if (order <= 0) hasA = before.next(a);
    if (order >= 0) hasB = after.next(b);
  }
}

function pathOf(entry: Entry): Uint8Array {
  return entry.path.slice(0, entry.pathBytes);
}

/** Surely the same: most are, and are told without making anything. */
function isSame(a: Entry, b: Entry): boolean {
  if (a.kind !== b.kind || a.sizeBytes !== b.sizeBytes || a.hasContent !== b.hasContent) return false;
  if (a.mtimeNs !== b.mtimeNs || a.mtimeSeconds !== b.mtimeSeconds || a.mode !== b.mode) return false;
  if (a.uid !== b.uid || a.gid !== b.gid || a.attributes !== b.attributes) return false;
  if (a.linkTarget !== null || b.linkTarget !== null || a.xattrs !== null || b.xattrs !== null) return false;
  if (a.specialDevice !== b.specialDevice || ((a.flags ^ b.flags) & ~1) !== 0) return false;
  if (a.hasContent) for (let at = 0; at < 32; at++) if (a.sha256[at] !== b.sha256[at]) return false;
  return true;
}

export interface DiffTotals {
  added: number;
  removed: number;
  /** Content or kind is another. */
  changed: number;
  /** Only attributes are others. */
  touched: number;
  addedBytes: number;
  removedBytes: number;
  /** Of the files whose content changed, as the second backup has them. */
  changedBytes: number;
}

export function noTotals(): DiffTotals {
  return { added: 0, removed: 0, changed: 0, touched: 0, addedBytes: 0, removedBytes: 0, changedBytes: 0 };
}

export type Change = "added" | "removed" | "changed" | "touched";

export function changeOf({ before, after, aspects }: Difference): Change {
  if (before === null) return "added";
  if (after === null) return "removed";
  return aspects.includes("content") || aspects.includes("kind") ? "changed" : "touched";
}

/** Counts a difference in. */
export function addTo(totals: DiffTotals, difference: Difference): void {
  const change = changeOf(difference);
  totals[change]++;
  const { before, after } = difference;
  if (change === "added" && after?.kind === "file") totals.addedBytes += after.sizeBytes;
  if (change === "removed" && before?.kind === "file") totals.removedBytes += before.sizeBytes;
  if (change === "changed" && after?.kind === "file") totals.changedBytes += after.sizeBytes;
}
