/** @module Room for the next backup: what the plan pares by age goes in any case, what it pares for space goes when the
 *  backup is expected not to fit, and only if all of it makes the room.
 *
 *  Where the backup that it would have built on goes, it has to store anew what that one had stored: paring the newest
 *  backup for the next one would otherwise cost the newest state, and make no room. */
import type { Pare } from "../../plan/pare.ts";
import { LEVELS, type Level, placeOf } from "../../plan/tree.ts";
import { carryOut, type PlannedPare, planPrune } from "../prune/prune.ts";
import { type BackupNode, isFault, type PrunableStore, type StoreFault } from "../store/contract.ts";

export interface RoomWanted {
  readonly level: Level;
  readonly nowMs: number;
  readonly keepWeeklies: number | null;
  /** What the new archive is expected to take up. */
  readonly bytes: number;
}

export interface RoomMade {
  readonly kind: "room";
  readonly enough: boolean;
  readonly pares: readonly PlannedPare[];
  readonly notes: readonly string[];
}

export function makeRoom(store: PrunableStore, wanted: RoomWanted): RoomMade | StoreFault {
  const tree = store.tree();
  const plan = planPrune(store, {
    nowMs: wanted.nowMs,
    beforeFull: wanted.level === "monthly",
    keepWeeklies: wanted.keepWeeklies,
    neededBytes: (gone) => wanted.bytes + storedAnewBytes(wanted.level, tree, gone),
  });
  if (isFault(plan)) return plan;
  const { pares, enough, notes } = plan;
  if (pares.length === 0 && plan.residueBytes === 0) return { kind: "room", enough, pares, notes };
  const report = carryOut(store, plan);
  if (isFault(report)) return report;
  return { kind: "room", enough, pares: report.pares, notes: [...notes, ...report.notes] };
}

/** What the backup's parent, and that one's and so on, have stored, as far as they are gone. */
export function storedAnewBytes(level: Level, tree: readonly BackupNode[], gone: readonly Pare[]): number {
  if (gone.length === 0) return 0;
  const numbers = new Set(gone.map(({ victim }) => victim.number));
  let bytes = 0;
  for (let at = placeOf(level, tree).parent; at !== null && numbers.has(at); ) {
    const number: number = at;
    const node = tree.find((one) => one.number === number);
    bytes += node?.storedBytes ?? 0;
    at = node?.parent ?? null;
  }
  return bytes;
}

const SPARE = 1.1;
const RECENT = 5;

/** By what backups of this level have taken up before: the last full, the largest of the last few of the others.
 *  0: nothing is known. */
export function expectedBytes(level: Level, tree: readonly BackupNode[]): number {
  const sizes = tree.filter((node) => node.level === level).map(({ storedBytes }) => storedBytes);
  const recent = level === "monthly" ? sizes.slice(-1) : sizes.slice(-RECENT);
  return Math.ceil(Math.max(0, ...recent) * SPARE);
}

/** The level that wants less room. */
export function nextLower(level: Level): Level | null {
  return LEVELS[LEVELS.indexOf(level) + 1] ?? null;
}
