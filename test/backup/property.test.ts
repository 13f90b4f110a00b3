/** @module Random trees, random histories of edits, random levels, paring and folding in between: every backup that is kept
 *  restores exactly (TREE-02, 03, 07, 11, 13).
 *
 *  What is compared: names, kinds, bytes, modes, owners, times, xattrs, groups of hard links, holes; by a comparer that has
 *  nothing of the product in it. Histories take turns, so that between two steps of one some seconds pass.
 *      PROPERTY_SEED=7 PROPERTY_RUNS=1 bun test test/backup/property.test.ts     one history again
 *      PROPERTY_RUNS=200 PROPERTY_STEPS=30 ...                                   a long one */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { CODEC_IDS, type CodecName } from "../../src/backup/codec/codec.ts";
import { present } from "../../src/base/assert.ts";
import { ManualClock } from "../../src/base/clock.ts";
import { LEVELS } from "../../src/plan/tree.ts";
import { Random } from "../simulator/random.ts";
import { Laboratory, understudy } from "./tree-maker/laboratory.ts";
import { TreeMaker } from "./tree-maker/maker.ts";

const SEED = Number(process.env.PROPERTY_SEED ?? 1);
const RUNS = Number(process.env.PROPERTY_RUNS ?? 10);
const STEPS = Number(process.env.PROPERTY_STEPS ?? 10);
/** For the histories that take turns. */
const AT_ONCE = 12;
const SECONDS_A_STEP = 4;
const SETTLED_MS = 3200;
const HOUR_MS = 3_600_000;
const COMPARE = join(import.meta.dir, "tree-maker", "compare.py");

let maker: TreeMaker;
beforeAll(() => {
  maker = new TreeMaker();
});
afterAll(() => maker.stop());

for (let first = SEED; first < SEED + RUNS; first += AT_ONCE) {
  const last = Math.min(first + AT_ONCE, SEED + RUNS) - 1;
  test(
    `TREE-02, 11, 13: every kept backup restores exactly (seeds ${first} to ${last}, ${STEPS} steps)`,
    async () => {
      const histories: History[] = [];
      try {
        for (let seed = first; seed <= last; seed++) histories.push(await History.begin(seed));
        // What is there now is settled, as after a night; what the steps edit is not.
        await Bun.sleep(SETTLED_MS);
        for (let step = 0; step < STEPS; step++) for (const history of histories) await history.step(step);
        for (const history of histories) await history.finish();
      } finally {
        for (const history of histories) history.close();
      }
    },
    (last - first + 1) * STEPS * SECONDS_A_STEP * 1000 + 30_000,
  );
}

class History {
  readonly #seed: number;
  readonly #random: Random;
  readonly #laboratory: Laboratory;
  readonly #clock: ManualClock | null;
  readonly #kept = new Set<number>();
  readonly #log: string[] = [];

  private constructor(seed: number, laboratory: Laboratory, clock: ManualClock | null) {
    this.#seed = seed;
    this.#random = new Random(seed);
    this.#laboratory = laboratory;
    this.#clock = clock;
  }

  /** Every other history has a calendar of its own, in which days pass between two steps. */
  static async begin(seed: number): Promise<History> {
    const clock = seed % 2 === 0 ? new ManualClock(0, Date.now()) : null;
    const laboratory = await Laboratory.open("property", clock === null ? {} : { clock });
    const history = new History(seed, laboratory, clock);
    try {
      await maker.make(laboratory.source, `${seed}`);
      return history;
    } catch (error) {
      history.close();
      throw error;
    }
  }

  close(): void {
    this.#laboratory.close();
  }

