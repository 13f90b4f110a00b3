/** @module Deletes backups as the plan decides: all of it is planned, with the bytes that come free, before the first one
 *  goes.
 *  (1) What goes for space goes only where all of it makes the room. (2) What an interrupted prune left is finished first;
 *  that takes no date away. (3) Nothing is deleted while others read from the store. */
import { chooseByAge, type Pare, type PareStep } from "../../plan/pare.ts";
import { planPares } from "../../plan/pares.ts";
import { Shelf } from "../../plan/shelf.ts";
import type { Level } from "../../plan/tree.ts";
import { isFault, type PrunableStore, type ReadableStore, type StoreFault } from "../store/contract.ts";
import { Folder } from "./fold.ts";

export interface PruneRequest {
  readonly nowMs: number;
  /** The room is for a full. */
  readonly beforeFull: boolean;
  /** Dailies older than the newest so many weeklies go by age; null: they stay. */
  readonly keepWeeklies: number | null;
  /** Room that the next backup wants once these are gone. */
  readonly neededBytes: (gone: readonly Pare[]) => number;
}

/** One backup that goes, with those that go with it (step 118 only). */
export interface PlannedPare {
  readonly number: number;
  readonly level: Level;
  readonly atMs: number;
  readonly step: PareStep;
  readonly reason: string;
  /** In the order in which they go, ahead of it. */
  readonly dependants: readonly number[];
  readonly byAge: boolean;
  readonly tellOperator: boolean;
  readonly freedBytes: number;
}

export interface PrunePlan {
  readonly kind: "plan";
  /** What an interrupted prune left to be freed. */
  readonly residueBytes: number;
  readonly pares: readonly PlannedPare[];
  /** false: not even all that may go makes the room; then nothing goes but by age. */
  readonly enough: boolean;
  /** Free once it is carried out. */
  readonly freeBytes: number;
  readonly notes: readonly string[];
}

/** Reads, and changes nothing. */
export function planPrune(store: ReadableStore, request: PruneRequest): PrunePlan | StoreFault {
  const room = store.room();
  if (isFault(room)) return room;
  const folder = new Folder(store, null);
  const residueBytes = folder.settle();
  if (isFault(residueBytes)) return residueBytes;
  const freed = new Map<number, number>();
  let fault: StoreFault | null = null;
  const free = (pares: readonly Pare[]): number => {
    const bytes = folder.pare(pares.flatMap(numbersOf));
    if (isFault(bytes)) {
      fault ??= bytes;
      return 0;
    }
    return credit(pares, bytes, freed);
  };
  // They go together, in any case: what they free is counted with the last of them.
  const byAge = chooseByAge(new Shelf(store.tree()), request.nowMs, request.keepWeeklies);
  const plan = planPares({
    nodes: store.tree(),
    nowMs: request.nowMs,
    beforeFull: request.beforeFull,
    keepWeeklies: request.keepWeeklies,
    freeBytes: room.freeBytes + residueBytes,
    neededBytes: request.neededBytes,
    freedBytes: (gone, next) => {
      if (gone.length >= byAge.length) return free([next]);
      return gone.length === byAge.length - 1 ? free(byAge) : 0;
    },
  });
  if (fault !== null) return fault;
  const planned = (pare: Pare, byAge: boolean): PlannedPare => ({
    number: pare.victim.number,
    level: pare.victim.level,
    atMs: pare.victim.atMs,
    step: pare.step,
    reason: pare.reason,
    dependants: dependantsOf(pare),
    byAge,
    tellOperator: pare.tellOperator,
    freedBytes: freed.get(pare.victim.number) ?? 0,
  });
  return {
    kind: "plan",
    residueBytes,
    pares: [
      ...plan.byAge.map((pare) => planned(pare, true)),
      ...plan.forSpace.map((pare) => planned(pare, false)),
    ],
    enough: plan.enough,
    freeBytes: plan.freeBytes,
    notes: folder.notes,
  };
}

/** The youngest first. */
function dependantsOf({ dependants }: Pare): number[] {
  return dependants.map(({ number }) => number).sort((a, b) => b - a);
}

function numbersOf(pare: Pare): number[] {
  return [...dependantsOf(pare), pare.victim.number];
}

/** Each is credited with what its own archives give back, the last with what older packs do; the sum. */
function credit(
  pares: readonly Pare[],
  freed: ReadonlyMap<number, number>,
  credits: Map<number, number>,
): number {
  const owners = new Map(
    pares.flatMap((pare) => numbersOf(pare).map((number) => [number, pare.victim.number])),
  );
  const last = pares.at(-1)?.victim.number ?? 0;
  let sum = 0;
  for (const [number, bytes] of freed) {
    const owner = owners.get(number) ?? last;
    credits.set(owner, (credits.get(owner) ?? 0) + bytes);
    sum += bytes;
  }
  return sum;
}

export interface PruneReport {
  readonly kind: "pruned";
  readonly pares: readonly PlannedPare[];
  /** What has really come free, as the file system counts. */
  readonly freedBytes: number;
  readonly notes: readonly string[];
}

/** Deletes what was planned; the store has not changed since. A fault in between leaves a sound store. */
export function carryOut(store: PrunableStore, plan: PrunePlan): PruneReport | StoreFault {
  return store.alone((): PruneReport | StoreFault => {
    const folder = new Folder(store, store);
    const settled = folder.settle();
    if (isFault(settled)) return settled;
    let freedBytes = settled;
    const { pares } = plan;
    const steps = [
      pares.filter(({ byAge }) => byAge),
      ...pares.filter(({ byAge }) => !byAge).map((one) => [one]),
    ];
    for (const step of steps) {
      const freed = folder.pare(step.flatMap(({ dependants, number }) => [...dependants, number]));
      if (isFault(freed)) return freed;
      for (const bytes of freed.values()) freedBytes += bytes;
    }
    return { kind: "pruned", pares, freedBytes, notes: folder.notes };
  });
}
