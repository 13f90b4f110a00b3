/** @module From the kernel's attributes to an entry. What differs between two file systems that hold the same tree
 *  (a directory's size and links) is left out: it would look like a change. */
import type { Statx } from "../../base/files.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../../base/files.ts";
import { type Entry, KIND, type Kind } from "../entry.ts";

/** The statx attributes that a restore can set: compressed, immutable, append, nodump. */
const ATTRIBUTES = 0x04 | 0x10 | 0x20 | 0x40;

/** No file system's time lies beyond; a broken one is cut off here (records hold no more). */
const SECONDS_MAX = 2 ** 50;

const clamped = (seconds: number): number => Math.min(Math.max(seconds, -SECONDS_MAX), SECONDS_MAX);

const KINDS = new Int8Array(16).fill(-1);
KINDS[S_IFREG >> 12] = KIND.file;
KINDS[S_IFDIR >> 12] = KIND.directory;
KINDS[S_IFLNK >> 12] = KIND.symlink;
KINDS[S_IFIFO >> 12] = KIND.fifo;
KINDS[S_IFSOCK >> 12] = KIND.socket;
KINDS[S_IFCHR >> 12] = KIND.character;
KINDS[S_IFBLK >> 12] = KIND.block;

/** The kind that the mode's type bits name, or null: nothing that a backup knows. */
export function kindOfMode(mode: number): Kind | null {
  const kind = KINDS[(mode & S_IFMT) >> 12] as number;
  return kind < 0 ? null : (kind as Kind);
}

/** Fills in all but the path, the link's text, the xattrs and the content (which is cleared). Returns false where the
 *  kind is none that a backup knows. */
export function entryFromStatx(entry: Entry, statx: Statx): boolean {
  const mode = statx.mode;
  const kind = KINDS[(mode & S_IFMT) >> 12] as number;
  if (kind < 0) return false;
  entry.kind = kind as Kind;
  entry.flags = 0;
  entry.mode = mode & 0o7777;
  entry.uid = statx.uid;
  entry.gid = statx.gid;
  entry.sizeBytes = kind === KIND.file ? statx.sizeBytes : 0;
  entry.mtimeSeconds = clamped(statx.mtimeSeconds);
  entry.mtimeNs = statx.mtimeNs;
  entry.ctimeSeconds = clamped(statx.ctimeSeconds);
  entry.ctimeNs = statx.ctimeNs;
  entry.inodeHigh = statx.inodeHigh;
  entry.inodeLow = statx.inodeLow;
  entry.links = kind === KIND.directory ? 1 : statx.links;
  entry.device = statx.device;
  entry.specialDevice = kind === KIND.character || kind === KIND.block ? statx.specialDevice : 0;
  entry.attributes = statx.attributes & ATTRIBUTES;
  entry.linkTarget = null;
  entry.xattrs = null;
  entry.hasContent = false;
  entry.spanCount = 0;
  entry.pieceHashes = null;
  return true;
}
