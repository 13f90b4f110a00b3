/** @module The tables of a store's own catalog, as drizzle sees them; tree-migrations/*.sql make them. The catalog is
 *  derived: each row carries a seal, and one that does not fit is as good as none. */
import { blob, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** What the header and the footer of each archive say, so that a listing opens none of them. */
export const archives = sqliteTable("archives", {
  number: integer("number").primaryKey(),
  /** Which file this was read from, and in which state: place, inode, size, times; the same of its marks. */
  stamp: text("stamp").notNull(),
  /** JSON. */
  facts: text("facts").notNull(),
  seal: text("seal").notNull(),
});

/** Which chunks of a pack a backup needs. */
export const uses = sqliteTable(
  "uses",
  {
    number: integer("number").notNull(),
    pack: integer("pack").notNull(),
    /** Root hash of the backup's archive. */
    root: text("root").notNull(),
    /** Packed by zstd. */
    bitmap: blob("bitmap", { mode: "buffer" }).notNull(),
    seal: text("seal").notNull(),
  },
  (table) => [primaryKey({ columns: [table.number, table.pack] })],
);
