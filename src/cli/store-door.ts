/** @module How commands come into a store: what must be said is said once, what is refused ends the command, another
 *  computer's store is asked about where somebody sits at the terminal. */
import { InvalidArgumentError } from "commander";
import {
  isFault,
  type OpenRequest,
  type PrunableStore,
  type ReadableStore,
  type StoreFault,
} from "../backup/store/contract.ts";
import { openStore } from "../backup/store/open.ts";
import { otherPages } from "../backup/store/pages.ts";
import { place } from "./arguments.ts";
import type { BackupSurroundings } from "./backup-ports.ts";
import { CommandFailure, EXIT } from "./exit.ts";
import type { CliConsole } from "./ports.ts";

export interface StoreOptions {
  readonly store: string;
  readonly acceptOtherComputer?: true;
}

export const STORE_OPTION = ["--store <dir>", "the store's directory"] as const;
export const ACCEPT_OPTION = ["--accept-other-computer", "use another computer's store too"] as const;

/** Ends the command. */
export function refuse(fault: StoreFault): never {
  const isRefused = ["notAStore", "foreign", "newer", "locked", "gone"].includes(fault.cause);
  throw new CommandFailure(isRefused ? EXIT.refused : EXIT.failed, fault.text);
}

export function done<T>(outcome: T | StoreFault): T {
  if (isFault(outcome)) refuse(outcome);
  return outcome;
}

export function openToRead(
  console: CliConsole,
  { store }: StoreOptions,
  around: BackupSurroundings,
): ReadableStore {
  const directory = place(store);
  return told(console, done(openStore({ directory, computer: around.computer(), write: false })));
}

export function openToWrite(
  console: CliConsole,
  options: StoreOptions,
  around: BackupSurroundings,
): PrunableStore {
  const request: OpenRequest & { readonly write: true } = {
    directory: place(options.store),
    computer: around.computer(),
    write: true,
    acceptOtherComputer: options.acceptOtherComputer ?? false,
  };
  const opened = openStore(request);
  if (!isFault(opened) || opened.cause !== "foreign") return told(console, done(opened));
  const answer = around.ask(`${opened.text}\nUse it from this computer too? [y/N] `);
  if (answer === null || !/^y(es)?$/i.test(answer.trim())) refuse(opened);
  return told(console, done(openStore({ ...request, acceptOtherComputer: true })));
}

/** For writing, so that what is found out can be noted; where that is refused, for reading, and said so. */
export function openToMark(
  console: CliConsole,
  options: StoreOptions,
  around: BackupSurroundings,
): { readonly store: ReadableStore; readonly writable: PrunableStore | null } {
  const directory = place(options.store);
  const opened = openStore({ directory, computer: around.computer(), write: true });
  if (!isFault(opened)) return { store: told(console, opened), writable: opened };
  const store = openToRead(console, options, around);
  for (const name of otherPages(store.directory)) {
    console.err(`understudy: ${store.directory}: ${name}: damaged, or another version's\n`);
  }
  console.err(`understudy: the result is not noted in the store: ${opened.text}\n`);
  return { store, writable: null };
}

function told<S extends ReadableStore>(console: CliConsole, store: S): S {
  for (const note of store.notes) console.err(`understudy: ${note}\n`);
  return store;
}

/** A backup's number, or "latest". */
export type BackupId = number | "latest";

export function backupArgument(text: string): BackupId {
  if (text === "latest") return text;
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1) {
    throw new InvalidArgumentError('expected a backup\'s number, as 12, or "latest"');
  }
  return number;
}

/** Ends the command where there is no such backup. */
export function nodeOf(store: ReadableStore, id: BackupId) {
  const node = id === "latest" ? (store.tree().at(-1) ?? null) : store.node(id);
  if (node !== null) return node;
  const what =
    id === "latest" ? "there is no backup yet" : `there is no backup ${id} (understudy list tells)`;
  throw new CommandFailure(EXIT.failed, `${store.directory}: ${what}`);
}
