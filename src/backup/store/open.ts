/** @module Doors of a directory store: made anew, opened for reading, opened for writing.
 *  (1) A directory without a marker is no store, whatever is or is not in it: an empty mount point is never written to.
 *  (2) Reading takes nothing but what is there: no lock that could be refused, no writing, no catalog needed; a damaged
 *      marker does not keep anybody from restoring.
 *  (3) Another computer's store is written to only when its operator said so. */
import { closeSync, mkdirSync, openSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { TreeCatalog } from "../../catalog/tree-catalog.ts";
import {
  type Computer,
  type InitRequest,
  isFault,
  NO_HOOK,
  type OpenRequest,
  type PrunableStore,
  type ReadableStore,
  type StoreFault,
  storeFault,
} from "./contract.ts";
import { DirectoryStore } from "./directory.ts";
import { type DurableTools, errorCode, faultOf, replaceFile, syncDirectory } from "./durable.ts";
import { CATALOG, LOCK, MARKER, PLACES, pathOf, README, RESERVE, RESTORER } from "./layout.ts";
import { lockForWriting, ReaderLock, type WriterLock } from "./lock.ts";
import { type Marker, markerText, readMarker } from "./marker.ts";
import { otherPages, writePages } from "./pages.ts";
import { giveReserve, keepReserve } from "./reserve.ts";
import { Readers } from "./readers.ts";
import { numbersIn } from "./survey.ts";
import { sweep } from "./sweep.ts";

/** A script's variable that was never set: not the working directory. */
const NO_NAME = storeFault("notAStore", "the store's directory is an empty name");

/** What a new disk may hold already. */
const HARMLESS = new Set(["lost+found", ".Trash-1000", "System Volume Information", ".DS_Store"]);

export interface StoreMade {
  readonly kind: "made";
  readonly directory: string;
  readonly id: string;
  /** It was a store already: only what was asked for was changed. */
  readonly before: boolean;
}

/** Makes a store in an empty directory, or in one that does not exist yet. */
export function initStore(request: InitRequest): StoreMade | StoreFault {
  if (request.directory === "") return NO_NAME;
  const directory = resolve(request.directory);
  const read = readMarker(directory);
  if (read.kind === "fault") return read;
  if (read.kind === "marker") return initAgain(directory, read.marker, request);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const names = readdirSync(directory).filter((name) => !HARMLESS.has(name) && name !== `${MARKER}.tmp`);
    const isOurs = names.every((name) => OURS.has(name));
    if (!isOurs) {
      const text = `${directory}: not empty (${names.slice(0, 3).join(", ")}${names.length > 3 ? ", ..." : ""}): a store begins in an empty directory; name another`;
      return storeFault("notAStore", text);
    }
    const lock = lockForWriting(directory, request.nowMs);
    if (isFault(lock)) return lock;
    try {
      return makeStore(directory, request);
    } finally {
      lock.release();
    }
  } catch (error) {
    return faultOf(directory, error);
  }
}

/** Throws the system's errors. */
function makeStore(directory: string, request: InitRequest): StoreMade {
  const tools: DurableTools = { hook: NO_HOOK, makeRoom: () => giveReserve(directory) };
  for (const place of PLACES) mkdirSync(join(directory, place), { recursive: true, mode: 0o700 });
  const marker: Marker = {
    // What was a store before its marker was lost stays the same store.
    id: formerId(directory) ?? crypto.randomUUID(),
    createdMs: request.nowMs,
    computers: [request.computer],
    capacityBytes: request.capacityBytes || null,
    lastNumber: 0,
  };
  writePages(directory, tools);
  keepReserve(directory);
  // Last: with its marker it is a store.
  replaceFile(join(directory, MARKER), markerText(marker), tools);
  syncDirectory(join(directory, ".."));
  return { kind: "made", directory, id: marker.id, before: false };
}

const OURS = new Set<string>([
  ...PLACES,
  LOCK,
  README,
  RESTORER,
  RESERVE,
  CATALOG,
  `${CATALOG}-journal`,
  MARKER,
]);

function initAgain(directory: string, { id }: Marker, request: InitRequest): StoreMade | StoreFault {
  if (request.capacityBytes === null) return { kind: "made", directory, id, before: true };
  const store = openStore({ directory, computer: request.computer, write: true });
  if (isFault(store)) return store;
  const fault = store.setCapacity(request.capacityBytes || null);
  store.close();
  return fault ?? { kind: "made", directory, id, before: true };
}

