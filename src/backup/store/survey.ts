/** @module What lies in a store's directory: each archive with what its header and footer say, each backup with its
 *  marks. Opened is only what the catalog does not know in the state it is in. */
import { type BigIntStats, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { ArchiveRow } from "../../catalog/tree-catalog.ts";
import { LEVELS } from "../../plan/tree.ts";
import { type Marks, type StoreFault, VERIFY_LEVELS } from "./contract.ts";
import { errorCode, faultOf } from "./durable.ts";
import { type Place, parseFileName, pathOf } from "./layout.ts";
import { NO_MARKS, readMarks } from "./marks.ts";

/** What is kept of an archive in the catalog. */
export interface ArchiveFacts {
  readonly number: number;
  readonly level: (typeof LEVELS)[number];
  readonly parent: number | null;
  readonly indexBase: number | null;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly entries: number;
  readonly chunks: number;
  readonly plainBytes: number;
  /** Hexadecimal. */
  readonly root: string;
  /** Identity of the store that it was made for. */
  readonly store: string;
  /** What had to be mended to read it, in words; none: nothing. */
  readonly repairs: readonly string[];
}

export interface Found {
  readonly place: "backups" | "packs";
  readonly facts: ArchiveFacts;
  readonly marks: Marks;
  /** Of the medium, holes left out. */
  readonly diskBytes: number;
}

export interface Survey {
  readonly kind: "survey";
  readonly found: Map<number, Found>;
  /** Archives that cannot be read, by number: why. */
  readonly broken: Map<number, string>;
  readonly notes: readonly string[];
  /** For the catalog: rows that it lacks, and those that it has too much. */
  readonly changed: readonly ArchiveRow[];
  readonly gone: readonly number[];
}

const factsSchema = z.object({
  facts: z.object({
    number: z.int(),
    level: z.enum(LEVELS),
    parent: z.int().nullable(),
    indexBase: z.int().nullable(),
    startedAtMs: z.number(),
    finishedAtMs: z.number(),
    entries: z.int(),
    chunks: z.int(),
    plainBytes: z.number(),
    root: z.string(),
    store: z.string(),
    repairs: z.array(z.string()),
  }),
  marks: z.object({
    verified: z.object({ atMs: z.number(), level: z.enum(VERIFY_LEVELS) }).nullable(),
    pinned: z.boolean(),
  }),
});

/** Reads an archive's header and footer; text: why it cannot be read. */
export type FactsReader = (path: string) => ArchiveFacts | string;

const BLOCK_BYTES = 512;

function statOf(path: string): BigIntStats | null {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false }) ?? null;
  } catch {
    return null;
  }
}

function stampOf(stat: BigIntStats | null): string {
  return stat === null ? "-" : `${stat.ino}.${stat.size}.${stat.mtimeNs}.${stat.ctimeNs}`;
}

export function survey(
  directory: string,
  known: ReadonlyMap<number, ArchiveRow>,
  readFacts: FactsReader,
): Survey | StoreFault {
  const found = new Map<number, Found>();
  const broken = new Map<number, string>();
  const notes: string[] = [];
  const changed: ArchiveRow[] = [];
  // Packs first: what is in both places, by somebody's copying, counts as a backup.
  for (const place of ["packs", "backups"] as const) {
    const numbers = numbersIn(directory, place);
    if ("kind" in numbers) return numbers;
    for (const number of numbers.archives) {
      const one = look(directory, place, number, numbers.marks.has(number), known.get(number), readFacts);
      if (typeof one === "string") {
        broken.set(number, one);
        notes.push(`${pathOf(directory, place, number, "backup")}: ${one}: it is left out`);
        continue;
      }
      broken.delete(number);
      notes.push(...one.complaints);
      if (one.row !== null) changed.push(one.row);
      found.set(number, one.found);
    }
  }
  const gone = [...known.keys()].filter((number) => !found.has(number));
  return { kind: "survey", found, broken, notes, changed, gone };
}

interface Look {
  readonly found: Found;
  /** null: as it is in the catalog. */
  readonly row: ArchiveRow | null;
  readonly complaints: readonly string[];
}

/** One archive; text: why it cannot be read. */
export function look(
  directory: string,
  place: "backups" | "packs",
  number: number,
  marked: boolean,
  row: ArchiveRow | undefined,
  readFacts: FactsReader,
): Look | string {
  const path = pathOf(directory, place, number, "backup");
  const marksPath = pathOf(directory, place, number, "marks");
  const stat = statOf(path);
  if (stat === null) return "it cannot be looked at";
  const stamp = `${place}/${stampOf(stat)}/${marked ? stampOf(statOf(marksPath)) : "-"}`;
  const diskBytes = Number(stat.blocks) * BLOCK_BYTES;
  if (row?.stamp === stamp) {
    const kept = factsSchema.safeParse(JSON.parse(row.facts));
    if (kept.success) return { found: { place, diskBytes, ...kept.data }, row: null, complaints: [] };
  }
  const facts = readFacts(path);
  if (typeof facts === "string") return facts;
  if (facts.number !== number) return `it is backup ${facts.number} under another's name`;
  const read = marked ? readMarks(marksPath) : { marks: NO_MARKS, complaint: null };
  const complaints: string[] = [];
  if (read.complaint !== null) {
    complaints.push(
      `${marksPath}: ${read.complaint}: the backup counts as not verified and as pinned; verify it, then \`understudy pin --remove ${number}\``,
    );
  }
  for (const repair of facts.repairs) {
    complaints.push(
      `${path}: ${repair}: it is read all the same, but counts as not verified; \`understudy verify ${number}\` names what is lost`,
    );
  }
  // Nothing is built upon what is damaged, whatever was found before.
  const marks = facts.repairs.length === 0 ? read.marks : { ...read.marks, verified: null };
  return {
    found: { place, diskBytes, facts, marks },
    // What is complained of is looked at again next time.
    row: complaints.length === 0 ? { number, stamp, facts: JSON.stringify({ facts, marks }) } : null,
    complaints,
  };
}

export interface Numbers {
  /** Ascending. */
  readonly archives: readonly number[];
  readonly marks: ReadonlySet<number>;
  readonly journals: ReadonlySet<number>;
  /** Left over from a replacement that was interrupted. */
  readonly temporary: readonly string[];
}

export function numbersIn(directory: string, place: Place): Numbers | StoreFault {
  const archives: number[] = [];
  const marks = new Set<number>();
  const journals = new Set<number>();
  const temporary: string[] = [];
  let names: string[];
  try {
    names = readdirSync(join(directory, place));
  } catch (error) {
    if (errorCode(error) !== "ENOENT") return faultOf(join(directory, place), error);
    names = [];
  }
  for (const name of names) {
    const parsed = parseFileName(name);
    if (parsed === null) {
      if (name.endsWith(".tmp") && parseFileName(name.slice(0, -4)) !== null) temporary.push(name);
    } else if (parsed.what === "backup") archives.push(parsed.number);
    else if (parsed.what === "marks") marks.add(parsed.number);
    else journals.add(parsed.number);
  }
  return { archives: archives.sort((a, b) => a - b), marks, journals, temporary };
}
