/** @module What is done where something stands already. Pure: the entry, what was found, the policy; out comes a verdict.
 *
 *  (1) Nothing that differs is ever touched under "never".
 *  (2) A file that an interrupted restore left unfinished is known by its mode (UNFINISHED_MODE), which nobody sets by
 *      hand; it is ours, whatever the policy. What a restore finished carries the backup's time: so restores resume. */
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../../base/files.ts";
import { type Entry, KIND } from "../entry.ts";

export const OVERWRITE_POLICIES = ["never", "if-changed", "if-newer", "always"] as const;
export type OverwritePolicy = (typeof OVERWRITE_POLICIES)[number];

/** Of a file whose bytes are still being written: sticky, and nobody but root can read it. */
export const UNFINISHED_MODE = 0o1200;

/** Type bits of a mode, by KIND. */
export const TYPE_OF_KIND: readonly number[] = [
  S_IFREG,
  S_IFDIR,
  S_IFLNK,
  S_IFIFO,
  S_IFSOCK,
  S_IFCHR,
  S_IFBLK,
];

/** What stands there; the class Statx is one. */
export interface Existing {
  /** Type and permission bits. */
  readonly mode: number;
  readonly sizeBytes: number;
  readonly mtimeSeconds: number;
  readonly mtimeNs: number;
  readonly specialDevice: number;
}

/** "same": the content is there; attributes are set all the same. "compare": it looks the same, the bytes decide.
 *  "keep": newer, stays as it is. "refuse": differs, and may not be overwritten. */
export type Verdict = "same" | "compare" | "keep" | "refuse" | "replace";

/** An ACL that the directory hands down may have taken the owner's bit away. */
export function isUnfinished(found: Existing): boolean {
  return (found.mode & ~0o200) === (S_IFREG | (UNFINISHED_MODE & ~0o200));
}

/** `sameLinkText`: of two symbolic links, whether they say the same. `paranoid`: size and time prove nothing. */
export function judgeExisting(
  entry: Entry,
  found: Existing,
  sameLinkText: boolean,
  policy: OverwritePolicy,
  paranoid: boolean,
): Verdict {
  if (isUnfinished(found)) return "replace";
  if ((found.mode & S_IFMT) === TYPE_OF_KIND[entry.kind] && looksSame(entry, found, sameLinkText)) {
    if (entry.kind !== KIND.file) return "same";
    if (policy !== "always") return paranoid && entry.sizeBytes > 0 ? "compare" : "same";
  }
  if (policy === "never") return "refuse";
  return policy === "if-newer" && !isNewer(entry, found) ? "keep" : "replace";
}

function looksSame(entry: Entry, found: Existing, sameLinkText: boolean): boolean {
  switch (entry.kind) {
    case KIND.file:
      return (
        found.sizeBytes === entry.sizeBytes &&
        found.mtimeSeconds === entry.mtimeSeconds &&
        found.mtimeNs === entry.mtimeNs
      );
    case KIND.symlink:
      return sameLinkText;
    case KIND.character:
    case KIND.block:
      return found.specialDevice === entry.specialDevice;
    default:
      return true;
  }
}

function isNewer(entry: Entry, found: Existing): boolean {
  if (entry.mtimeSeconds !== found.mtimeSeconds) return entry.mtimeSeconds > found.mtimeSeconds;
  return entry.mtimeNs > found.mtimeNs;
}
