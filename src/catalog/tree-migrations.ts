/** @module Brings a store's catalog to this program's form. As in migrations.ts, with one difference: what was written by
 *  a later program is not refused but thrown away, since all of it can be made again. */
import type { Database } from "bun:sqlite";
import store from "./tree-migrations/0001_store.sql" with { type: "text" };

const MIGRATIONS: readonly string[] = [store];

/** "foreign": of another version; to be begun anew. */
export function migrateTree(database: Database): "current" | "foreign" {
  const { user_version: version } = database
    .query<{ user_version: number }, []>("PRAGMA user_version")
    .get() ?? { user_version: 0 };
  if (version === MIGRATIONS.length) return "current";
  if (version > MIGRATIONS.length) return "foreign";
  database
    .transaction(() => {
      for (const sql of MIGRATIONS.slice(version)) database.run(sql);
      database.run(`PRAGMA user_version = ${MIGRATIONS.length}`);
    })
    .immediate();
  return "current";
}

/** true: a reader understands it as it is. */
export function isCurrentTree(database: Database): boolean {
  const row = database.query<{ user_version: number }, []>("PRAGMA user_version").get();
  return row?.user_version === MIGRATIONS.length;
}
