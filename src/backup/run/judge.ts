/** @module Has this entry changed since the parent backup? Pure: attributes in, a verdict and its reason out.
 *
 *  (1) An entry is unchanged only when size, mtime, ctime, inode, mode, owner, kind, count of names, link text and
 *      attribute bits are all the parent's, and neither time is within RACY_SECONDS of the parent's start or after it:
 *      what was written in the very moment of the parent backup may bear the same times as what that backup read.
 *  (2) Whatever is not proved unchanged is read; only then does its hash decide whether anything is stored. A sneaky edit
 *      therefore needs the same ctime, which no user of the system can set. */
import { type Entry, FLAG, KIND } from "../entry.ts";
import { isSameCtime, isSameInode, isSameMtime, sameBytes } from "./identity.ts";

/** Times of file systems are as coarse as 2 s (FAT), and clocks of servers run apart. */
export const RACY_SECONDS = 3;

/** Why an entry is not simply taken over from the parent; `--explain` shows them. */
export const REASONS = [
  "unchanged",
  "new",
  "kind",
  "size",
  "mtime",
  "inode",
  "ctime",
  "mode",
  "owner",
  "links",
  "attributes",
  "link text",
  "racy",
  "unverified content",
  "paranoid",
  "full",
  "moved",
] as const;
export type Reason = (typeof REASONS)[number];

/** Such content is not a file's at one moment. */
export const DOUBTFUL = FLAG.inconsistent | FLAG.unreadable;

export interface Judging {
  /** Start of the parent run, seconds since 1970. */
  readonly parentStartSeconds: number;
  /** Read everything, whatever the attributes say. */
  readonly paranoid: boolean;
  /** Off for file systems that make up inode numbers or change times at every mount. */
  readonly trustInode: boolean;
  readonly trustCtime: boolean;
}

/** Both entries have the same path. "unchanged": the parent's entry stands as it is. */
export function judge(now: Entry, then: Entry, judging: Judging): Reason {
  if (now.kind !== then.kind) return "kind";
  if (now.kind === KIND.file) {
    if (now.sizeBytes !== then.sizeBytes) return "size";
    // A file's content that was doubtful then is read again until it is not.
    if ((then.flags & DOUBTFUL) !== 0 || !then.hasContent) return "unverified content";
    // A directory whose names could not be read says so in the index, as long as that is so.
  } else if (((now.flags ^ then.flags) & FLAG.unreadable) !== 0) return "unverified content";
  if (!isSameMtime(now, then)) return "mtime";
  if (judging.trustInode && !isSameInode(now, then)) return "inode";
  if (judging.trustCtime && !isSameCtime(now, then)) return "ctime";
  if (now.mode !== then.mode) return "mode";
  if (now.uid !== then.uid || now.gid !== then.gid) return "owner";
  if (now.links !== then.links) return "links";
  if (now.attributes !== then.attributes || now.specialDevice !== then.specialDevice) return "attributes";
  if (now.kind === KIND.symlink && !sameBytes(now.linkTarget, then.linkTarget)) return "link text";
  if (isRacy(now, judging)) return "racy";
  return judging.paranoid ? "paranoid" : "unchanged";
}

export function isRacy(entry: Entry, { parentStartSeconds, trustCtime }: Judging): boolean {
  const newest = trustCtime ? Math.max(entry.mtimeSeconds, entry.ctimeSeconds) : entry.mtimeSeconds;
  return newest >= parentStartSeconds - RACY_SECONDS;
}

/** Could `then`, an entry of the parent under another path, be this new file after a rename? The hash has the last word
 *  where the change time differs (a rename changes it, and so does an edit with the time put back). */
export function mayBeMoved(now: Entry, then: Entry): boolean {
  return (
    now.kind === KIND.file &&
    then.kind === KIND.file &&
    then.hasContent &&
    (then.flags & DOUBTFUL) === 0 &&
    isSameInode(now, then)
  );
}

/** A move of a directory leaves its files' own attributes alone: nothing needs to be read. */
export function isPlainMove(now: Entry, then: Entry, judging: Judging): boolean {
  return (
    !judging.paranoid &&
    judging.trustCtime &&
    now.sizeBytes === then.sizeBytes &&
    isSameMtime(now, then) &&
    isSameCtime(now, then) &&
    !isRacy(now, judging)
  );
}
