/** @module A store in a directory of a disk.
 *  (1) What is in backups/ is a backup, by its name alone: one rename makes it one, one rename makes it a pack.
 *  (2) The directory is held open: the disk cannot be unmounted by accident, and what stands at its path later is
 *      compared with it.
 *  (3) No change needs the catalog: where that cannot be written, the next opening reads the archives again. */
import { closeSync, fstatSync, renameSync, statfsSync, statSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../../base/assert.ts";
import type { TreeCatalog } from "../../catalog/tree-catalog.ts";
import type { ArchiveReader } from "../archive/reader.ts";
import { ArchiveDamaged } from "../archive/types.ts";
import { Changes, unpackChanges } from "../index/changes.ts";
import { isDamage } from "../index/damage.ts";
import { type Index, openIndex } from "../index/lookup.ts";
import { type MendedIndex, type MendedLayer, openMendedIndex } from "../index/mended.ts";
import type { IndexPages } from "../index/pages.ts";
import {
  type BackupNode,
  isFault,
  type Marks,
  type PackNode,
  type PartialRun,
  type Room,
  type StepHook,
  type StoreFault,
  type StoreIdentity,
  storeFault,
} from "./contract.ts";
import {
  type DurableTools,
  errorCode,
  faultOf,
  removeIfThere,
  replaceFile,
  syncDirectory,
  withRoom,
} from "./durable.ts";
import { Family } from "./family.ts";
import { CATALOG, fileName, MARKER, pathOf, RESERVE } from "./layout.ts";
import type { ReaderLock, WriterLock } from "./lock.ts";
import { type Marker, markerText, readMarker } from "./marker.ts";
import { marksText } from "./marks.ts";
import { Readers } from "./readers.ts";
import { giveReserve } from "./reserve.ts";
import { type Found, look, numbersIn, type Survey, survey } from "./survey.ts";
import { type ChunkUses, united, usesOf } from "./uses.ts";

export interface DirectoryParts {
  readonly directory: string;
  readonly marker: Marker;
  readonly catalog: TreeCatalog;
  /** The directory itself, held open. */
  readonly anchor: number;
  readonly reading: ReaderLock;
  /** null: for reading only. */
  readonly writing: WriterLock | null;
  readonly hook: StepHook;
  readonly notes: readonly string[];
}

/** Makes no store for writing of one that was opened for reading: `open.ts` gives it out as what it may be. */
export class DirectoryStore {
  readonly kind = "store";
  readonly directory: string;
  readonly writable: boolean;
  readonly notes: string[];
  readonly tools: DurableTools;
  #marker: Marker;
  readonly #parts: DirectoryParts;
  readonly #readers = new Readers();
  #found = new Map<number, Found>();
  #broken: ReadonlyMap<number, string> = new Map();
  #family = new Family([]);
  #tree: readonly BackupNode[] | null = null;
  #told = false;
  #closed = false;

  constructor(parts: DirectoryParts) {
    const { directory, hook } = parts;
    this.#parts = parts;
    this.directory = directory;
    this.writable = parts.writing !== null;
    this.notes = [...parts.notes];
    this.#marker = parts.marker;
    this.tools = { hook, makeRoom: () => giveReserve(directory) };
  }

  get identity(): StoreIdentity {
    return this.#marker;
  }

  refresh(): StoreFault | null {
    const { directory, catalog } = this.#parts;
    const seen = survey(directory, catalog.archives(), (path) => this.#readers.facts(path));
    if (seen.kind === "fault") return seen;
    this.#readers.close();
    this.#take(seen);
    return null;
  }

  #take({ found, broken, notes, changed, gone }: Survey): void {
    this.#found = found;
    this.#broken = broken;
    for (const note of notes) if (!this.notes.includes(note)) this.notes.push(note);
    if (changed.length > 0 || gone.length > 0) this.#parts.catalog.keep(changed, gone);
    this.#rebuild();
    for (const [number, { place, facts }] of found) {
      if (place !== "backups") continue;
      const missing = this.#family.missingAbove(number);
      const note = `backup ${number}: its ancestor ${missing} is missing: what it holds of it cannot be restored`;
      if (missing !== null && !this.notes.includes(note)) this.notes.push(note);
      assert(facts.number === number, "found under its number");
    }
  }

  #rebuild(): void {
    this.#tree = null;
    this.#family = new Family(
      [...this.#found.values()].map(({ place, facts: { number, parent, indexBase } }) => ({
        number,
        parent,
        indexBase,
        living: place === "backups",
      })),
    );
  }

  tree(): readonly BackupNode[] {
    this.#tree ??= [...this.#found.values()]
      .filter(({ place }) => place === "backups")
      .map((found) => this.#nodeOf(found))
      .sort((a, b) => a.number - b.number);
    return this.#tree;
  }

  #nodeOf({ facts, marks, diskBytes }: Found): BackupNode {
    const { number, level, indexBase, startedAtMs, finishedAtMs, plainBytes, entries, chunks } = facts;
    return {
      number,
      level,
      parent: this.#family.parentOf(number),
      atMs: startedAtMs,
      verified: marks.verified !== null,
      pinned: marks.pinned,
      complete: true,
      recordedParent: facts.parent,
      indexBase,
      finishedMs: finishedAtMs,
      marks,
      storedBytes: diskBytes,
      plainBytes,
      entries,
      chunks,
    };
  }

  packs(): readonly PackNode[] {
    return this.#family.packs().flatMap((number) => {
      const found = this.#found.get(number);
      if (found === undefined) return [];
      const { level, parent, indexBase } = found.facts;
      return { number, level, recordedParent: parent, indexBase, storedBytes: found.diskBytes };
    });
  }

  /** Numbers of archives that cannot be read: what they need is not known. */
  broken(): ReadonlyMap<number, string> {
    return this.#broken;
  }

  node(number: number): BackupNode | null {
    return this.tree().find((one) => one.number === number) ?? null;
  }

  archivePath(number: number): string | null {
    const found = this.#found.get(number);
    return found === undefined ? null : pathOf(this.directory, found.place, number, "backup");
  }

  readerOf(number: number): ArchiveReader | StoreFault {
    const path = this.archivePath(number);
    if (path === null) return storeFault("unknown", `${this.directory}: there is no backup ${number}`);
    return this.#readers.get(number, path);
  }

  indexOf(number: number): Index | StoreFault {
    const chain = this.#family.has(number) ? this.#family.indexChain(number) : number;
    if (typeof chain === "number") {
      const what =
        chain === number
          ? `there is no backup ${number}`
          : `the index of backup ${number} is based on ${chain}, which is missing`;
      return storeFault(chain === number ? "unknown" : "damaged", `${this.directory}: ${what}`);
    }
    const pages: IndexPages[] = [];
    for (const one of chain) {
      const reader = this.readerOf(one);
      if (isFault(reader)) return reader;
      pages.push(reader.indexPages());
    }
    return this.#guarded(number, () => openIndex(pages));
  }

  mendedIndexOf(number: number): MendedIndex | StoreFault {
    if (!this.#found.has(number))
      return storeFault("unknown", `${this.directory}: there is no backup ${number}`);
    const chain: MendedLayer[] = [];
    for (let one: number | null = number; one !== null; ) {
      chain.push(this.#layerOf(one));
      one = this.#found.get(one)?.facts.indexBase ?? null;
    }
    return openMendedIndex(chain.reverse());
  }

  #layerOf(number: number): MendedLayer {
    const reader = this.readerOf(number);
    const parent = this.#found.get(number)?.facts.parent ?? null;
    return {
      frames: isFault(reader) ? lostPages(reader.text) : reader.indexPages(),
      entries: isFault(reader) || reader.footer.entries === 0 ? null : reader.footer.entries,
      changes: () => changesOf(this.readerOf(number)),
      parent: () => {
        const index = parent === null ? null : this.mendedIndexOf(parent);
        return isFault(index) ? null : index;
      },
    };
  }

  /** Damage of an index turns up while it is read. */
  #guarded<T>(number: number, act: () => T): T | StoreFault {
    try {
      return act();
    } catch (error) {
      if (isDamage(error)) {
        return storeFault("damaged", `${this.directory}: the index of backup ${number}: ${error.message}`);
      }
      throw error;
    }
  }

  /** Which chunks a backup needs, of its own archive and of others. */
  usesOf(number: number): ChunkUses | StoreFault {
    const facts = this.#found.get(number)?.facts;
    if (facts === undefined) return storeFault("unknown", `${this.directory}: there is no backup ${number}`);
    const { root, repairs } = facts;
    // A footer that was mended has no root to know the index by.
    const known = repairs.length > 0 ? null : this.#parts.catalog.usesOf(number, root);
    if (known !== null) return known;
    const index = this.indexOf(number);
    if (isFault(index)) return index;
    const uses = this.#guarded(number, () => usesOf(index.cursor()));
    if (!isFault(uses) && repairs.length === 0) this.#parts.catalog.keepUses(number, root, uses);
    return uses;
  }

  neededOf(pack: number): Uint8Array | null | StoreFault {
    if (this.#family.isLiving(pack)) return null;
    return this.neededBy(this.#family.heirsOf(pack), pack);
  }

  /** The chunks of `pack` that any of these backups needs. */
  neededBy(heirs: readonly number[], pack: number): Uint8Array | StoreFault {
    let needed = new Uint8Array(0);
    for (const heir of heirs) {
      const uses = this.usesOf(heir);
      if (isFault(uses)) return uses;
      const bits = uses.get(pack);
      if (bits !== undefined) needed = united(needed, bits) as Uint8Array<ArrayBuffer>;
    }
    return needed;
  }

  get hook(): StepHook {
    return this.tools.hook;
  }

  makeRoom(): boolean {
    return this.tools.makeRoom();
  }

  /** A copy. */
  family(): Family {
    return this.#family.copy();
  }

  room(): Room | StoreFault {
    let usedBytes = 0;
    for (const { diskBytes } of this.#found.values()) usedBytes += diskBytes;
    try {
      for (const name of [CATALOG, RESERVE]) usedBytes += bytesAt(join(this.directory, name));
      const partial = numbersIn(this.directory, "partial");
      if (isFault(partial)) return partial;
      for (const number of partial.archives) {
        usedBytes += bytesAt(pathOf(this.directory, "partial", number, "backup"));
        usedBytes += bytesAt(pathOf(this.directory, "partial", number, "journal"));
      }
      const { bavail, bsize } = statfsSync(this.directory);
      const onDisk = bavail * bsize;
      const capacityBytes = this.#marker.capacityBytes;
      if (capacityBytes === null) return { freeBytes: onDisk, usedBytes, capacityBytes: usedBytes + onDisk };
      return {
        freeBytes: Math.min(onDisk, capacityBytes - usedBytes),
        usedBytes,
        capacityBytes,
      };
    } catch (error) {
      return this.#failed(this.directory, error);
    }
  }

  check(): StoreFault | null {
    let why: string;
    try {
      const [held, there] = [fstatSync(this.#parts.anchor), statSync(this.directory)];
      const read = readMarker(this.directory);
      if (held.dev !== there.dev || held.ino !== there.ino) why = "another directory stands there now";
      else if (read.kind === "none") why = "its marker is gone";
      else if (read.kind === "marker" && read.marker.id !== this.#marker.id)
        why = "another store is there now";
      else if (read.kind === "fault" && read.cause === "gone") why = read.text;
      else return null;
    } catch (error) {
      if (errorCode(error) === "") throw error;
      why = errorCode(error);
    }
    return this.#gone(why);
  }

  #gone(why: string): StoreFault {
    const text = `${this.directory}: the store's disk is not there any more (${why}): plug it in and mount it, then start again`;
    const fault = storeFault("gone", text);
    if (this.#told) return { ...fault, repeated: true };
    this.#told = true;
    return fault;
  }

  /** What went wrong may mean that the disk is gone. */
  #failed(what: string, error: unknown): StoreFault {
    if (errorCode(error) === "" && !(error instanceof Error && "errno" in error)) throw error;
    return this.check() ?? faultOf(what, error);
  }

  /** A change; the system's errors become faults. */
  #change<T>(what: string, act: () => T): T | StoreFault {
    assert(this.writable, "the store was opened for writing");
    // Else what stands at the path now, an empty mount point, would be written to.
    const fault = this.check();
    if (fault !== null) return fault;
    try {
      return act();
    } catch (error) {
      return this.#failed(what, error);
    }
  }

  beginRun(): PartialRun | StoreFault {
    const partial = numbersIn(this.directory, "partial");
    if (isFault(partial)) return partial;
    const highest = this.highestNumber();
    // A run that was overtaken (its disk was written to by somebody else's copy) is no more of use.
    const resumable = partial.archives.filter((number) => number > highest).at(-1);
    const number = resumable ?? highest + 1;
    const run: PartialRun = {
      number,
      archivePath: pathOf(this.directory, "partial", number, "backup"),
      journalPath: pathOf(this.directory, "partial", number, "journal"),
      resumed: resumable !== undefined,
    };
    const done = this.#change(run.archivePath, () => {
      for (const other of [...partial.archives, ...partial.journals]) {
        if (other === resumable) continue;
        removeIfThere(pathOf(this.directory, "partial", other, "backup"));
        removeIfThere(pathOf(this.directory, "partial", other, "journal"));
      }
    });
    return done ?? run;
  }

  /** Of all archives that there are or were. */
  highestNumber(): number {
    return Math.max(0, this.#marker.lastNumber, ...this.#found.keys(), ...this.#broken.keys());
  }

  commitRun(run: PartialRun): BackupNode | StoreFault {
    const { number, archivePath, journalPath } = run;
    const facts = this.#readers.wholeFacts(archivePath);
    if (typeof facts === "string")
      return storeFault("damaged", `${archivePath}: ${facts}: it is not committed`);
    assert(facts.number === number, `the archive is of run ${number}`);
    const { hook } = this.tools;
    const fault = this.#change(archivePath, () => {
      withRoom(this.tools, () => {
        hook("commit: rename");
        renameSync(archivePath, pathOf(this.directory, "backups", number, "backup"));
      });
      hook("commit: sync backups");
      syncDirectory(join(this.directory, "backups"));
      hook("commit: remove journal");
      removeIfThere(journalPath);
      hook("commit: sync partial");
      syncDirectory(join(this.directory, "partial"));
    });
    if (isFault(fault)) return fault;
    return this.#looked(number, "backups");
  }

  dropRun({ archivePath, journalPath }: PartialRun): StoreFault | null {
    const fault = this.#change(archivePath, () => {
      // The journal first: without its archive it would be taken for the next one's.
      removeIfThere(journalPath);
      removeIfThere(archivePath);
    });
    return fault ?? null;
  }

  mark(number: number, change: Partial<Marks>): BackupNode | StoreFault {
    const found = this.#found.get(number);
    if (found?.place !== "backups")
      return storeFault("unknown", `${this.directory}: there is no backup ${number}`);
    const path = pathOf(this.directory, "backups", number, "marks");
    const fault = this.#change(path, () =>
      replaceFile(path, marksText({ ...found.marks, ...change }), this.tools),
    );
    return isFault(fault) ? fault : this.#looked(number, "backups");
  }

  setCapacity(capacityBytes: number | null): StoreFault | null {
    return this.#mark({ ...this.#marker, capacityBytes });
  }

  #mark(marker: Marker): StoreFault | null {
    const path = join(this.directory, MARKER);
    const fault = this.#change(path, () => replaceFile(path, markerText(marker), this.tools));
    if (isFault(fault)) return fault;
    this.#marker = marker;
    return null;
  }

  /** Reads one archive's state again. */
  #looked(number: number, place: Found["place"]): BackupNode | StoreFault {
    this.#readers.drop(number);
    // Its marks are looked for even where there are none: one call.
    const one = look(this.directory, place, number, true, undefined, (path) => this.#readers.facts(path));
    if (typeof one === "string")
      return storeFault("damaged", `${pathOf(this.directory, place, number, "backup")}: ${one}`);
    const isNew = !this.#found.has(number);
    this.#found.set(number, one.found);
    if (one.row !== null) this.#parts.catalog.keep([one.row], []);
    if (isNew) this.#rebuild();
    else if (place === "packs") this.#family.pare(number);
    this.#tree = null;
    return this.#nodeOf(one.found);
  }

  /** The backup becomes a pack: its date goes, its marks with it. */
  retire(number: number): StoreFault | null {
    const found = this.#found.get(number);
    assert(found?.place === "backups", `backup ${number} is there`);
    const { hook } = this.tools;
    const [from, to] = ["backups", "packs"].map((place) =>
      join(this.directory, place, fileName(number, "backup")),
    );
    assert(from !== undefined && to !== undefined, "two paths");
    const fault = this.#change(from, () => {
      hook(`retire ${number}: rename`);
      withRoom(this.tools, () => renameSync(from, to));
      hook(`retire ${number}: sync`);
      syncDirectory(join(this.directory, "packs"));
      syncDirectory(join(this.directory, "backups"));
      hook(`retire ${number}: marks`);
      removeIfThere(pathOf(this.directory, "backups", number, "marks"));
    });
    if (isFault(fault)) return fault;
    const looked = this.#looked(number, "packs");
    return isFault(looked) ? looked : null;
  }

  /** A pack that nobody needs goes. */
  remove(number: number): StoreFault | null {
    const found = this.#found.get(number);
    assert(found?.place === "packs", `pack ${number} is there`);
    // Where it was the last one its number is written down; on a disk too full for that, it might be given out again.
    if (number === this.highestNumber() && this.#marker.lastNumber < number) {
      const fault = this.#mark({ ...this.#marker, lastNumber: number });
      if (fault !== null && fault.cause !== "full") return fault;
    }
    this.#readers.drop(number);
    const path = pathOf(this.directory, "packs", number, "backup");
    const fault = this.#change(path, () => {
      this.tools.hook(`remove ${number}`);
      removeIfThere(path);
    });
    if (isFault(fault)) return fault;
    this.#found.delete(number);
    this.#parts.catalog.keep([], [number]);
    this.#family.remove(number);
    this.#tree = null;
    return null;
  }

  /** Bytes were taken away from a pack. */
  punched(number: number): StoreFault | null {
    const looked = this.#looked(number, "packs");
    return isFault(looked) ? looked : null;
  }

  /** Runs while nobody reads. */
  alone<T>(act: () => T): T | StoreFault {
    const fault = this.#parts.reading.alone(this.#parts.directory);
    if (fault !== null) return fault;
    try {
      return act();
    } finally {
      this.#parts.reading.shared();
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#readers.close();
    this.#parts.catalog.close();
    this.#parts.reading.close();
    this.#parts.writing?.release();
    closeSync(this.#parts.anchor);
  }
}

/** One frame that says why it cannot be read. */
function lostPages(text: string): IndexPages {
  const page = (): never => {
    throw new ArchiveDamaged({ kind: "damaged", text });
  };
  return { count: 1, page };
}

/** What cannot be read may have changed any path. */
function changesOf(reader: ArchiveReader | StoreFault): Changes {
  const read = isFault(reader) ? null : reader.extra();
  if (read?.kind !== "extra") return new Changes(null);
  try {
    return new Changes(unpackChanges(read.changes));
  } catch (error) {
    if (!isDamage(error)) throw error;
    return new Changes(null);
  }
}

const BLOCK_BYTES = 512;

function bytesAt(path: string): number {
  return (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * BLOCK_BYTES;
}
