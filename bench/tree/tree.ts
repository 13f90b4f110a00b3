/** @module `bun run bench tree`: backups of the same trees by understudy and by GNU tar with lz4, restic and borg.
 *
 *  Everything is timed until it is durable, from a warm page cache, and the median of the rounds counts. The full backup
 *  of the limits is made with --no-verify, as the peers do not verify either; the line of "understudy, verified" is what
 *  the default costs. Incremental ones are verified, as they are by default. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Machine, thisMachine } from "../machine.ts";
import { DataSet } from "./data.ts";
import { type Line, linesOf, OURS, OURS_VERIFIED, OURS_ZSTD, type Ratio, ratiosOf } from "./ratios.ts";
import { PartBench, type Room, type Row, type Stage, type StepName } from "./rounds.ts";
import type { Part, TreeSizes } from "./sizes.ts";
import {
  BORG,
  findPrograms,
  ours,
  type Places,
  type Program,
  RESTIC,
  ROOT,
  restoreLatest,
  restoreOne,
  TAR_LZ4,
  TAR_ZSTD,
  type Tool,
} from "./tools.ts";

export interface TreeRequest {
  readonly sizes: TreeSizes;
  readonly parts: readonly Part[];
  readonly steps: readonly StepName[];
  /** Kept between runs, with its data; null: a temporary one. */
  readonly work: string | null;
  readonly say: (text: string) => void;
}

export interface TreeResult {
  readonly bench: "tree";
  readonly sizes: TreeSizes;
  readonly machine: Machine;
  /** The first one was measured. */
  readonly programs: readonly Program[];
  readonly lines: readonly Line[];
  readonly ratios: readonly Ratio[];
  /** Our latest backup, restored after all the changes, held against the source: one line a part. */
  readonly fidelity: Readonly<Record<string, string>>;
  /** Peers that are not there or did not work. */
  readonly leftOut: Readonly<Record<string, string>>;
  readonly reached: Readonly<Record<string, boolean>>;
}

const COMPARE = join(ROOT, "test", "backup", "tree-maker", "compare.py");
/** Of `many`: one that is always there. */
const ONE_FILE = "a000/b001/f0001234";

export async function runTree(request: TreeRequest): Promise<TreeResult> {
  const programs = findPrograms();
  const program = programs[0];
  if (program === undefined) throw new Error("no program to measure");
  for (const { kind, startSeconds } of programs)
    request.say(`${kind} starts in ${(startSeconds * 1000).toFixed(0)} ms`);
  const disk = request.work ?? mkdtempSync(join(tmpdir(), "understudy-bench-tree-"));
  const tmpfs = mkdtempSync(join("/dev/shm", "understudy-bench-tree-"));
  const broken = new Map<string, string>();
  try {
    const rows: Row[] = [];
    const fidelity: Record<string, string> = {};
    const tools = toolsFor(program);
    await findPeers(request, tools.peers, broken);
    for (const part of request.parts) {
      const data = DataSet.prepare(part, request.sizes, join(disk, "src"), request.say);
      const stage: Stage = {
        data,
        room: { disk, tmpfs } satisfies Room,
        rounds: request.sizes.rounds,
        steps: new Set(request.steps),
        say: request.say,
        broken,
        mustWork: new Set([OURS, OURS_VERIFIED, OURS_ZSTD]),
      };
      const bench = new PartBench(stage);
      try {
        // Tiny: the slow peers once, to see that they are driven rightly.
        const some = request.sizes.tiny && part !== "small" ? { ...tools, peers: [TAR_LZ4] } : tools;
        await PART_STEPS[part](bench, some);
        await bench.inEmptyDest("disk", async (dest) => {
          fidelity[part] = compared(program, bench.places(tools.plain, dest));
          request.say(`${part}: restored, ${fidelity[part]}`);
        });
      } finally {
        bench.removeStores([...tools.own, ...tools.peers]);
      }
      rows.push(...bench.rows);
    }
    return result(request, programs, rows, fidelity, broken);
  } finally {
    rmSync(tmpfs, { recursive: true, force: true });
    rmSync(join(disk, request.work === null ? "" : "cache"), { recursive: true, force: true });
  }
}

