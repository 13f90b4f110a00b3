/** @module Which paths, in any backup, match a pattern, and in which backups each is.
 *  Every archive's own index records are read once, never a whole index per backup: a difference brings only what is new. */
import { Entry } from "../entry.ts";
import { isFault, type StoreFault } from "../store/contract.ts";
import { type Facts, factsOf } from "./facts.ts";
import type { PathPattern } from "./glob.ts";
import { guarded, type QuerySource } from "./source.ts";
import { type Version, versionsOf } from "./versions.ts";

export interface Finding {
  readonly path: Uint8Array;
  /** Oldest first; the last may be an absence. */
  readonly versions: readonly Version[];
}

export interface FindAnswer {
  /** In the order of paths. */
  readonly findings: Iterable<Finding>;
  /** Archives whose index could not be read: paths that only they know are missing. */
  readonly faults: readonly { readonly number: number; readonly fault: StoreFault }[];
  /** There are more than were asked for: the pattern should be narrower. */
  readonly more: boolean;
}

export interface FindRequest {
  readonly pattern: PathPattern;
  /** Only paths of these kinds, or null: all. */
  readonly kind: Facts["kind"] | null;
  /** Stops collecting beyond so many paths. */
  readonly pathsMax: number;
}

interface Candidate {
  readonly path: Uint8Array;
  /** What each archive's own records say of it. */
  readonly own: Map<number, Facts>;
}

export function findPaths(source: QuerySource, request: FindRequest): FindAnswer {
  const candidates = new Map<string, Candidate>();
  const faults: { number: number; fault: StoreFault }[] = [];
  const read = new Set<number>();
  let more = false;
  const entry = new Entry();
  for (const number of archivesOf(source)) {
    const fault = guarded(number, () => {
      const records = source.ownRecords(number);
      if (isFault(records)) return records;
      while (records.next(entry)) {
        if (!request.pattern.matches(entry.path, entry.pathBytes)) continue;
        if (collect(candidates, entry, number, request.pathsMax) === "full") more = true;
      }
      return null;
    });
    if (fault === null) read.add(number);
    else faults.push({ number, fault });
  }
  const sorted = [...candidates.values()].sort((a, b) => Buffer.compare(sortKey(a.path), sortKey(b.path)));
  return { findings: findings(source, sorted, read, request.kind), faults, more };
}

/** All archives whose records some backup's index is made of. */
function archivesOf(source: QuerySource): number[] {
  const numbers = new Set<number>();
  for (const backup of source.backups) {
    for (let one: number | null = backup.number; one !== null && !numbers.has(one); ) {
      numbers.add(one);
      one = source.originOf(one)?.indexBase ?? null;
    }
  }
  return [...numbers].sort((a, b) => a - b);
}

function collect(
  candidates: Map<string, Candidate>,
  entry: Entry,
  number: number,
  pathsMax: number,
): "taken" | "full" {
  const { path, pathBytes } = entry;
  const key = Buffer.from(path.buffer, path.byteOffset, pathBytes).toString("latin1");
  let candidate = candidates.get(key);
  if (candidate === undefined) {
    if (candidates.size >= pathsMax) return "full";
    candidate = { path: path.slice(0, pathBytes), own: new Map() };
    candidates.set(key, candidate);
  }
  candidate.own.set(number, factsOf(entry));
  return "taken";
}

/** Bytes that sort as comparePaths does: a slash before all others. No path has a NUL. */
function sortKey(path: Uint8Array): Uint8Array {
  return path.map((byte) => (byte === 0x2f ? 0 : byte));
}

function* findings(
  source: QuerySource,
  candidates: readonly Candidate[],
  read: ReadonlySet<number>,
  kind: Facts["kind"] | null,
): Generator<Finding> {
  for (const { path, own } of candidates) {
    const { versions } = versionsOf(source, path, (number) =>
      read.has(number) ? (own.get(number) ?? null) : undefined,
    );
    const isWanted = versions.some(({ facts }) => facts !== null && (kind === null || facts.kind === kind));
    if (isWanted) yield { path, versions };
  }
}
