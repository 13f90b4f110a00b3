/** @module A store's own catalog, catalog.sqlite on the store: a copy of what its archives say, for speed.
 *  (1) It is never believed where the directory says otherwise: a row counts only with the stamp of the file that is
 *      there, and with a seal that fits.
 *  (2) No failure of it is anybody's failure: where it cannot be read (missing, damaged, locked, a read-only file system)
 *      rows are missing; where it cannot be written (a full disk) they are not kept. The caller then reads the archives. */
import { Database, type Statement } from "bun:sqlite";
import { chmodSync, rmSync } from "node:fs";
import { and, eq } from "drizzle-orm";
import { type BunSQLiteDatabase, drizzle } from "drizzle-orm/bun-sqlite";
import { isCurrentTree, migrateTree } from "./tree-migrations.ts";
import { archives, uses } from "./tree-schema.ts";

export interface ArchiveRow {
  readonly number: number;
  readonly stamp: string;
  /** JSON. */
  readonly facts: string;
}

function sealOf(...parts: readonly (string | number | Uint8Array)[]): string {
  let hash = 0n;
  for (const part of parts) {
    const bytes = part instanceof Uint8Array ? part : String(part);
    hash = BigInt(Bun.hash.xxHash3(bytes, hash));
  }
  return hash.toString(16).padStart(16, "0");
}

/** A list of all statements made from now on. They are ended with the database: it gives its file free only then, and a disk
 *  with an open file on it cannot be unmounted. */
function statementsOf(database: Database): Statement[] {
  const statements: Statement[] = [];
  const prepare = database.prepare.bind(database);
  const listed: typeof prepare = (sql, bound) => {
    const statement = prepare(sql, bound);
    statements.push(statement as unknown as Statement);
    return statement as never;
  };
  database.prepare = listed as Database["prepare"];
  return statements;
}

export class TreeCatalog {
  readonly #database: Database | null;
  readonly #orm: BunSQLiteDatabase | null;
  readonly #statements: readonly Statement[];
  readonly #writable: boolean;

  private constructor(database: Database | null, writable: boolean) {
    this.#database = database;
    this.#statements = database === null ? [] : statementsOf(database);
    this.#orm = database === null ? null : drizzle({ client: database });
    this.#writable = writable;
  }

  /** Writable: one that is damaged, or of another version, is begun anew. */
  static open(path: string, writable: boolean): TreeCatalog {
    if (!writable) return new TreeCatalog(openForReading(path), false);
    const found = openForWriting(path);
    if (found !== null) return new TreeCatalog(found, true);
    for (const suffix of ["", "-journal", "-wal", "-shm"]) {
      try {
        rmSync(path + suffix, { force: true });
      } catch {
        // A disk that refuses this refuses the rest too: without a catalog then.
      }
    }
    return new TreeCatalog(openForWriting(path), true);
  }

  /** All rows whose seal fits, by number. */
  archives(): Map<number, ArchiveRow> {
    const found = new Map<number, ArchiveRow>();
    try {
      // Past drizzle: all of a large table, at every listing.
      const rows = this.#database
        ?.query<{ number: number; stamp: string; facts: string; seal: string }, []>(
          "SELECT number, stamp, facts, seal FROM archives",
        )
        .all();
      for (const { number, stamp, facts, seal } of rows ?? []) {
        if (sealOf(number, stamp, facts) === seal) found.set(number, { number, stamp, facts });
      }
    } catch {
      found.clear();
    }
    return found;
  }

  /** Takes over the changed rows, and drops those of archives that are gone. false: it could not be written. */
  keep(changed: readonly ArchiveRow[], gone: readonly number[]): boolean {
    const [orm, database] = [this.#orm, this.#database];
    if (orm === null || database === null || !this.#writable) return false;
    try {
      database
        .transaction(() => {
          const put = database.prepare(
            "INSERT OR REPLACE INTO archives (number, stamp, facts, seal) VALUES (?, ?, ?, ?)",
          );
          for (const { number, stamp, facts } of changed) {
            put.run(number, stamp, facts, sealOf(number, stamp, facts));
          }
          for (const number of gone) {
            orm.delete(archives).where(eq(archives.number, number)).run();
            orm.delete(uses).where(eq(uses.number, number)).run();
          }
        })
        .immediate();
      return true;
    } catch {
      return false;
    }
  }

  /** Bitmaps by pack; null: not known. */
  usesOf(number: number, root: string): Map<number, Uint8Array> | null {
    try {
      const rows = this.#orm
        ?.select()
        .from(uses)
        .where(and(eq(uses.number, number), eq(uses.root, root)))
        .all();
      if (rows === undefined || rows.length === 0) return null;
      const found = new Map<number, Uint8Array>();
      let packs = -1;
      for (const row of rows) {
        if (sealOf(number, row.pack, root, row.bitmap) !== row.seal) return null;
        // Pack 0 stands for the list itself: how many there are besides it.
        if (row.pack === 0) packs = row.bitmap.readUInt32LE(0);
        else found.set(row.pack, new Uint8Array(Bun.zstdDecompressSync(row.bitmap)));
      }
      return found.size === packs ? found : null;
    } catch {
      return null;
    }
  }

  keepUses(number: number, root: string, bitmaps: ReadonlyMap<number, Uint8Array>): void {
    const orm = this.#orm;
    if (orm === null || !this.#writable) return;
    try {
      orm.transaction((change) => {
        change.delete(uses).where(eq(uses.number, number)).run();
        const count = Buffer.alloc(4);
        count.writeUInt32LE(bitmaps.size);
        const add = (pack: number, bitmap: Buffer) => {
          const seal = sealOf(number, pack, root, bitmap);
          change.insert(uses).values({ number, pack, root, bitmap, seal }).run();
        };
        add(0, count);
        for (const [pack, bits] of bitmaps) add(pack, Bun.zstdCompressSync(bits, { level: 3 }));
      });
    } catch {
      // They are looked up in the index again next time.
    }
  }

  close(): void {
    for (const statement of this.#statements) statement.finalize();
    this.#database?.close();
  }
}

function openForReading(path: string): Database | null {
  let database: Database | null = null;
  try {
    database = new Database(path, { readonly: true, strict: true });
    // Fails where a writer's journal is left over: it cannot be rolled back without writing.
    if (isCurrentTree(database)) return database;
  } catch {
    // Missing, damaged or locked.
  }
  database?.close();
  return null;
}

function openForWriting(path: string): Database | null {
  let database: Database | null = null;
  try {
    database = new Database(path, { create: true, strict: true });
    // Like all else in a store: its paths and times are the owner's business.
    chmodSync(path, 0o600);
    // Whole after a crash of the process; a power cut may spoil it, which the seals show.
    database.run("PRAGMA journal_mode = DELETE");
    database.run("PRAGMA synchronous = OFF");
    database.run("PRAGMA busy_timeout = 500");
    const check = database.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get();
    if (check?.quick_check === "ok" && migrateTree(database) === "current") return database;
  } catch {
    // Damaged, of another version, or the disk is full.
  }
  database?.close();
  return null;
}
