/** @module Names within a store's directory, and what they mean:
 *
 *      understudy-store.json        the marker: this is a store, and which one
 *      README.txt restore.py        how to read it without this program
 *      lock                         for flock only
 *      reserve                      room kept for deleting on a full disk
 *      catalog.sqlite               derived
 *      backups/0000000012.backup    a complete archive
 *      backups/0000000012.marks     verified, pinned
 *      packs/0000000012.backup      what a pared backup left for its heirs
 *      partial/0000000013.backup    an unfinished run, with 0000000013.journal */
import { join } from "node:path";

export const MARKER = "understudy-store.json";
export const LOCK = "lock";
export const RESERVE = "reserve";
export const CATALOG = "catalog.sqlite";
export const README = "README.txt";
export const RESTORER = "restore.py";

export const PLACES = ["backups", "packs", "partial"] as const;
/** A directory of the store. */
export type Place = (typeof PLACES)[number];

/** The digits keep a listing in order; larger numbers are still right. */
const NUMBER_DIGITS = 10;
const NAME = /^(\d{10,15})\.(backup|marks|journal)$/;

export interface StoreFileName {
  readonly number: number;
  readonly what: "backup" | "marks" | "journal";
}

export function fileName(number: number, what: StoreFileName["what"]): string {
  return `${String(number).padStart(NUMBER_DIGITS, "0")}.${what}`;
}

/** null: not one of ours. */
export function parseFileName(name: string): StoreFileName | null {
  const match = NAME.exec(name);
  if (match === null) return null;
  const number = Number(match[1]);
  const what = match[2] as StoreFileName["what"];
  return number >= 1 && fileName(number, what) === name ? { number, what } : null;
}

export function pathOf(directory: string, place: Place, number: number, what: StoreFileName["what"]): string {
  return join(directory, place, fileName(number, what));
}
