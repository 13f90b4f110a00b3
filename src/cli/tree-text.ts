/** @module Paths, times and versions of files in backups, for people and as JSON. */
import { type JsonPath, pathToJson } from "../backup/archive/names.ts";
import { FLAG } from "../backup/entry.ts";
import { differences, type Facts } from "../backup/queries/facts.ts";
import type { QueryBackup } from "../backup/queries/source.ts";
import type { Version } from "../backup/queries/versions.ts";
import { timeText } from "./table.ts";

const DATE_SECONDS_MAX = 8_640_000_000_000;

/** With its leading slash. */
export function pathJson(path: Uint8Array): JsonPath {
  return pathToJson(Uint8Array.of(0x2f, ...path));
}

/** RFC 3339 in UTC with nanoseconds; beyond the calendar: "@seconds.nanoseconds". */
export function instantJson(seconds: number, ns: number): string {
  const fraction = String(ns).padStart(9, "0");
  if (Math.abs(seconds) > DATE_SECONDS_MAX) return `@${seconds}.${fraction}`;
  return `${new Date(seconds * 1000).toISOString().slice(0, -5)}.${fraction}Z`;
}

/** Local time, to the second. */
export function mtimeText({ mtimeSeconds }: Facts): string {
  return Math.abs(mtimeSeconds) > DATE_SECONDS_MAX ? `@${mtimeSeconds}` : timeText(mtimeSeconds * 1000);
}

export function backupJson({ number, level, atMs }: QueryBackup) {
  return { number, level, at: new Date(atMs).toISOString() };
}

const DOUBT_WORDS = [
  [FLAG.inconsistent, "inconsistent"],
  [FLAG.unreadable, "unreadable"],
  [FLAG.rotten, "rotten"],
] as const;

export function doubtWords({ doubts }: Facts): string[] {
  return DOUBT_WORDS.filter(([flag]) => (doubts & flag) !== 0).map(([, word]) => word);
}

export function factsJson(facts: Facts) {
  const target = facts.linkTarget;
  const doubts = doubtWords(facts);
  return {
    kind: facts.kind,
    size: facts.sizeBytes,
    mtime: instantJson(facts.mtimeSeconds, facts.mtimeNs),
    mode: facts.mode.toString(8).padStart(4, "0"),
    uid: facts.uid,
    gid: facts.gid,
    sha256: facts.sha256,
    ...(target === null ? {} : { target: pathToJson(target) }),
    ...(doubts.length === 0 ? {} : { doubts }),
  };
}

/** Oldest first. `changed`: what the version before has otherwise. */
export function versionsJson(versions: readonly Version[]) {
  return versions.map(({ facts, backups }, at) => {
    const before = versions[at - 1]?.facts ?? null;
    const [first, last] = [backups[0], backups.at(-1)];
    return {
      present: facts !== null,
      backups: backups.map(({ number }) => number),
      first: first === undefined ? null : backupJson(first),
      last: last === undefined ? null : backupJson(last),
      ...(facts === null ? {} : factsJson(facts)),
      ...(facts === null || before === null ? {} : { changed: differences(before, facts) }),
    };
  });
}

/** "3", "3-7". */
export function backupsText(backups: readonly QueryBackup[]): string {
  const [first, last] = [backups[0]?.number, backups.at(-1)?.number];
  return first === last ? `${first}` : `${first}-${last}`;
}
