/** @module Makes and pares over months, backup by backup, in no time: what a plan and a device would keep.
 *
 *  Time goes by ticks of one micro; the bytes are those of packs.ts. At each tick, what is due is planned as it is for a
 *  real store: what goes by age goes, then the chart makes room, then the parent is chosen, then it is made.
 *  (1) A line for each make and each pare, pares before the make that they make room for. A pare at 118 is one line: its
 *      dependants go with it, `freed` is the sum, `kept` shows it.
 *  (2) Where the whole chart would not make the room, nothing goes for space: an alarm, and the next lower level is made
 *      instead (it stores less); where not even a micro fits, an alarm and no backup. Numbers count makes only. A level
 *      that did not fit is tried again at its next slot.
 *  (3) No byte is lost: `used` after a make is `used` before it and its `bytes`, after a pare less its `freed`. */
import { assert } from "../base/assert.ts";
import { MICRO_AGE_MAX_MS, type Pare } from "./pare.ts";
import { planPares } from "./pares.ts";
import { Packs } from "./packs.ts";
import { DEFAULT_SCHEDULE, due, type FullInterval, type Made, type ScheduleSettings } from "./schedule.ts";
import { LEVELS, type Level, type Node, suits, without } from "./tree.ts";

export interface SimulationSettings {
  readonly days: number;
  readonly capacityBytes: number;
  readonly fullBytes: number;
  readonly changePerMicroBytes: number;
  readonly fullInterval: FullInterval;
  /** 42: dailies older than the newest so many weeklies go by age; null: they stay. */
  readonly keepWeeklies: number | null;
  /** Day 0, 00:00 UTC. */
  readonly startMs: number;
}

/** Keys in the order in which they are printed. */
export interface SimulatedLine {
  /** RFC 3339, UTC. */
  readonly at: string;
  readonly event: "make" | "pare";
  readonly number: number;
  readonly type: Level;
  /** With which it was made. */
  readonly parent: number | null;
  /** Stored by a make. */
  readonly bytes: number;
  /** By a pare. */
  readonly freed: number;
  /** After it. */
  readonly used: number;
  /** The box of the figure that chose; null for a make. */
  readonly step: string | null;
  /** Numbers left after it, ascending. */
  readonly kept: readonly number[];
}

export type Simulated =
  | { readonly kind: "line"; readonly line: SimulatedLine; readonly reason: string }
  /** What an operator would be told. */
  | { readonly kind: "alarm"; readonly at: string; readonly text: string };

const DAY_MS = 24 * 60 * 60 * 1000;
export const TICK_MS = 15 * 60 * 1000;

/** Why these settings cannot be counted exactly; null: they can. */
export function simulationFault(settings: SimulationSettings): string | null {
  const { days, fullBytes, changePerMicroBytes } = settings;
  const lastBytes = ((days * DAY_MS) / TICK_MS) * Math.min(changePerMicroBytes, fullBytes) + fullBytes;
  return Number.isSafeInteger(lastBytes)
    ? null
    : "the bytes changed in all these days are too many to count exactly";
}

/** `settings`: whole numbers, not negative, without a simulationFault. */
export function* simulate(settings: SimulationSettings): Generator<Simulated> {
  assert(simulationFault(settings) === null, "a simulation that can be counted");
  const simulation = new Simulation(settings);
  const ticks = (settings.days * DAY_MS) / TICK_MS;
  for (let tick = 0; tick < ticks; tick++) yield* simulation.tick(tick);
}

class Simulation {
  readonly #settings: SimulationSettings;
  readonly #schedule: ScheduleSettings;
  readonly #packs: Packs;
  /** Newest of each level, made or tried. */
  readonly #history = new Map<Level, Made>();
  /** The parent that each was made with. */
  readonly #parents = new Map<number, number | null>();
  #nodes: readonly Node[] = [];
  #made = 0;
  /** The lowest level that found no room since the tree last changed. */
  #hopeless: Level | null = null;

  constructor(settings: SimulationSettings) {
    const { fullInterval, fullBytes, changePerMicroBytes } = settings;
    this.#settings = settings;
    this.#schedule = { ...DEFAULT_SCHEDULE, full: { ...DEFAULT_SCHEDULE.full, every: fullInterval } };
    this.#packs = new Packs(fullBytes, changePerMicroBytes);
  }

