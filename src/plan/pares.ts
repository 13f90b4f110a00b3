/** @module The whole sequence of pares before a backup, planned before the first deletion.
 *  (1) What goes by age goes in any case. (2) What goes for space goes only if all of it makes the room: otherwise
 *  `enough` is false, `forSpace` is empty, and the caller raises an alarm and makes an incremental instead of a full.
 *  (3) The new backup's parent is chosen after paring, so what it needs may grow as others go. */
import { chooseByAge, chooseFrom, type Pare } from "./pare.ts";
import { Shelf } from "./shelf.ts";
import type { Node } from "./tree.ts";

export interface PareRequest {
  /** In any order. */
  readonly nodes: readonly Node[];
  readonly nowMs: number;
  /** The room is for a full. */
  readonly beforeFull: boolean;
  /** 42: dailies older than the newest so many weeklies go by age; null: they stay. */
  readonly keepWeeklies: number | null;
  readonly freeBytes: number;
  /** Room that the new backup wants once these are gone. */
  readonly neededBytes: (gone: readonly Pare[]) => number;
  /** Exact bytes that come free by this one (its dependants with it) once these are gone; called once for each, in
   *  order. */
  readonly freedBytes: (gone: readonly Pare[], next: Pare) => number;
}

export interface ParePlan {
  /** In this order: first all of these, then all of `forSpace`. */
  readonly byAge: readonly Pare[];
  readonly forSpace: readonly Pare[];
  readonly enough: boolean;
  /** Free once the plan is carried out. */
  readonly freeBytes: number;
}

export function planPares(request: PareRequest): ParePlan {
  const { nodes, nowMs, beforeFull, keepWeeklies, neededBytes, freedBytes } = request;
  const shelf = new Shelf(nodes);
  const gone: Pare[] = [];
  let freeBytes = request.freeBytes;
  const take = (pare: Pare) => {
    freeBytes += freedBytes(gone, pare);
    gone.push(pare);
    for (const dependant of pare.dependants) shelf.remove(dependant);
    shelf.remove(pare.victim);
  };
  for (const pare of chooseByAge(shelf, nowMs, keepWeeklies)) take(pare);
  const byAge = gone.slice();
  const freeBytesByAge = freeBytes;
  while (freeBytes < neededBytes(gone)) {
    const pare = chooseFrom(shelf, nowMs, { beforeFull });
    if (pare.kind === "nothing") return { byAge, forSpace: [], enough: false, freeBytes: freeBytesByAge };
    take(pare);
  }
  return { byAge, forSpace: gone.slice(byAge.length), enough: true, freeBytes };
}
