/** @module What the questions about a tree are asked of: its backups, their indexes, and which paths each changed.
 *  Damage is a fault of one backup, never the end of the question. */

import type { Level } from "../../plan/tree.ts";
import { ArchiveDamaged } from "../archive/types.ts";
import { Entry, type EntrySource } from "../entry.ts";
import { Changes, unpackChanges } from "../index/changes.ts";
import type { Index } from "../index/lookup.ts";
import { RecordCursor, RecordPages } from "../index/pages.ts";
import { MalformedRecord } from "../index/record.ts";
import { isFault, type ReadableStore, type StoreFault, storeFault } from "../store/contract.ts";

/** A backup that can be restored. */
export interface QueryBackup {
  readonly number: number;
  readonly level: Level;
  /** When it began. */
  readonly atMs: number;
}

/** What a backup or a pack was made from. */
export interface Origin {
  /** The parent that it was made against; its changed paths are told against that one. */
  readonly parent: number | null;
  /** The backup that its index is a difference to. */
  readonly indexBase: number | null;
}

export interface QuerySource {
  /** In the order of their numbers. */
  readonly backups: readonly QueryBackup[];
  /** Of a backup or a pack; null: there is neither. */
  originOf(number: number): Origin | null;
  indexOf(number: number): Index | StoreFault;
  /** The records of this archive's own index frames: all entries of a full index; in a difference, those that come in. */
  ownRecords(number: number): EntrySource | StoreFault;
  /** The one of this path among them, in an Entry of its own; null: there is none. */
  ownRecord(number: number, path: Uint8Array): Entry | null | StoreFault;
  /** Of a backup or a pack; what cannot be read may have changed any path. */
  changesOf(number: number): Changes;
  /** The sources that it was made of: absolute paths, without the leading slash. */
  rootsOf(number: number): readonly Uint8Array[];
}

/** Indexes held open at a time. */
const INDEXES_MAX = 4;

export function queriesOf(store: ReadableStore): QuerySource {
  return new StoreQueries(store);
}

class StoreQueries implements QuerySource {
  readonly backups: readonly QueryBackup[];
  readonly #store: ReadableStore;
  readonly #origins = new Map<number, Origin>();
  readonly #indexes = new Map<number, Index>();
  readonly #changes = new Map<number, Changes>();

  constructor(store: ReadableStore) {
    this.#store = store;
    this.backups = store.tree();
    for (const { number, recordedParent, indexBase } of [...store.tree(), ...store.packs()]) {
      this.#origins.set(number, { parent: recordedParent, indexBase });
    }
  }

  originOf(number: number): Origin | null {
    return this.#origins.get(number) ?? null;
  }

  indexOf(number: number): Index | StoreFault {
    const held = this.#indexes.get(number);
    if (held !== undefined) return held;
    const index = this.#store.indexOf(number);
    if (isFault(index)) return index;
    const [oldest] = this.#indexes.keys();
    if (this.#indexes.size >= INDEXES_MAX && oldest !== undefined) this.#indexes.delete(oldest);
    this.#indexes.set(number, index);
    return index;
  }

  ownRecords(number: number): EntrySource | StoreFault {
    const reader = this.#store.readerOf(number);
    if (isFault(reader)) return reader;
    return guarded(number, () => new RecordCursor(new RecordPages(reader.indexPages())));
  }

  ownRecord(number: number, path: Uint8Array): Entry | null | StoreFault {
    const reader = this.#store.readerOf(number);
    if (isFault(reader)) return reader;
    return guarded(number, () => {
      const entry = new Entry();
      return new RecordPages(reader.indexPages()).find(path, entry) < 0 ? null : entry;
    });
  }

  changesOf(number: number): Changes {
    const held = this.#changes.get(number);
    if (held !== undefined) return held;
    const changes = this.#readChanges(number);
    this.#changes.set(number, changes);
    return changes;
  }

  #readChanges(number: number): Changes {
    const reader = this.#store.readerOf(number);
    if (isFault(reader)) return new Changes(null);
    const read = reader.extra();
    if (read.kind !== "extra") return new Changes(null);
    const changes = guarded(number, () => new Changes(unpackChanges(read.changes)));
    return isFault(changes) ? new Changes(null) : changes;
  }

  rootsOf(number: number): readonly Uint8Array[] {
    const reader = this.#store.readerOf(number);
    if (isFault(reader)) return [];
    return reader.header.roots.map((root) => root.subarray(root[0] === SLASH ? 1 : 0));
  }
}

const SLASH = 0x2f;

/** Damage turns up while an index is read: as a fault of backup `number`. */
export function guarded<T>(number: number, act: () => T): T | StoreFault {
  try {
    return act();
  } catch (error) {
    if (error instanceof ArchiveDamaged || error instanceof MalformedRecord) {
      return storeFault("damaged", `the index of backup ${number}: ${error.message}`);
    }
    throw error;
  }
}
