/** @module What tells whether two looks were at the same file. */
import type { Entry } from "../entry.ts";

/** Exact inode numbers have 53 bits; longer ones may share a key. */
export function inodeKey({ inodeHigh, inodeLow }: Entry): number {
  return inodeHigh * 2 ** 32 + inodeLow;
}

/** Names of one file have the same key within one backup. */
export function linkKey({ device, inodeHigh, inodeLow }: Entry): string {
  return `${device}:${inodeHigh}:${inodeLow}`;
}

export function isSameInode(a: Entry, b: Entry): boolean {
  return a.inodeLow === b.inodeLow && a.inodeHigh === b.inodeHigh;
}

export function isSameMtime(a: Entry, b: Entry): boolean {
  return a.mtimeSeconds === b.mtimeSeconds && a.mtimeNs === b.mtimeNs;
}

export function isSameCtime(a: Entry, b: Entry): boolean {
  return a.ctimeSeconds === b.ctimeSeconds && a.ctimeNs === b.ctimeNs;
}

/** The same file, and nobody has written to it or changed what it is in between. */
export function isUntouched(a: Entry, b: Entry): boolean {
  return a.sizeBytes === b.sizeBytes && isSameMtime(a, b) && isSameCtime(a, b) && isSameInode(a, b);
}

/** What statx tells of a file, from one entry to another. */
export function takeAttributes(entry: Entry, seen: Entry): void {
  entry.mode = seen.mode;
  entry.uid = seen.uid;
  entry.gid = seen.gid;
  entry.sizeBytes = seen.sizeBytes;
  entry.mtimeSeconds = seen.mtimeSeconds;
  entry.mtimeNs = seen.mtimeNs;
  entry.ctimeSeconds = seen.ctimeSeconds;
  entry.ctimeNs = seen.ctimeNs;
  entry.inodeLow = seen.inodeLow;
  entry.inodeHigh = seen.inodeHigh;
  entry.links = seen.links;
  entry.device = seen.device;
  entry.attributes = seen.attributes;
}

export function sameBytes(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === null || b === null) return a === b;
  return a.length === b.length && Buffer.compare(a, b) === 0;
}
