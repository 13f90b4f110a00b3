/** @module The byte model of `plan simulate` against a disk that is copied and restored cell by cell: what each backup
 *  stores, and what the kept ones still need, to the byte. */
import { describe, expect, test } from "bun:test";
import { type SimulationSettings, simulate, TICK_MS } from "../../src/plan/simulate.ts";

const START_MS = Date.UTC(2026, 0, 1);
const DEFAULTS = { fullInterval: "28days", keepWeeklies: null, startMs: START_MS } as const;

/** The disk itself, cell by cell: what each backup would have to copy, and which copies restore what is left. */
class Disk {
  /** Tick at which each cell changed last. */
  readonly #cells: number[];
  readonly #change: number;
  #tick = 0;
  #hand = 0;
  /** Of each backup: its parent, the cells that it copied, and how the disk looked. */
  readonly #backups = new Map<
    number,
    { parent: number | null; copy: Map<number, number>; whole: number[] }
  >();

  constructor(cells: number, change: number) {
    this.#cells = Array.from({ length: cells }, () => 0);
    this.#change = change;
  }

  goTo(tick: number): void {
    while (this.#tick < tick) {
      this.#tick++;
      for (let one = 0; one < this.#change; one++) {
        this.#cells[this.#hand] = this.#tick;
        this.#hand = (this.#hand + 1) % this.#cells.length;
      }
    }
  }

  /** Bytes copied. */
  make(number: number, parent: number | null): number {
    const known = parent === null ? null : this.#backups.get(parent)?.whole;
    const copy = new Map<number, number>();
    for (const [cell, value] of this.#cells.entries()) if (known?.[cell] !== value) copy.set(cell, value);
    this.#backups.set(number, { parent, copy, whole: [...this.#cells] });
    return copy.size;
  }

  /** Copies that the kept ones read; each is restored and compared on the way. */
  used(kept: readonly number[]): number {
    const read = new Set<string>();
    for (const number of kept) {
      const restored = new Map<number, number>();
      for (let next: number | null = number; next !== null; ) {
        const backup = this.#backups.get(next);
        if (backup === undefined) throw new Error(`no backup ${next}`);
        for (const [cell, value] of backup.copy) {
          if (restored.has(cell)) continue;
          restored.set(cell, value);
          read.add(`${next}/${cell}`);
        }
        next = backup.parent;
      }
      const whole = this.#backups.get(number)?.whole ?? [];
      expect(whole.every((value, cell) => restored.get(cell) === value)).toBe(true);
    }
    return read.size;
  }
}

describe("the bytes agree with a disk that is copied and restored cell by cell", () => {
  test.each([
    [
      "room to spare, the data wraps around in a day",
      { days: 9, fullBytes: 60, changePerMicroBytes: 1, capacityBytes: 9000 },
    ],
    ["room for few", { days: 9, fullBytes: 40, changePerMicroBytes: 1, capacityBytes: 220 }],
    ["1.5 fulls: 118", { days: 29, fullBytes: 64, changePerMicroBytes: 1, capacityBytes: 96 }],
    [
      "a change that does not divide it",
      { days: 10, fullBytes: 37, changePerMicroBytes: 5, capacityBytes: 700 },
    ],
    ["nothing changes", { days: 15, fullBytes: 30, changePerMicroBytes: 0, capacityBytes: 45 }],
    ["all changes", { days: 3, fullBytes: 20, changePerMicroBytes: 50, capacityBytes: 200 }],
    [
      "fortnights, weeklies kept",
      {
        days: 30,
        fullBytes: 900,
        changePerMicroBytes: 1,
        capacityBytes: 4000,
        fullInterval: "fortnight",
        keepWeeklies: 1,
      },
    ],
  ] as const)(
    "TREE-11: %s",
    (_name, change) => {
      const settings: SimulationSettings = { ...DEFAULTS, ...change };
      const lines = [...simulate(settings)].flatMap((one) => (one.kind === "line" ? [one.line] : []));
      const disk = new Disk(change.fullBytes, Math.min(change.changePerMicroBytes, change.fullBytes));
      const every = Math.ceil(lines.length / 40);
      for (const [at, line] of lines.entries()) {
        disk.goTo((Date.parse(line.at) - START_MS) / TICK_MS);
        if (line.event === "make") expect(disk.make(line.number, line.parent)).toBe(line.bytes);
        if (at % every === 0 || line.freed > change.fullBytes) expect(disk.used(line.kept)).toBe(line.used);
      }
    },
    20_000,
  );
});