function result(
  { sizes }: TreeRequest,
  programs: readonly Program[],
  rows: readonly Row[],
  fidelity: Record<string, string>,
  broken: ReadonlyMap<string, string>,
): TreeResult {
  const lines = linesOf(rows);
  const ratios = ratiosOf(lines);
  const reached: Record<string, boolean> = {};
  // A tiny set says nothing about speed: what counts is that all of it worked.
  if (!sizes.tiny) for (const { name, ok } of ratios) reached[name] = ok;
  for (const [part, line] of Object.entries(fidelity)) reached[`${part}: fidelity`] = line.endsWith("equal");
  const leftOut = Object.fromEntries(broken);
  return {
    bench: "tree",
    sizes,
    machine: thisMachine(),
    programs,
    lines,
    ratios,
    fidelity,
    leftOut,
    reached,
  };
}

interface Tools {
  readonly plain: Tool;
  readonly own: readonly Tool[];
  readonly zstd: readonly Tool[];
  readonly peers: readonly Tool[];
  readonly words: string;
}

function toolsFor({ words }: Program): Tools {
  const plain = ours({ name: OURS, program: words, flags: "--no-verify" });
  const verified = ours({ name: OURS_VERIFIED, program: words, flags: "" });
  const zstd = ours({ name: OURS_ZSTD, program: words, flags: "--no-verify --codec zstd" });
  return {
    plain,
    own: [plain, verified],
    zstd: [zstd, TAR_ZSTD],
    peers: [TAR_LZ4, RESTIC, BORG],
    words,
  };
}

/** Peers that are missing are installed where that may be done; for the tiny sizes what is there is enough. */
async function findPeers(
  { sizes, say }: TreeRequest,
  peers: readonly Tool[],
  broken: Map<string, string>,
): Promise<void> {
  const missing = () =>
    [...peers, TAR_ZSTD].filter((tool) => tool.needs.some(({ program }) => Bun.which(program) === null));
  if (!sizes.tiny && missing().length > 0) {
    const packages = missing().flatMap((tool) => tool.needs.map(({ debian }) => debian));
    say(`installing ${packages.join(" ")}`);
    const script = join(ROOT, "scripts", "packages.mjs");
    await Bun.spawn([process.execPath, script, ...packages], { stdout: "ignore" }).exited;
  }
  for (const { name, needs } of missing()) {
    const text = `not installed (apt-get install ${needs.map(({ debian }) => debian).join(" ")})`;
    say(`${name}: ${text}`);
    broken.set(name, text);
  }
}

const PART_STEPS: Record<Part, (bench: PartBench, tools: Tools) => Promise<void>> = {
  small: everyStep,
  mixed: everyStep,
  big: async (bench, { plain, peers }) => {
    await bench.full([plain, ...peers], 1);
    await bench.verify([plain, ...peers]);
    await bench.next([plain, ...peers], "nochange");
    await bench.next([plain, ...peers], "incr");
  },
  many: async (bench, { plain, words }) => {
    const tools = [plain, TAR_LZ4];
    await bench.full(tools, 1);
    await bench.verify(tools);
    await bench.next(tools, "nochange");
    await bench.once(plain, "restore-one", (places) => restoreOne(words, places, ONE_FILE));
  },
};

async function everyStep(bench: PartBench, { plain, own, zstd, peers }: Tools): Promise<void> {
  await bench.full([...own, ...peers]);
  await bench.full(zstd, 1);
  bench.removeStores([...zstd, ...own.filter((tool) => tool !== plain)]);
  await bench.verify([plain, ...peers]);
  await bench.restore([plain, ...peers], "tmpfs");
  await bench.restore([plain, ...peers], "disk");
  await bench.next([plain, ...peers], "nochange");
  await bench.next([plain, ...peers], "incr");
}

/** Restores the latest backup and holds it against the source. */
function compared(program: Program, places: Places): string {
  const restore = Bun.spawnSync(["bash", "-c", restoreLatest(program.words, places)], { stdin: "ignore" });
  if (restore.exitCode !== 0) throw new Error(`restore latest: ${restore.stderr.toString()}`);
  mkdirSync(places.cache, { recursive: true });
  const child = Bun.spawnSync(["python3", COMPARE, places.source, places.dest]);
  return `${child.stdout}${child.stderr}`.trim();
}
