/** @module Room for the next backup: what the plan pares by age goes in any case, what it pares for space goes when the
 *  backup is expected not to fit, and only if all of it makes the room. */
import type { Level } from "../../plan/tree.ts";
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
  const plan = planPrune(store, {
    nowMs: wanted.nowMs,
    beforeFull: wanted.level === "monthly",
    keepWeeklies: wanted.keepWeeklies,
    neededBytes: () => wanted.bytes,
  });
  if (isFault(plan)) return plan;
  const { pares, enough, notes } = plan;
  if (pares.length === 0 && plan.residueBytes === 0) return { kind: "room", enough, pares, notes };
  const report = carryOut(store, plan);
  if (isFault(report)) return report;
  return { kind: "room", enough, pares: report.pares, notes: [...notes, ...report.notes] };
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
  return { monthly: "weekly", weekly: "daily", daily: "micro", micro: null }[level] as Level | null;
}
