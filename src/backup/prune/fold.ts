/** @module What becomes of the archives when a backup goes, thought through or done: the same steps, so that the bytes
 *  that were promised are the bytes that come free.
 *  (1) A backup that goes becomes a pack. A pack without living descendants is deleted; of any other the chunks that no
 *      heir needs are made holes, and its index too once no living one is based on it. Nothing is ever copied.
 *  (2) Each step leaves a store in which every backup that is left can be restored, and can be done again: what was
 *      interrupted is made up for by `settle`.
 *  (3) Where it is not known what is needed (an index that cannot be read), everything is. */
import { statfsSync, statSync } from "node:fs";
import { ENOSPC, errorText, O_RDWR, openFile } from "../../base/ffi.ts";
import { closeFd, EDQUOT, EOPNOTSUPP, punchHole } from "../../base/files.ts";
import type { ArchiveReader } from "../archive/reader.ts";
import {
  isFault,
  type PrunableStore,
  type ReadableStore,
  type StoreFault,
  storeFault,
} from "../store/contract.ts";
import type { Family } from "../store/family.ts";
import { type ChunkUses, united } from "../store/uses.ts";
import { DiskMap, needlessRanges, type Ranges } from "./holes.ts";

const STAT_BLOCK_BYTES = 512;

interface Pack {
  readonly disk: DiskMap;
  readonly path: string;
  /** What the file takes up, as the file system counts: more than its data where it keeps books. */
  bytes: number;
}

export class Folder {
  readonly #store: ReadableStore;
  /** null: it is only thought through. */
  readonly #hands: PrunableStore | null;
  readonly #family: Family;
  readonly #packs = new Map<number, Pack>();
  readonly #uses = new Map<number, ChunkUses | null>();
  #withIndex: ReadonlySet<number> | null = null;
  readonly #blockBytes: number;
  readonly #holes: boolean;
  /** Descendants have higher numbers: packs below it may have heirs that cannot be read. */
  readonly #doubtfulBelow: number;
  readonly notes: string[] = [];

  /** `hands`: the same store, to really do it. */
  constructor(store: ReadableStore, hands: PrunableStore | null) {
    this.#store = store;
    this.#hands = hands;
    this.#family = store.family();
    this.#blockBytes = statfsSync(store.directory).bsize;
    this.#doubtfulBelow = Math.max(0, ...store.broken().keys());
    this.#holes = this.#canPunch();
    if (this.#doubtfulBelow > 0) {
      this.notes.push(
        `backup ${this.#doubtfulBelow} cannot be read: nothing that it may need is deleted; remove its file to go on`,
      );
    }
  }

  /** Finishes what an interrupted one left; bytes that come free. */
  settle(): number | StoreFault {
    let freed = 0;
    // Children first: a pack without heirs keeps none above it.
    for (const number of this.#family.packs().reverse()) {
      const bytes = this.#settlePack(number);
      if (isFault(bytes)) return bytes;
      freed += bytes;
    }
    return freed;
  }

  /** These backups go, in this order, and then what nobody needs any more; bytes that come free by each archive. Taken
   *  together they cost less than one by one: what only one of them needs is not looked for. */
  pare(numbers: readonly number[]): ReadonlyMap<number, number> | StoreFault {
    const before = this.#indexesNeeded();
    const touched = new Set<number>();
    for (const number of numbers) {
      const fault = this.#hands?.retire(number) ?? null;
      if (fault !== null) return fault;
      this.#family.pare(number);
      touched.add(number);
      for (const pack of this.#family.packsAbove(number)) touched.add(pack);
    }
    this.#withIndex = null;
    const after = this.#indexesNeeded();
    for (const pack of before) if (!after.has(pack)) touched.add(pack);
    const freed = new Map<number, number>();
    // Children first: a pack without heirs keeps none above it.
    for (const pack of [...touched].sort((a, b) => b - a)) {
      const bytes = this.#settlePack(pack);
      if (isFault(bytes)) return bytes;
      freed.set(pack, bytes);
    }
    return freed;
  }

  /** Packs whose index is part of a living one's. */
  #indexesNeeded(): ReadonlySet<number> {
    this.#withIndex ??= this.#family.packsWithIndex();
    return this.#withIndex;
  }

  #settlePack(number: number): number | StoreFault {
    if (number < this.#doubtfulBelow) return 0;
    const heirs = this.#family.heirsOf(number);
    const index = this.#indexesNeeded().has(number);
    return heirs.length === 0 && !index ? this.#remove(number) : this.#fold(number, heirs, index);
  }