  *tick(tick: number): Generator<Simulated> {
    const atMs = this.#settings.startMs + tick * TICK_MS;
    const wanted = due(this.#schedule, [...this.#history.values()], atMs)?.level ?? null;
    if (wanted === null) return;
    const isFirst = !this.#nodes.some(({ level }) => level === "monthly");
    const levels = isFirst ? LEVELS.slice(0, 1) : LEVELS.slice(LEVELS.indexOf(wanted));
    for (const level of levels) {
      if (yield* this.#try(level, tick, atMs)) break;
    }
    // The slot is spent, whatever came of it; a store without a full is asked for one at every slot.
    if (this.#made > 0) this.#history.set(wanted, { number: tick + 1, level: wanted, atMs });
  }

  /** Makes room for a backup of this level, and makes it; false: there is no room. */
  *#try(level: Level, tick: number, atMs: number): Generator<Simulated, boolean> {
    if (this.#isHopeless(level, atMs)) {
      yield alarm(atMs, noRoom(level));
      return false;
    }
    const { capacityBytes, keepWeeklies } = this.#settings;
    const packs = this.#packs;
    const parentNow = this.#parentFinder(level);
    const freed: number[] = [];
    const plan = planPares({
      nodes: this.#nodes,
      nowMs: atMs,
      beforeFull: level === "monthly",
      keepWeeklies,
      freeBytes: capacityBytes - packs.usedBytes,
      neededBytes: () => packs.bytesOf(parentNow(), tick),
      freedBytes: (_gone, { victim, dependants }) => {
        let bytes = 0;
        for (const { number } of dependants) bytes += packs.remove(number);
        bytes += packs.remove(victim.number);
        freed.push(bytes);
        return bytes;
      },
    });
    packs.putBack();
    const pares = plan.enough ? [...plan.byAge, ...plan.forSpace] : plan.byAge;
    for (const pare of pares) yield* this.#pare(pare, atMs);
    if (!plan.enough) {
      this.#hopeless = level;
      yield alarm(atMs, noRoom(level));
      return false;
    }
    yield this.#make(level, this.#parentFinder(level)(), tick, atMs);
    return true;
  }

  /** The same tree had no room for this level or a lower one, and what they want only grows with time. */
  #isHopeless(level: Level, atMs: number): boolean {
    if (this.#hopeless === null || (level === "monthly") !== (this.#hopeless === "monthly")) return false;
    const oldest = this.#nodes.find((node) => node.level === "micro");
    const isAging = oldest !== undefined && atMs - oldest.atMs > MICRO_AGE_MAX_MS;
    return !isAging && LEVELS.indexOf(level) <= LEVELS.indexOf(this.#hopeless);
  }

  *#pare({ victim, dependants, step, reason, tellOperator }: Pare, atMs: number): Generator<Simulated> {
    let freed = 0;
    for (const node of [...dependants].reverse()) {
      freed += this.#packs.remove(node.number);
      this.#nodes = without(this.#nodes, node);
    }
    freed += this.#packs.remove(victim.number);
    this.#nodes = without(this.#nodes, victim);
    this.#packs.settle();
    this.#hopeless = null;
    const parent = this.#parents.get(victim.number) ?? null;
    for (const { number } of [victim, ...dependants]) this.#parents.delete(number);
    yield this.#line(atMs, "pare", victim, { parent, bytes: 0, freed, step }, reason);
    if (tellOperator) yield alarm(atMs, reason);
  }

  #make(level: Level, parent: number | null, tick: number, atMs: number): Simulated {
    const number = ++this.#made;
    const bytes = this.#packs.bytesOf(parent, tick);
    this.#packs.store(number, parent, tick);
    assert(this.#packs.usedBytes <= this.#settings.capacityBytes, "no more is stored than there is room for");
    const node: Node = { number, level, parent, atMs, verified: true, pinned: false, complete: true };
    this.#nodes = [...this.#nodes, node];
    this.#parents.set(number, parent);
    this.#hopeless = null;
    return this.#line(atMs, "make", node, { parent, bytes, freed: 0, step: null }, "");
  }

  #line(
    atMs: number,
    event: "make" | "pare",
    { number, level }: Node,
    { parent, bytes, freed, step }: Pick<SimulatedLine, "parent" | "bytes" | "freed" | "step">,
    reason: string,
  ): Simulated {
    const [used, kept] = [this.#packs.usedBytes, this.#nodes.map((node) => node.number)];
    const at = timeOf(atMs);
    const line = { at, event, number, type: level, parent, bytes, freed, used, step, kept } as const;
    return { kind: "line", line, reason };
  }

  /** Number of the parent of a new backup, with what is removed at each call: goes from the newest down once. */
  #parentFinder(level: Level): () => number | null {
    const nodes = this.#nodes;
    let cellIndex = nodes.length - 1;
    return () => {
      for (; cellIndex >= 0; cellIndex--) {
        const node = nodes[cellIndex];
        if (node !== undefined && suits(level, node) && this.#packs.isLiving(node.number)) return node.number;
      }
      return null;
    };
  }
}

function noRoom(level: Level): string {
  return `no room for a ${level} backup, whatever is pared: a larger device is wanted`;
}

function alarm(atMs: number, text: string): Simulated {
  return { kind: "alarm", at: timeOf(atMs), text };
}

function timeOf(atMs: number): string {
  return new Date(atMs).toISOString().replace(".000Z", "Z");
}
