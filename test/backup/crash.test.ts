/** @module SIGKILL at random moments of backups, of paring and of restores, again and again in one store (TREE-03, 08, 13).
 *
 *  After each: the torn backup is not listed, or it is whole; whatever is listed restores exactly; the next run works, and
 *  takes over what it can. The tree is edited between a killed run and the next, so that what was taken over must be right.
 *      CRASH_RUNS=200 bun test test/backup/crash.test.ts          so many kills (else: as many as fit into a minute)
 *      CRASH_SEED=7 CRASH_RUNS=20 ... */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { Random } from "../simulator/random.ts";
import { Laboratory, understudy } from "./tree-maker/laboratory.ts";
import { TreeMaker } from "./tree-maker/maker.ts";

const MAIN = join(import.meta.dir, "..", "..", "src", "main.ts");
const GENERATOR = join(import.meta.dir, "..", "..", "bench", "tree", "generate.py");
/** So that a run takes long enough to be killed in the midst of it. */
const BALLAST_FILES = "1200";
const RUNS = process.env.CRASH_RUNS === undefined ? null : Number(process.env.CRASH_RUNS);
const SEED = Number(process.env.CRASH_SEED ?? Math.floor(Math.random() * 1e6));
const BUDGET_MS = 60_000;
const KILLS_MAX = 200;
/** Past this a killed command has long ended by itself. */
const SECONDS_A_KILL = 10;
/** Backups that stay, beside the ones that a kill may have made. */
const KEPT_MAX = 5;

let maker: TreeMaker;
beforeAll(() => {
  maker = new TreeMaker();
});
afterAll(() => maker.stop());

test(
  `TREE-03, 08, 13: killed at any moment, the store stays sound and the next run works (seed ${SEED})`,
  async () => {
    const chain = await Chain.begin(SEED);
    try {
      const begun = performance.now();
      const goesOn = () => (RUNS === null ? performance.now() - begun < BUDGET_MS : chain.kills < RUNS);
      while (goesOn() && chain.kills < Math.max(KILLS_MAX, RUNS ?? 0)) await chain.round();
      await chain.finish();
      process.stderr.write(`${chain.summary}\n`);
    } finally {
      chain.close();
    }
  },
  BUDGET_MS * 2 + (RUNS ?? 0) * SECONDS_A_KILL * 1000,
);

class Chain {
  kills = 0;
  #finishedAnyway = 0;
  #takenOver = 0;
  readonly #seed: number;
  readonly #random: Random;
  readonly #laboratory: Laboratory;
  readonly #log: string[] = [];
  /** Backups that are known to be there, with the states of the tree that they hold: number to name. */
  readonly #known = new Map<number, string>();
  #states = 0;
  /** How long the program takes before it does anything, and for an undisturbed backup: kills are spread over it. */
  #startMs = 150;
  #runMs = 400;
  #restoreMs = 300;

  private constructor(seed: number, laboratory: Laboratory) {
    this.#seed = seed;
    this.#random = new Random(seed);
    this.#laboratory = laboratory;
  }

  static async begin(seed: number): Promise<Chain> {
    const chain = new Chain(seed, await Laboratory.open("crash"));
    try {
      await chain.#prepare();
      return chain;
    } catch (error) {
      chain.close();
      throw error;
    }
  }

