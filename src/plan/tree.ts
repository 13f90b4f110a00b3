/** @module The tree of backups: levels, nodes and parents.
 *  (1) Backups are ordered by their number, never by their time: a clock may be set back.
 *  (2) A parent is complete and verified, and so is all that it depends on; without such a parent the backup becomes a full.
 *  (3) `parent` is the parent as it stands: when a backup is pared, its children take over its parent. */
import { assert } from "../base/assert.ts";

/** From the highest; where several are due at once, the highest is made. */
export const LEVELS = ["monthly", "weekly", "daily", "micro"] as const;
/** "monthly" is the full backup, whatever the full interval is; the others are incrementals. */
export type Level = (typeof LEVELS)[number];

export interface Node {
  /** Counts the backups of a store from 1; never used twice. */
  readonly number: number;
  readonly level: Level;
  /** Number of the parent; null for a full, and for an heir of a pared full. */
  readonly parent: number | null;
  /** When it began, milliseconds since 1970 (UTC), as the clock showed it. */
  readonly atMs: number;
  /** Every byte was read back and found right. */
  readonly verified: boolean;
  /** An operator said that it stays: paring never chooses it. */
  readonly pinned: boolean;
  /** false: the run was interrupted. */
  readonly complete: boolean;
}

/** A backup's place in the tree. */
export interface Place {
  readonly level: Level;
  readonly parent: number | null;
}

/** Levels that may be the parent of a level. */
const PARENT_LEVELS: Readonly<Record<Level, readonly Level[]>> = {
  monthly: [],
  weekly: ["monthly"],
  daily: ["monthly", "weekly"],
  micro: LEVELS,
};

/** true: others may depend on it. */
export function mayBeParent({ verified, complete }: Node): boolean {
  return verified && complete;
}

/** true: a new backup of `level` may depend on this one. */
export function suits(level: Level, node: Node): boolean {
  return mayBeParent(node) && PARENT_LEVELS[level].includes(node.level);
}

/** The most recent backup that may be the parent of a new one of this level; null: there is none.
 *  `nodes` in any order. A full has none. */
export function parentOf(level: Level, nodes: readonly Node[]): Node | null {
  const doubtful = doubtfulOf(nodes);
  let parent: Node | null = null;
  for (const node of nodes) {
    if (!suits(level, node) || doubtful.has(node.number)) continue;
    if (parent === null || node.number > parent.number) parent = node;
  }
  return parent;
}

/** Numbers of what may not be a parent, and of all that depends on it: what is wrong there would be handed on. */
function doubtfulOf(nodes: readonly Node[]): ReadonlySet<number> {
  const found = new Set<number>();
  for (const node of nodes) if (!mayBeParent(node)) found.add(node.number);
  if (found.size === 0) return found;
  for (const { number, parent } of ascending(nodes))
    if (parent !== null && found.has(parent)) found.add(number);
  return found;
}

/** A child's number is higher than its parent's. */
const ascending = (nodes: readonly Node[]): Node[] => [...nodes].sort((a, b) => a.number - b.number);

/** Where a backup that is due as `level` is put: without a parent it is a full (first use of a store). */
export function placeOf(level: Level, nodes: readonly Node[]): Place {
  const parent = parentOf(level, nodes);
  return parent === null ? { level: "monthly", parent: null } : { level, parent: parent.number };
}

/** The nodes without one of them: its children take over its parent. */
export function without(nodes: readonly Node[], victim: Node): Node[] {
  const left: Node[] = [];
  for (const node of nodes) {
    if (node.number === victim.number) continue;
    left.push(node.parent === victim.number ? { ...node, parent: victim.parent } : node);
  }
  assert(left.length === nodes.length - 1, `backup ${victim.number} is not in the tree once`);
  return left;
}

/** All that depend on a backup, directly or through others, ascending. */
export function dependantsOf(victim: Node, nodes: readonly Node[]): Node[] {
  const found = new Set([victim.number]);
  return ascending(nodes).filter(
    ({ number, parent }) => parent !== null && found.has(parent) && found.add(number),
  );
}
