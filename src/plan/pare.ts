/** @module Which backup is pared next: the flow chart of the seed's FIGS. 3a and 3b (41-48), box by box.
 *
 *  ```
 *  48  unverified ones first
 *  100 micros of more than 7 days
 *  104 n >= 80 -- 106 36 dailies: 108 oldest daily -- 110 18 weeklies: 112 oldest weekly -- 114 oldest monthly
 *  116 n = 1: 118 the last one, with its dependants, right before a full: the operator is told
 *  120 M, W from n
 *  122 monthlies before the oldest weekly > M: 124 oldest monthly
 *  126 weeklies before the oldest daily > W:   128 oldest weekly
 *  130 a daily: 132 the oldest     134 a monthly: 136 the oldest     138 a weekly: 140 the oldest
 *  142 end; where micros remain, 142+: the oldest one without children
 *  ```
 *
 *  (1) n counts all but micros, pinned ones included. Divisions round down. "Before" goes by number.
 *  (2) A pinned backup is never chosen: a box that finds only pinned ones passes on to the next question.
 *  (3) The only full is never chosen while another backup exists (42): 48, 114, 124 and 136 pass over it. Only 118
 *      takes it, and only right before a new full.
 *  (4) What goes is decided whole before the first deletion: where it would not make the room, nothing goes but what
 *      goes by age. Deciding reads no clock and deletes nothing. */
import { Shelf } from "./shelf.ts";
import { mayBeParent, type Node } from "./tree.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/** A micro older than this goes, even where space is plentiful (42). */
export const MICRO_AGE_MAX_MS = 7 * DAY_MS;

/** The box of the figure that chose: "48" and "42" are paragraphs that have no box; "142+" is ours. */
export type PareStep =
  | "42"
  | "48"
  | "100"
  | "108"
  | "112"
  | "114"
  | "118"
  | "124"
  | "128"
  | "132"
  | "136"
  | "140"
  | "142+";

export interface Pare {
  readonly kind: "pare";
  readonly victim: Node;
  /** What goes with it (118 only), ascending; [] for all others: their heirs stay restorable. */
  readonly dependants: readonly Node[];
  readonly step: PareStep;
  /** For people. */
  readonly reason: string;
  /** The operator is told that a larger device is wanted (118). */
  readonly tellOperator: boolean;
}

/** The chart's end, with nothing that may go. */
export interface NothingToPare {
  readonly kind: "nothing";
  readonly step: "142";
  readonly reason: string;
}

export interface PareOptions {
  /** The room is for a full: 118 may take the last one. */
  readonly beforeFull: boolean;
}

/** What the chart chooses when room is wanted. `nodes` in any order. */
export function choosePare(
  nodes: readonly Node[],
  nowMs: number,
  options: PareOptions,
): Pare | NothingToPare {
  return chooseFrom(new Shelf(nodes), nowMs, options);
}

/** As choosePare, for a whole sequence. */
export function chooseFrom(shelf: Shelf, nowMs: number, { beforeFull }: PareOptions): Pare | NothingToPare {
  return (
    unsoundOne(shelf) ??
    agedMicro(shelf, nowMs) ??
    (countOf(shelf) === 1 ? lastOne(shelf, beforeFull) : byCounts(shelf)) ??
    anyMicro(shelf) ?? {
      kind: "nothing",
      step: "142",
      reason: "nothing may be pared: what is left is pinned, or is the only full backup",
    }
  );
}

/** What goes even where space is plentiful: micros of more than 7 days, and with `keepWeeklies` (42) the dailies from
 *  before the oldest of the newest so many weeklies. Ascending within each rule. */
export function chooseByAge(shelf: Shelf, nowMs: number, keepWeeklies: number | null): Pare[] {
  const micros = shelf.of("micro").filter((node) => !node.pinned && isAged(node, nowMs));
  const pares = micros.map((node) => pare(node, "100", AGED));
  const weeklies = shelf.of("weekly").filter(mayBeParent);
  const oldestKept = keepWeeklies === null ? undefined : weeklies.at(-keepWeeklies);
  if (keepWeeklies === null || keepWeeklies < 1 || oldestKept === undefined) return pares;
  const dailies = shelf.of("daily").filter((node) => !node.pinned && node.number < oldestKept.number);
  const reason = `a daily from before the newest ${keepWeeklies} weeklies`;
  return [...pares, ...dailies.map((node) => pare(node, "42", reason))];
}

const AGED = "a micro of more than 7 days";

function isAged({ atMs }: Node, nowMs: number): boolean {
  return nowMs - atMs > MICRO_AGE_MAX_MS;
}

/** n of the chart. */
function countOf(shelf: Shelf): number {
  return shelf.size - shelf.of("micro").length;
}

/** 48 */
function unsoundOne(shelf: Shelf): Pare | null {
  const victim = shelf.unsound.find((node) => !node.pinned && !isOnlyFull(shelf, node));
  if (victim === undefined) return null;
  return pare(victim, "48", victim.complete ? "it is not verified" : "its run was interrupted");
}

