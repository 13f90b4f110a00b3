/** @module One part of the tree bench: every tool does every step in turn, round after round, on the same data.
 *
 *  (1) Steps are interleaved, tool after tool, and each round starts with another tool: a slow minute of the machine
 *      meets all of them.
 *  (2) What a step needs (an empty store, an empty place) is made before its time begins; durability is within it.
 *  (3) Where understudy fails the bench fails; a peer that fails is told and left out from then on. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { DataSet } from "./data.ts";
import { CommandFailed, type Measured, measure } from "./measure.ts";
import type { Part } from "./sizes.ts";
import { environment, type Places, type Tool } from "./tools.ts";

export const STEPS = [
  "full",
  "verify",
  "restore-tmpfs",
  "restore-disk",
  "nochange",
  "incr",
  "restore-one",
] as const;
export type StepName = (typeof STEPS)[number];

/** What a later step builds on is done all the same, but not in rounds and not reported. */
const NEEDED: readonly StepName[] = ["full", "verify"];

export interface Row extends Measured {
  readonly part: Part;
  readonly tool: string;
  readonly step: StepName;
  readonly round: number;
  /** Allocated bytes of the backup after the step; by how much the whole store grew. */
  readonly storedBytes: number;
  readonly grownBytes: number;
}

export interface Room {
  /** Stores, caches and the places on disk to restore to. */
  readonly disk: string;
  readonly tmpfs: string;
}

export interface Stage {
  readonly data: DataSet;
  readonly room: Room;
  readonly rounds: number;
  /** Those that are reported. */
  readonly steps: ReadonlySet<StepName>;
  readonly say: (text: string) => void;
  /** Peers that did not work, with what they said. */
  readonly broken: Map<string, string>;
  /** Tools that must work. */
  readonly mustWork: ReadonlySet<string>;
}

