/** @module The bench's data on disk: made once by generate.py, kept where the caller keeps its room, changed by turns. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generatorArguments, type Part, type TreeSizes } from "./sizes.ts";

const SETTLE_MS = 4000;
const GENERATOR = join(import.meta.dir, "generate.py");

interface Stamp {
  /** What it was asked for; another wish makes the set anew. */
  readonly wish: string;
  readonly bytes: number;
  /** Changes so far: the next one is another. */
  turn: number;
}

export class DataSet {
  readonly part: Part;
  readonly directory: string;
  readonly bytes: number;
  readonly #sizes: TreeSizes;
  readonly #stampPath: string;
  readonly #stamp: Stamp;

  private constructor(part: Part, sizes: TreeSizes, directory: string, stampPath: string, stamp: Stamp) {
    this.part = part;
    this.directory = directory;
    this.bytes = stamp.bytes;
    this.#sizes = sizes;
    this.#stampPath = stampPath;
    this.#stamp = stamp;
  }

  /** Made when it is not there. */
  static prepare(part: Part, sizes: TreeSizes, room: string, say: (text: string) => void): DataSet {
    const directory = join(room, part);
    const stampPath = join(room, `${part}.json`);
    const wish = generatorArguments(part, sizes).join(" ");
    if (existsSync(stampPath)) {
      const stamp = JSON.parse(readFileSync(stampPath, "utf8")) as Stamp;
      if (stamp.wish === wish) return new DataSet(part, sizes, directory, stampPath, stamp);
    }
    say(`${part}: making the data`);
    mkdirSync(room, { recursive: true });
    rmSync(directory, { recursive: true, force: true });
    const made = generate([part, directory, ...generatorArguments(part, sizes)]);
    const set = new DataSet(part, sizes, directory, stampPath, { wish, bytes: made.bytes ?? 0, turn: 0 });
    set.#save();
    set.#settle();
    return set;
  }

  /** Changes one per cent; bytes of what is to be stored again. */
  mutate(): number {
    this.#stamp.turn++;
    this.#save();
    const { corpusMb } = this.#sizes;
    const turn = String(this.#stamp.turn);
    const done = generate(["mutate", this.part, this.directory, turn, "--corpus-mb", String(corpusMb)]);
    this.#settle();
    return done.bytes ?? 0;
  }

  /** As data is by the time of its next backup: nobody has to take edits of this very moment for doubtful. */
  #settle(): void {
    if (!this.#sizes.tiny) Bun.sleepSync(SETTLE_MS);
  }

  /** Reads all of it once, so that every run finds it in the page cache. */
  warm(): void {
    Bun.spawnSync(["sh", "-c", 'find "$0" -type f -print0 | xargs -0 cat > /dev/null', this.directory]);
  }

  #save(): void {
    writeFileSync(this.#stampPath, JSON.stringify(this.#stamp));
  }
}

function generate(args: readonly string[]): { readonly bytes?: number } {
  const child = Bun.spawnSync(["python3", GENERATOR, ...args], { stdin: "ignore" });
  if (child.exitCode !== 0) throw new Error(`generate.py ${args.join(" ")}: ${child.stderr.toString()}`);
  return JSON.parse(child.stdout.toString()) as { bytes?: number };
}