  async step(number: number): Promise<void> {
    try {
      if (number > 0) await this.#edit(number);
      await this.#backup(number);
      if (this.#random.chance(0.35)) await this.#pare();
      if (this.#random.chance(0.3)) await this.#check(this.#any([...this.#kept]));
      if (this.#random.chance(0.2)) await this.#checkPart(this.#any([...this.#kept]));
    } catch (error) {
      throw this.#told(error);
    }
  }

  async finish(): Promise<void> {
    try {
      await this.#backup(STEPS);
      for (const number of this.#kept) await this.#check(number);
      const { source, store } = this.#laboratory;
      await this.#laboratory.must("verify", "--store", store, "--cache");
      await this.#laboratory.restored("latest", null, async (dest) => {
        const compared = Bun.spawnSync(["python3", "-B", COMPARE, source, dest]);
        expect(`${compared.stdout}${compared.stderr}`).toEndWith(" equal\n");
      });
      await this.#byTheStoreAlone();
    } catch (error) {
      throw this.#told(error);
    }
  }

  async #edit(step: number): Promise<void> {
    const count = this.#random.pick([0, 1, 2, 5, 15]);
    const done = await maker.edit(this.#laboratory.source, `${this.#seed}.${step}`, count);
    this.#log.push(`step ${step}: ${done.join(", ") || "nothing"}`);
    this.#clock?.advance(this.#random.pick([0.25, 0.25, 1, 24, 100, 400]) * HOUR_MS);
  }

  async #backup(step: number): Promise<void> {
    const level = this.#random.pick(["auto", "micro", "micro", "micro", "micro", ...LEVELS] as const);
    const codec = this.#any(Object.keys(CODEC_IDS) as CodecName[]);
    const paranoid = this.#random.chance(0.1);
    const workers = this.#random.pick([1, 1, 2, 3]);
    const verify = this.#random.pick(["full", "full", "full", "quick", null] as const);
    const done = await this.#laboratory.backup({ level, codec, paranoid, workers, verify });
    const { node, written, pares } = done;
    for (const pare of pares) for (const gone of [pare.number, ...pare.dependants]) this.#kept.delete(gone);
    this.#kept.add(node.number);
    await maker.remember(this.#laboratory.source, this.#name(node.number));
    this.#log.push(
      `backup ${node.number}: ${node.level} of ${node.parent}, asked for ${level}, ${codec}${paranoid ? ", paranoid" : ""}, ` +
        `verify ${verify}, ${workers} workers: ${JSON.stringify(written.counts)}; pared ${pares.map((pare) => pare.number)}`,
    );
    expect(written.complaints).toEqual([]);
    expect(node.verified).toBe(verify !== null);
    if (step > 0 && this.#random.chance(0.3)) await this.#nothingLost();
  }

  /** Any backups, not only those that a plan would choose. */
  async #pare(): Promise<void> {
    const numbers = [...this.#kept].filter(() => this.#random.chance(0.4));
    if (numbers.length === this.#kept.size) numbers.pop();
    if (numbers.length === 0) return;
    const victims = this.#random.chance(0.5) ? numbers : numbers.toReversed();
    await this.#laboratory.pare(...victims);
    for (const number of victims) {
      this.#kept.delete(number);
      await maker.forget(this.#name(number));
    }
    this.#log.push(`pared ${victims.join(", ")}`);
    await this.#nothingLost();
  }

  /** The store knows exactly the backups that are kept. */
  async #nothingLost(): Promise<void> {
    const listed = await understudy("list", "--store", this.#laboratory.store, "--json");
    const { backups } = JSON.parse(listed.out) as { backups: { number: number }[] };
    expect(backups.map(({ number }) => number)).toEqual([...this.#kept]);
  }

  async #check(number: number): Promise<void> {
    await this.#laboratory.restored(number, null, async (dest) => {
      const { equal, text } = await maker.compare(dest, this.#name(number));
      if (!equal) throw new Error(`backup ${number} restored: ${text}`);
    });
  }

  /** One path of it alone, a file or a directory. */
  async #checkPart(number: number): Promise<void> {
    const paths = (await maker.paths(this.#name(number))).filter((one) => one !== "");
    if (paths.length === 0) return;
    const path = this.#any(paths);
    await this.#laboratory.restored(number, path, async (dest) => {
      const { equal, text } = await maker.compare(dest, this.#name(number), path);
      if (!equal) throw new Error(`${JSON.stringify(path)} of backup ${number} restored: ${text}`);
    });
  }

  /** The restorer that lies on every store has nothing of the program in it. */
  async #byTheStoreAlone(): Promise<void> {
    const { folder, store } = this.#laboratory;
    const number = this.#any([...this.#kept]);
    const dest = join(folder, "by-the-store");
    const child = Bun.spawnSync(["python3", "-B", join(store, "restore.py"), store, String(number), dest]);
    if (child.exitCode !== 0) throw new Error(`restore.py ${number}: ${child.stdout}${child.stderr}`);
    const { equal, text } = await maker.compare(dest, this.#name(number));
    if (!equal) throw new Error(`backup ${number} by restore.py: ${text}`);
  }

  #any<T>(choices: readonly T[]): T {
    return present(choices[this.#random.between(0, choices.length - 1)], "a choice");
  }

  #name(number: number): string {
    return `${this.#seed}/${number}`;
  }

  /** The error with the whole history before it. */
  #told(error: unknown): Error {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return new Error([`seed ${this.#seed}`, ...this.#log, text].join("\n"), { cause: error });
  }
}