export class PartBench {
  readonly rows: Row[] = [];
  readonly #stage: Stage;
  readonly #env: Record<string, string | undefined>;
  #isCold = false;
  #runs = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
    this.#env = environment(join(stage.room.disk, "cache"));
    mkdirSync(join(stage.room.disk, "cache"), { recursive: true });
    stage.data.warm();
  }

  places(tool: Tool, dest = ""): Places {
    const { data, room } = this.#stage;
    const store = join(room.disk, "stores", `${data.part}-${tool.name.replaceAll(/[^\w]+/g, "-")}`);
    return { source: data.directory, store, dest, cache: join(room.disk, "cache"), run: `run${this.#runs}` };
  }

  /** New stores and a full backup in each, `rounds` times; the last ones stay. */
  async full(tools: readonly Tool[], rounds = this.#stage.rounds): Promise<void> {
    await this.#inTurn("full", tools, rounds, async (tool, round) => {
      const places = this.places(tool);
      rmSync(places.store, { recursive: true, force: true });
      mkdirSync(join(places.store, ".."), { recursive: true });
      await this.#quietly(tool.init(places));
      await this.#timed(tool, "full", round, tool.full(places), places.store);
    });
  }

  /** Backups on top; before each round the data is changed (`incr`) or not. */
  async next(tools: readonly Tool[], step: "nochange" | "incr"): Promise<void> {
    const able = tools.filter((tool) => tool.next !== null);
    const before = () => {
      if (step !== "incr") return;
      const bytes = this.#stage.data.mutate();
      this.#stage.say(`${this.#stage.data.part}: changed, ${(bytes / 1e6).toFixed(1)} MB of files touched`);
      this.#stage.data.warm();
    };
    await this.#inTurn(
      step,
      able,
      this.#stage.rounds,
      async (tool, round) => {
        this.#runs++;
        const places = this.places(tool);
        if (tool.next !== null) await this.#timed(tool, step, round, tool.next(places), places.store);
      },
      before,
    );
  }

  async verify(tools: readonly Tool[]): Promise<void> {
    const able = tools.filter((tool) => tool.verify !== null);
    await this.#inTurn("verify", able, this.#stage.rounds, async (tool, round) => {
      if (tool.verify !== null)
        await this.#timed(tool, "verify", round, tool.verify(this.places(tool)), null);
    });
  }

  async restore(tools: readonly Tool[], to: "tmpfs" | "disk"): Promise<void> {
    const able = tools.filter((tool) => tool.restore !== null);
    await this.#inTurn(`restore-${to}`, able, this.#stage.rounds, async (tool, round) => {
      const { restore } = tool;
      if (restore === null) return;
      await this.inEmptyDest(to, async (dest) => {
        await this.#timed(tool, `restore-${to}`, round, restore(this.places(tool, dest)), dest);
      });
    });
  }

  /** A single command of ours, e.g. the restore of one file. */
  async once(tool: Tool, step: StepName, command: (places: Places) => string): Promise<void> {
    await this.inEmptyDest("disk", async (dest) => {
      await this.#timed(tool, step, 0, command(this.places(tool, dest)), dest);
    });
  }

  async inEmptyDest(to: "tmpfs" | "disk", work: (dest: string) => Promise<void>): Promise<void> {
    const dest = join(this.#stage.room[to], "restored");
    // rm, not rmSync: trees are deeper than the longest path.
    await this.#quietly(`rm -rf '${dest}' && mkdir -p '${dest}'`);
    try {
      await work(dest);
    } finally {
      await this.#quietly(`rm -rf '${dest}'`);
    }
  }

  removeStores(tools: readonly Tool[]): void {
    for (const tool of tools) rmSync(this.places(tool).store, { recursive: true, force: true });
  }

  async #inTurn(
    step: StepName,
    tools: readonly Tool[],
    wantedRounds: number,
    work: (tool: Tool, round: number) => Promise<void>,
    before: () => void = () => {},
  ): Promise<void> {
    const { broken, mustWork, say, steps } = this.#stage;
    const rounds = steps.has(step) ? wantedRounds : NEEDED.includes(step) ? 1 : 0;
    for (let round = 0; round < rounds; round++) {
      before();
      for (let n = 0; n < tools.length; n++) {
        const tool = tools[(n + round) % tools.length];
        if (tool === undefined || broken.has(tool.name)) continue;
        try {
          await work(tool, round);
        } catch (error) {
          if (!(error instanceof CommandFailed) || mustWork.has(tool.name)) throw error;
          say(`${tool.name} is left out: ${error.message}`);
          broken.set(tool.name, error.message);
        }
      }
    }
  }

  async #timed(tool: Tool, step: StepName, round: number, command: string, sync: string | null) {
    const { data, say, steps } = this.#stage;
    if (this.#isCold) data.warm();
    this.#isCold = tool.coolsSource && (step === "full" || step === "nochange" || step === "incr");
    const { store } = this.places(tool);
    const beforeBytes = allocatedBytes(store);
    await this.#quietly("sync");
    const measured = await measure({ command, env: this.#env, syncPath: sync });
    const row: Row = {
      part: data.part,
      tool: tool.name,
      step,
      round,
      ...measured,
      storedBytes: allocatedBytes(tool.sized(this.places(tool))),
      grownBytes: allocatedBytes(store) - beforeBytes,
    };
    if (steps.has(step)) this.rows.push(row);
    say(
      `${data.part} ${step} ${tool.name}: ${row.wallSeconds.toFixed(2)} s, CPU ${row.cpuSeconds.toFixed(2)} s, ` +
        `${(row.peakBytes / 1e6).toFixed(0)} MB of memory, store ${(row.storedBytes / 1e6).toFixed(2)} MB`,
    );
  }

  async #quietly(command: string): Promise<void> {
    await measure({ command, env: this.#env, syncPath: null });
  }
}

/** Of a file, or of everything below a directory; files with several names count once. */
function allocatedBytes(path: string): number {
  const child = Bun.spawnSync(["du", "-s", "--block-size=1", path], { stderr: "ignore" });
  return Number(child.stdout.toString().split("\t")[0] ?? 0);
}
