/** @module Brings a catalog to this program's form. The SQL is embedded (a compiled binary has no folder to read), applied
 *  in order, all in one transaction, and never altered once released: a change is a new file at the end. */
import type { Database } from "bun:sqlite";
import house from "./migrations/0001_house.sql" with { type: "text" };

const MIGRATIONS: readonly string[] = [house];
export const CATALOG_VERSION = MIGRATIONS.length;

export type MigrationOutcome =
  | { readonly kind: "current"; readonly applied: number }
  /** Written by a later program: not to be touched. */
  | { readonly kind: "newer"; readonly version: number };

export function migrate(database: Database): MigrationOutcome {
  return database
    .transaction((): MigrationOutcome => {
      database.run(
        "CREATE TABLE IF NOT EXISTS catalog_version (version INTEGER PRIMARY KEY, applied_ms INTEGER NOT NULL) STRICT",
      );
      const row = database
        .query<{ version: number | null }, []>("SELECT max(version) AS version FROM catalog_version")
        .get();
      const version = row?.version ?? 0;
      if (version > CATALOG_VERSION) return { kind: "newer", version };
      for (const [index, sql] of MIGRATIONS.entries()) {
        if (index < version) continue;
        database.run(sql);
        database.run("INSERT INTO catalog_version VALUES (?, ?)", [index + 1, Date.now()]);
      }
      return { kind: "current", applied: CATALOG_VERSION - version };
    })
    .immediate();
}
