/** @module Trees of backups in memory, for tests: what each holds is a plain map; indexes and lists of changed paths are
 *  made from it as a run makes them. */
import { comparePaths, Entry, type EntrySource, KIND } from "../entry.ts";
import { Changes, ChangesWriter } from "../index/changes.ts";
import { DeltaIndexWriter } from "../index/delta.ts";
import { FullIndexWriter } from "../index/full.ts";
import { type Index, openIndex } from "../index/lookup.ts";
import { type IndexPages, type IndexSink, RecordCursor, RecordPages } from "../index/pages.ts";
import { MemoryFrames } from "../index/testing.ts";
import { type StoreFault, storeFault } from "../store/contract.ts";
import type { Origin, QueryBackup, QuerySource } from "./source.ts";

/** What a path holds: a number that stands for its content, size and time. */
export type Holding = ReadonlyMap<string, number>;

interface Made {
  readonly backup: QueryBackup;
  readonly origin: Origin;
  readonly holding: Holding;
  readonly frames: MemoryFrames;
  readonly changes: Uint8Array | null;
  /** Pared: only its heirs know it. */
  isPack: boolean;
  isDamaged: boolean;
}

export class TreeInMemory implements QuerySource {
  readonly #made = new Map<number, Made>();
  opened = 0;

  get backups(): readonly QueryBackup[] {
    return [...this.#made.values()].filter(({ isPack }) => !isPack).map(({ backup }) => backup);
  }

  /** The next backup; `full`: its index is. */
  add(holding: Holding, parent: number | null, full: boolean, atMs?: number): number {
    const number = this.#made.size + 1;
    const before = parent === null ? null : (this.#made.get(parent) as Made).holding;
    const frames = new MemoryFrames();
    const changes = writeIndex(frames, holding, before, full);
    const level = parent === null ? "monthly" : full ? "daily" : "micro";
    this.#made.set(number, {
      backup: { number, level, atMs: atMs ?? number * 900_000 },
      origin: { parent, indexBase: full ? null : parent },
      holding,
      frames,
      changes,
      isPack: false,
      isDamaged: false,
    });
    return number;
  }

  pare(number: number): void {
    (this.#made.get(number) as Made).isPack = true;
  }

  damage(number: number): void {
    (this.#made.get(number) as Made).isDamaged = true;
  }

  holdingOf(number: number): Holding {
    return (this.#made.get(number) as Made).holding;
  }

  originOf(number: number): Origin | null {
    return this.#made.get(number)?.origin ?? null;
  }

  indexOf(number: number): Index | StoreFault {
    this.opened++;
    const chain: IndexPages[] = [];
    for (let one: number | null = number; one !== null; ) {
      const made = this.#made.get(one) as Made;
      if (made.isDamaged) return storeFault("damaged", `backup ${one} is damaged`);
      chain.unshift(made.frames);
      one = made.origin.indexBase;
    }
    return openIndex(chain);
  }

  ownRecords(number: number): EntrySource | StoreFault {
    const { frames, isDamaged } = this.#made.get(number) as Made;
    if (isDamaged) return storeFault("damaged", `backup ${number} is damaged`);
    return new RecordCursor(new RecordPages(frames));
  }

  ownRecord(number: number, path: Uint8Array): Entry | null | StoreFault {
    const { frames, isDamaged } = this.#made.get(number) as Made;
    if (isDamaged) return storeFault("damaged", `backup ${number} is damaged`);
    const entry = new Entry();
    return new RecordPages(frames).find(path, entry) < 0 ? null : entry;
  }

  changesOf(number: number): Changes {
    const made = this.#made.get(number) as Made;
    return new Changes(made.isDamaged ? null : made.changes);
  }

  rootsOf(): readonly Uint8Array[] {
    return [Buffer.from("home")];
  }
}

function inOrder(paths: Iterable<string>): Uint8Array[] {
  const sorted = [...paths].map((path) => new Uint8Array(Buffer.from(path, "latin1")));
  return sorted.sort((a, b) => comparePaths(a, a.length, b, b.length));
}

/** An entry that holds `what`; a multiple of 10 is a directory. */
export function fill(entry: Entry, path: Uint8Array, what: number): Entry {
  entry.setPath(path);
  entry.clearContent();
  entry.kind = what % 10 === 0 ? KIND.directory : KIND.file;
  entry.mode = entry.kind === KIND.directory ? 0o755 : 0o644;
  entry.sizeBytes = what;
  entry.mtimeSeconds = 1_700_000_000 + what;
  if (entry.kind === KIND.file) {
    entry.hasContent = true;
    entry.sha256.fill(what & 0xff);
    entry.addSpan(1, what, 8, what);
  }
  return entry;
}

/** Returns the list of changed paths; null: all are new. */
function writeIndex(
  sink: IndexSink,
  holding: Holding,
  before: Holding | null,
  full: boolean,
): Uint8Array | null {
  const entry = new Entry();
  const changes = new ChangesWriter();
  const fullWriter = full ? new FullIndexWriter(sink) : null;
  const deltaWriter = full ? null : new DeltaIndexWriter(sink);
  for (const path of inOrder(new Set([...holding.keys(), ...(before?.keys() ?? [])]))) {
    const key = Buffer.from(path).toString("latin1");
    const [was, is] = [before?.get(key), holding.get(key)];
    if (was !== is) changes.add(path, path.length);
    if (was !== undefined && was === is) deltaWriter?.copy(1);
    else if (was !== undefined) deltaWriter?.drop(1);
    if (is !== undefined && was !== is) deltaWriter?.insert(fill(entry, path, is));
    if (is !== undefined) fullWriter?.add(fill(entry, path, is));
  }
  fullWriter?.finish();
  deltaWriter?.finish();
  return before === null ? null : changes.finish();
}