/** The store's identity as its archives know it. */
function formerId(directory: string): string | null {
  const readers = new Readers();
  for (const place of ["backups", "packs"] as const) {
    const numbers = numbersIn(directory, place);
    if (isFault(numbers)) continue;
    for (const number of numbers.archives) {
      const facts = readers.facts(pathOf(directory, place, number, "backup"));
      if (typeof facts !== "string") return facts.store;
    }
  }
  return null;
}

export function openStore(request: OpenRequest & { readonly write: true }): PrunableStore | StoreFault;
export function openStore(request: OpenRequest): ReadableStore | StoreFault;
export function openStore(request: OpenRequest): ReadableStore | StoreFault {
  return openDirectory(request) as ReadableStore | StoreFault;
}

function openDirectory(request: OpenRequest): DirectoryStore | StoreFault {
  if (request.directory === "") return NO_NAME;
  const directory = resolve(request.directory);
  const read = readMarker(directory);
  const notes: string[] = [];
  let marker: Marker;
  if (read.kind === "fault") return read;
  if (read.kind === "marker") marker = read.marker;
  else {
    const fault = read.kind === "none" ? noMarker(directory) : read.fault;
    const id = request.write ? null : formerId(directory);
    if (id === null) return fault;
    notes.push(fault.text);
    marker = { id, createdMs: 0, computers: [], capacityBytes: null, lastNumber: 0 };
  }
  const isForeign = !marker.computers.some(({ machineId }) => machineId === request.computer.machineId);
  if (isForeign && marker.computers.length > 0) {
    const text = `${directory}: the store of ${ownersOf(marker)}, not of this computer`;
    if (request.write && request.acceptOtherComputer !== true) {
      return storeFault("foreign", `${text}; --accept-other-computer makes it this one's too`);
    }
    if (!request.write) notes.push(text);
  }
  let writing: WriterLock | null = null;
  if (request.write) {
    const lock = lockForWriting(directory, Date.now());
    if (isFault(lock)) return lock;
    writing = lock;
  }
  let anchor: number;
  try {
    anchor = openSync(directory, "r");
  } catch (error) {
    writing?.release();
    return faultOf(directory, error);
  }
  if (request.write) {
    for (const name of otherPages(directory)) {
      notes.push(`${join(directory, name)}: damaged, or another version's: it is written anew`);
    }
    const prepared = prepare(directory, marker, isForeign ? request.computer : null, request);
    if (isFault(prepared)) {
      closeSync(anchor);
      writing?.release();
      return prepared;
    }
    marker = prepared;
  }
  const store = new DirectoryStore({
    directory,
    marker,
    catalog: TreeCatalog.open(join(directory, CATALOG), request.write),
    anchor,
    reading: new ReaderLock(anchor),
    writing,
    hook: request.hook ?? NO_HOOK,
    notes,
  });
  const fault = store.refresh();
  if (fault === null) return store;
  store.close();
  return fault;
}

function ownersOf({ computers }: Marker): string {
  return computers.map(({ name }) => name).join(" and ");
}

/** Not a store: empty, or something else. */
function noMarker(directory: string): StoreFault {
  let names: string[];
  try {
    names = readdirSync(directory).filter((name) => !HARMLESS.has(name));
  } catch (error) {
    const missing = errorCode(error) === "ENOENT";
    return missing
      ? storeFault(
          "notAStore",
          `${directory}: no such directory; if it is a disk, plug it in and mount it; \`understudy store init ${directory}\` makes a new store`,
        )
      : faultOf(directory, error);
  }
  if (names.includes("backups")) {
    const text = `${directory}: the marker (${MARKER}) is missing; the backups can be read; \`understudy store init ${directory}\` makes it again`;
    return storeFault("damaged", text);
  }
  const what =
    names.length === 0 ? "it is empty: is the disk that belongs here mounted?" : "it has no marker;";
  return storeFault(
    "notAStore",
    `${directory}: not a store: ${what} \`understudy store init ${directory}\` makes a new one`,
  );
}

/** Puts a store in order before it is written to. */
function prepare(
  directory: string,
  marker: Marker,
  accepted: Computer | null,
  { hook = NO_HOOK }: OpenRequest,
): Marker | StoreFault {
  const tools: DurableTools = { hook, makeRoom: () => giveReserve(directory) };
  const fault = sweep(directory);
  if (fault !== null) return fault;
  try {
    writePages(directory, tools);
    keepReserve(directory);
  } catch (error) {
    // On a full disk the older pages must do.
    const why = faultOf(directory, error);
    if (why.cause !== "full") return why;
  }
  if (accepted === null) return marker;
  const changed = { ...marker, computers: [...marker.computers, accepted] };
  try {
    replaceFile(join(directory, MARKER), markerText(changed), tools);
    return changed;
  } catch (error) {
    return faultOf(join(directory, MARKER), error);
  }
}