  async #prepare(): Promise<void> {
    const { source, folder, store } = this.#laboratory;
    // Its own size: how much is free is not then what others on the same disk leave.
    await this.#laboratory.must("store", "init", store, "--capacity", "4GB");
    await maker.make(source, `${this.#seed}`);
    const ballast = join(source, "ballast");
    const made = Bun.spawnSync([
      ...["python3", GENERATOR, "small", ballast, "--files", BALLAST_FILES, "--corpus-mb", "1"],
    ]);
    if (made.exitCode !== 0) throw new Error(made.stderr.toString());
    this.#startMs = await this.#undisturbed("list");
    this.#runMs = await this.#undisturbed("backup", "--level", "monthly", source);
    await maker.remember(source, "0");
    this.#known.set(1, "0");
    this.#restoreMs = await this.#undisturbed("restore", "latest", join(folder, "first"));
  }

  get summary(): string {
    return `${this.kills} kills, of which ${this.#finishedAnyway} came too late; ${this.#takenOver} runs took over what was read before`;
  }

  close(): void {
    this.#laboratory.close();
  }

  async round(): Promise<void> {
    try {
      const what = this.#random.pick(["backup", "backup", "backup", "backup", "pare", "restore"] as const);
      if (what === "backup") await this.#killBackups();
      else if (what === "pare") await this.#killPare();
      else await this.#killRestore();
      await this.#thin();
    } catch (error) {
      throw this.#told(error);
    }
  }

  async finish(): Promise<void> {
    try {
      for (const number of this.#known.keys()) await this.#check(number);
      await this.#laboratory.must("verify", "--store", this.#laboratory.store, "--cache");
    } catch (error) {
      throw this.#told(error);
    }
  }

  /** One to three killed runs with edits in between, then one that is left alone. */
  async #killBackups(): Promise<void> {
    const { source } = this.#laboratory;
    for (let left = this.#random.pick([1, 1, 2, 3]); left > 0; left--) {
      const state = await this.#editTree();
      const level = this.#random.pick(["micro", "micro", "daily", "monthly"] as const);
      await this.#killed(this.#runMs, "backup", "--level", level, source);
      await this.#listed(state);
    }
    const state = this.#random.chance(0.5) ? await this.#editTree() : await this.#sameTree();
    const { node, resumed } = await this.#laboratory.backup({ level: "micro" });
    if (resumed) this.#takenOver++;
    this.#log.push(`backup ${node.number}: ${node.level} of ${node.parent}${resumed ? ", taken over" : ""}`);
    expect(this.#known.has(node.number)).toBe(false);
    this.#known.set(node.number, state);
    await this.#listed(null);
    await this.#check(node.number);
  }

  async #killPare(): Promise<void> {
    const { store } = this.#laboratory;
    const info = await this.#laboratory.must("store", "info", "--store", store, "--json");
    const { freeBytes } = JSON.parse(info.out) as { freeBytes: number };
    const dry = await understudy(
      "pare",
      "--store",
      store,
      "--dry-run",
      "--free",
      `${freeBytes + 1}`,
      "--json",
    );
    const { pares } = JSON.parse(dry.out) as { pares: { number: number; dependants: number[] }[] };
    const mayGo = new Set(pares.flatMap(({ number, dependants }) => [number, ...dependants]));
    await this.#killed(this.#runMs / 2, "pare", "--free", `${freeBytes + 1}`);
    await this.#listed(null, mayGo);
    await this.#check(this.#anyKnown());
  }

  async #killRestore(): Promise<void> {
    const { folder } = this.#laboratory;
    const dest = join(folder, "killed-restore");
    const number = this.#anyKnown();
    for (let left = this.#random.pick([1, 2]); left > 0; left--)
      await this.#killed(this.#restoreMs, "restore", String(number), dest);
    await this.#laboratory.must("restore", String(number), dest, "--store", this.#laboratory.store);
    const { equal, text } = await maker.compare(dest, this.#nameOf(number));
    if (!equal) throw new Error(`backup ${number}, restore gone on with: ${text}`);
    Bun.spawnSync(["rm", "-rf", dest]);
  }

  /** Ends the command at a random moment of `withinMs`. */
  async #killed(withinMs: number, command: string, ...args: readonly string[]): Promise<void> {
    const child = this.#start(command, args);
    const afterMs =
      this.#startMs * 0.7 + this.#random.next() * Math.max(50, withinMs * 1.1 - this.#startMs * 0.7);
    const timer = setTimeout(() => child.kill("SIGKILL"), afterMs);
    const exitCode = await child.exited;
    clearTimeout(timer);
    this.kills++;
    const late = child.signalCode === null;
    if (late) this.#finishedAnyway++;
    this.#log.push(
      `${command} ${args.join(" ")}: ${late ? `exit code ${exitCode}` : `killed after ${afterMs.toFixed(0)} ms`}`,
    );
  }

  /** Milliseconds that the command takes. */
  async #undisturbed(command: string, ...args: readonly string[]): Promise<number> {
    const begun = performance.now();
    const child = this.#start(command, args);
    const errors = await new Response(child.stderr).text();
    if ((await child.exited) !== 0) throw new Error(`${command}: ${errors}`);
    return performance.now() - begun;
  }

  #start(command: string, args: readonly string[]) {
    return Bun.spawn([process.execPath, MAIN, command, "--store", this.#laboratory.store, ...args], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
  }

  /** What is listed is what is known, at most with one more, of `state`; only what `mayGo` may be missing. */
  async #listed(state: string | null, mayGo: ReadonlySet<number> = new Set()): Promise<void> {
    const { out } = await this.#laboratory.must("list", "--store", this.#laboratory.store, "--json");
    const { backups } = JSON.parse(out) as { backups: { number: number }[] };
    const numbers = new Set(backups.map(({ number }) => number));
    for (const number of this.#known.keys()) {
      if (numbers.has(number)) continue;
      if (!mayGo.has(number)) throw new Error(`backup ${number} is not listed any more`);
      this.#known.delete(number);
    }
    for (const number of numbers) {
      if (this.#known.has(number)) continue;
      if (state === null) throw new Error(`backup ${number} is listed, and nobody made it`);
      this.#known.set(number, state);
      await this.#check(number);
    }
  }

  async #check(number: number): Promise<void> {
    await this.#laboratory.restored(number, null, async (dest) => {
      const { equal, text } = await maker.compare(dest, this.#nameOf(number));
      if (!equal) throw new Error(`backup ${number} restored: ${text}`);
    });
  }

  /** Some go, so that the rounds stay short; a folded store is a harder one too. */
  async #thin(): Promise<void> {
    while (this.#known.size > KEPT_MAX) {
      const number = this.#anyKnown();
      await this.#laboratory.pare(number);
      this.#known.delete(number);
      this.#log.push(`pared ${number}`);
    }
  }

  async #editTree(): Promise<string> {
    this.#states++;
    const seed = `${this.#seed}.${this.#states}`;
    const done = await maker.edit(this.#laboratory.source, seed, this.#random.pick([0, 1, 4, 12]));
    this.#log.push(`edits: ${done.join(", ") || "none"}`);
    return await this.#sameTree();
  }

  async #sameTree(): Promise<string> {
    await maker.remember(this.#laboratory.source, `${this.#states}`);
    return `${this.#states}`;
  }

  #anyKnown(): number {
    const numbers = [...this.#known.keys()];
    return numbers[this.#random.between(0, numbers.length - 1)] ?? 0;
  }

  #nameOf(number: number): string {
    return this.#known.get(number) ?? "";
  }

  #told(error: unknown): Error {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return new Error([`seed ${this.#seed}`, ...this.#log.slice(-40), text].join("\n"), { cause: error });
  }
}
