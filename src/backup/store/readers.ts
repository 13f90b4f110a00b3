/** @module The archives that a store has open, damaged ones too as far as they can be read. One memory for all of them; the ones not used for long are closed. */
import { type ArchiveReader, openArchive } from "../archive/reader.ts";
import { salvageArchive } from "../archive/salvage.ts";
import { createFrameRoom, type FrameRoom } from "../archive/workspace.ts";
import { isDamage } from "../index/damage.ts";
import { RecordPages } from "../index/pages.ts";
import { type StoreFault, storeFault } from "./contract.ts";
import type { ArchiveFacts } from "./survey.ts";

/** Open at once; a listing of versions asks thousands of archives one after the other. */
const OPEN_MAX = 256;

export class Readers {
  /** In the order of their last use. */
  readonly #open = new Map<number, ArchiveReader>();
  #room: FrameRoom | null = null;

  /** An archive, opened once; closed when OPEN_MAX others were used after it. */
  get(number: number, path: string): ArchiveReader | StoreFault {
    const known = this.#open.get(number);
    if (known !== undefined) {
      this.#open.delete(number);
      this.#open.set(number, known);
      return known;
    }
    const opened = salvageArchive(path, this.room());
    if (opened.kind !== "archive") {
      const cause = opened.kind === "unknownVersion" ? "newer" : opened.kind === "ioError" ? "io" : "damaged";
      return storeFault(cause, `${path}: ${opened.text}`);
    }
    this.#open.set(number, opened.archive);
    const oldest = this.#open.keys().next().value;
    if (this.#open.size > OPEN_MAX && oldest !== undefined) this.drop(oldest);
    return opened.archive;
  }

  /** Opened and closed again; text: it is not whole. */
  wholeFacts(path: string): ArchiveFacts | string {
    const opened = openArchive(path, this.room());
    return opened.kind === "archive" ? factsOf(opened.archive) : opened.text;
  }

  /** As wholeFacts, of damaged ones too; text: why it cannot be read. */
  facts(path: string): ArchiveFacts | string {
    const opened = salvageArchive(path, this.room());
    return opened.kind === "archive" ? factsOf(opened.archive) : opened.text;
  }

  room(): FrameRoom {
    this.#room ??= createFrameRoom();
    return this.#room;
  }

  drop(number: number): void {
    this.#open.get(number)?.close();
    this.#open.delete(number);
  }

  close(): void {
    for (const reader of this.#open.values()) reader.close();
    this.#open.clear();
  }
}

/** Closes it. */
function factsOf(archive: ArchiveReader): ArchiveFacts {
  const { header, footer, repairs } = archive;
  try {
    return {
      number: header.number,
      level: header.level,
      parent: header.parent,
      indexBase: header.indexBase,
      startedAtMs: header.startedAtMs,
      finishedAtMs:
        footer.finishedAtMs === 0 && repairs.length > 0 ? header.startedAtMs : footer.finishedAtMs,
      entries: repairs.length === 0 ? footer.entries : entriesOf(archive),
      chunks: footer.chunks,
      plainBytes: footer.plainBytes,
      root: Buffer.from(footer.root).toString("hex"),
      store: header.store,
      repairs,
    };
  } finally {
    archive.close();
  }
}

/** A footer that was mended knows no count: the index has its own. */
function entriesOf(archive: ArchiveReader): number {
  try {
    return archive.footer.entries || new RecordPages(archive.indexPages()).entries;
  } catch (error) {
    if (!isDamage(error)) throw error;
    return 0;
  }
}