/** 100 */
function agedMicro(shelf: Shelf, nowMs: number): Pare | null {
  const victim = shelf.of("micro").find((node) => !node.pinned && isAged(node, nowMs));
  return victim === undefined ? null : pare(victim, "100", AGED);
}

/** 116, 118. Where no full follows, the last one stays: what comes next depends on it. */
function lastOne(shelf: Shelf, beforeFull: boolean): Pare | null {
  const victim = [...shelf.of("monthly"), ...shelf.of("weekly"), ...shelf.of("daily")][0];
  if (!beforeFull || victim === undefined || victim.pinned) return null;
  return {
    kind: "pare",
    victim,
    dependants: shelf.dependantsOf(victim).filter((node) => !node.pinned),
    step: "118",
    reason: "the last backup makes room for a new full: a larger device should be considered",
    tellOperator: true,
  };
}

/** 104 to 114, and 120 to 140 where those pass over what they find. */
function byCounts(shelf: Shelf): Pare | null {
  const n = countOf(shelf);
  return (n >= 80 ? fromPlenty(shelf, n) : null) ?? fromFew(shelf, n);
}

/** 106 to 114 */
function fromPlenty(shelf: Shelf, n: number): Pare | null {
  const [dailies, weeklies] = [shelf.of("daily"), shelf.of("weekly")];
  return (
    (dailies.length >= 36 ? oldest(dailies, "108", `${dailies.length} dailies of ${n}`) : null) ??
    (weeklies.length >= 18 ? oldest(weeklies, "112", `${weeklies.length} weeklies of ${n}`) : null) ??
    oldestFull(shelf, shelf.of("monthly"), "114", `${n} backups, few of them dailies and weeklies`)
  );
}

/** How many monthlies may be older than the oldest weekly (M), and weeklies than the oldest daily (W): box 120. */
export function limitsOf(n: number): { readonly monthlies: number; readonly weeklies: number } {
  if (n <= 7) return { monthlies: 0, weeklies: 1 };
  if (n <= 14) return { monthlies: 1, weeklies: 2 };
  return { monthlies: Math.floor(n / 3) - 2, weeklies: Math.max(Math.floor(n / 6), 3) };
}

/** 120 to 140 */
function fromFew(shelf: Shelf, n: number): Pare | null {
  const limits = limitsOf(n);
  const [monthlies, weeklies, dailies] = [shelf.of("monthly"), shelf.of("weekly"), shelf.of("daily")];
  const oldMonthlies = olderThanAll(monthlies, weeklies);
  const oldWeeklies = olderThanAll(weeklies, dailies);
  const manyMonthlies = `${oldMonthlies.length} monthlies before the oldest weekly, of ${n} backups`;
  const manyWeeklies = `${oldWeeklies.length} weeklies before the oldest daily, of ${n} backups`;
  return (
    (oldMonthlies.length > limits.monthlies ? oldestFull(shelf, oldMonthlies, "124", manyMonthlies) : null) ??
    (oldWeeklies.length > limits.weeklies ? oldest(oldWeeklies, "128", manyWeeklies) : null) ??
    oldest(dailies, "132", `the oldest daily, of ${n} backups`) ??
    oldestFull(shelf, monthlies, "136", "the oldest monthly: no daily may go") ??
    oldest(weeklies, "140", "the oldest weekly: no daily and no monthly may go")
  );
}

/** 142+: one that no other needs, so that its bytes come free at once. */
function anyMicro(shelf: Shelf): Pare | null {
  const victim = shelf.of("micro").find((node) => !node.pinned && !shelf.hasChildren(node));
  return victim === undefined
    ? null
    : pare(victim, "142+", "the oldest micro without children: nothing else may go");
}

/** Those from before the first of the others; none where there are no others. */
function olderThanAll(nodes: readonly Node[], others: readonly Node[]): readonly Node[] {
  const first = others[0];
  return first === undefined ? [] : nodes.filter(({ number }) => number < first.number);
}

function oldest(nodes: readonly Node[], step: PareStep, reason: string): Pare | null {
  const victim = nodes.find((node) => !node.pinned);
  return victim === undefined ? null : pare(victim, step, reason);
}

function oldestFull(shelf: Shelf, monthlies: readonly Node[], step: PareStep, reason: string): Pare | null {
  const victim = monthlies.find((node) => !node.pinned && !isOnlyFull(shelf, node));
  return victim === undefined ? null : pare(victim, step, reason);
}

/** Without it no full would be left; a sound one is not replaced by one that is not. */
function isOnlyFull(shelf: Shelf, node: Node): boolean {
  if (node.level !== "monthly") return false;
  const others = shelf.of("monthly").filter(({ number }) => number !== node.number);
  return mayBeParent(node) ? !others.some(mayBeParent) : others.length === 0;
}

function pare(victim: Node, step: PareStep, reason: string): Pare {
  return { kind: "pare", victim, dependants: [], step, reason, tellOperator: false };
}