  #remove(number: number): number | StoreFault {
    const pack = this.#packOf(number);
    if (isFault(pack)) return pack;
    const fault = this.#hands?.remove(number) ?? null;
    if (fault !== null) return fault;
    this.#family.remove(number);
    this.#packs.delete(number);
    return pack.bytes;
  }

  #fold(number: number, heirs: readonly number[], index: boolean): number | StoreFault {
    if (!this.#holes) return 0;
    const chunks = this.#neededBy(heirs, number);
    if (chunks === null) return 0;
    const reader = this.#store.readerOf(number);
    if (isFault(reader)) return this.#keep(number, reader.text);
    const [repair] = reader.repairs;
    if (repair !== undefined) return this.#keep(number, repair);
    const needless = needlessRanges(reader, { chunks, index });
    if ("kind" in needless) return this.#keep(number, needless.text);
    const pack = this.#packOf(number);
    if (isFault(pack)) return pack;
    const { ranges, bytes } = pack.disk.worth(needless);
    if (bytes === 0) return 0;
    if (this.#hands !== null) return this.#punch(this.#hands, number, pack, ranges);
    pack.disk.punch(ranges);
    pack.bytes -= bytes;
    return bytes;
  }

  #punch(hands: PrunableStore, number: number, pack: Pack, ranges: Ranges): number | StoreFault {
    const fd = openFile(pack.path, O_RDWR);
    if (fd < 0) return storeFault("io", `${pack.path}: ${errorText(fd)}`);
    let failed = 0;
    for (let at = 0; at < ranges.length && failed === 0; at += 2) {
      hands.hook(`punch ${number}: ${at / 2} of ${ranges.length / 2}`);
      const [start, end] = [ranges[at] as number, ranges[at + 1] as number];
      failed = this.#punchRange(hands, fd, start, end);
    }
    closeFd(fd);
    if (failed !== 0) return storeFault("io", `${pack.path}: cannot be folded: ${errorText(failed)}`);
    const fault = hands.punched(number);
    if (fault !== null) return fault;
    const before = pack.bytes;
    pack.disk.punch(ranges);
    pack.bytes = bytesOf(pack.path);
    return before - pack.bytes;
  }

  /** 0 or -errno. */
  #punchRange(hands: PrunableStore, fd: number, start: number, end: number): number {
    const result = punchHole(fd, start, end - start);
    if (result !== -ENOSPC && result !== -EDQUOT) return result;
    // Where nothing is written in place, zeros at the edges want a block: leave the edges as they are.
    const from = Math.ceil(start / this.#blockBytes) * this.#blockBytes;
    const to = Math.floor(end / this.#blockBytes) * this.#blockBytes;
    const whole = punchHole(fd, from, to - from);
    if (whole !== -ENOSPC && whole !== -EDQUOT) return whole;
    return hands.makeRoom() ? punchHole(fd, from, to - from) : whole;
  }

  #keep(number: number, why: string): number {
    this.notes.push(`pack ${number} is kept whole: ${why}`);
    return 0;
  }

  #packOf(number: number): Pack | StoreFault {
    const known = this.#packs.get(number);
    if (known !== undefined) return known;
    const reader: ArchiveReader | StoreFault = this.#store.readerOf(number);
    const path = this.#store.archivePath(number);
    if (path === null) return storeFault("unknown", `${this.#store.directory}: there is no backup ${number}`);
    const disk = isFault(reader)
      ? new DiskMap([], this.#blockBytes)
      : DiskMap.of(reader.fd, reader.sizeBytes, this.#blockBytes);
    if (typeof disk === "number") return storeFault("io", `${path}: ${errorText(disk)}`);
    const pack: Pack = { disk, path, bytes: bytesOf(path) };
    this.#packs.set(number, pack);
    return pack;
  }

  /** null: not known. */
  #neededBy(heirs: readonly number[], pack: number): Uint8Array | null {
    let needed: Uint8Array = new Uint8Array(0);
    for (const heir of heirs) {
      const uses = this.#usesOf(heir);
      if (uses === null) return null;
      const bits = uses.get(pack);
      if (bits !== undefined) needed = united(needed, bits);
    }
    return needed;
  }

  #usesOf(number: number): ChunkUses | null {
    const known = this.#uses.get(number);
    if (known !== undefined) return known;
    const uses = this.#store.usesOf(number);
    if (isFault(uses)) this.notes.push(`what backup ${number} needs is kept: ${uses.text}`);
    const found = isFault(uses) ? null : uses;
    this.#uses.set(number, found);
    return found;
  }

  /** Whether the file system knows holes: asked behind the end of any archive, where there is nothing. */
  #canPunch(): boolean {
    const number = this.#store.tree()[0]?.number ?? this.#store.packs()[0]?.number;
    const path = number === undefined ? null : this.#store.archivePath(number);
    if (path === null) return true;
    const fd = openFile(path, O_RDWR);
    // A read-only file system: it is only thought through.
    if (fd < 0) return true;
    const result = punchHole(
      fd,
      Math.ceil(statSync(path).size / this.#blockBytes) * this.#blockBytes,
      this.#blockBytes,
    );
    closeFd(fd);
    if (result === -EOPNOTSUPP) {
      this.notes.push(
        "the store's file system knows no holes: what heirs need of a backup is kept with all of it",
      );
    }
    return result === 0;
  }
}

function bytesOf(path: string): number {
  return (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * STAT_BLOCK_BYTES;
}
