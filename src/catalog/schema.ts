/** @module The catalog's tables, as drizzle sees them; migrations/*.sql make them. Times are milliseconds since 1970. */
import { index, integer, real, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { EVENT_KINDS, type Evidence, SEVERITIES } from "../base/events.ts";

/** Everything that happened; rows are never altered. */
export const events = sqliteTable(
  "events",
  {
    id: integer("id").primaryKey({ autoIncrement: true }),
    atMs: integer("at_ms").notNull(),
    kind: text("kind", { enum: EVENT_KINDS }).notNull(),
    severity: text("severity", { enum: SEVERITIES }).notNull(),
    device: text("device"),
    transition: text("transition").notNull(),
    text: text("text").notNull(),
    evidence: text("evidence", { mode: "json" }).$type<Evidence>().notNull(),
  },
  (table) => [index("events_by_device").on(table.device, table.id)],
);

/** A cartridge's image: an ordered list of extents of one device's journal. */
export const images = sqliteTable(
  "images",
  {
    id: integer("id").primaryKey({ autoIncrement: true }),
    device: text("device").notNull(),
    barcode: text("barcode").notNull(),
    /** The cartridge's own serial number, where it tells one: a barcode is not proof. */
    serial: text("serial"),
    startedMs: integer("started_ms").notNull(),
    /** 1: the journal still holds all of it. */
    whole: integer("whole", { mode: "boolean" }).notNull(),
    /** What identifies the medium: hash of the first and of the last block, end of data. */
    identity: text("identity", { mode: "json" }).$type<Evidence>().notNull(),
  },
  (table) => [index("images_by_barcode").on(table.barcode)],
);

/** Real drives by serial number: what is held against them. */
export const drives = sqliteTable("drives", {
  serial: text("serial").primaryKey(),
  drive: integer("drive").notNull(),
  /** Set: the drive is out until the operator returns it. */
  failedMs: integer("failed_ms"),
  failure: text("failure"),
  evidence: text("evidence", { mode: "json" }).$type<Evidence>(),
  /** Grows with recovered and predictive errors. */
  score: real("score").notNull().default(0),
});

/** Small facts that survive a restart: couplings, element map, next numbers. */
export const settings = sqliteTable("settings", {
  key: text("key").primaryKey(),
  value: text("value", { mode: "json" }).$type<Evidence[string]>().notNull(),
});
