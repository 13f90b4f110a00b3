/** @module What tells one version of a file from another: kind, content, and the attributes that people set. Inode, ctime,
 *  links and where the bytes lie are left out: they change without the file being another one. */
import { type Entry, FLAG, KIND, type Kind } from "../entry.ts";

export const KIND_NAMES = {
  [KIND.file]: "file",
  [KIND.directory]: "directory",
  [KIND.symlink]: "symlink",
  [KIND.fifo]: "fifo",
  [KIND.socket]: "socket",
  [KIND.character]: "character",
  [KIND.block]: "block",
} as const satisfies Record<Kind, string>;
export type KindName = (typeof KIND_NAMES)[Kind];

export interface Facts {
  readonly kind: KindName;
  readonly sizeBytes: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSeconds: number;
  readonly mtimeNs: number;
  /** Hexadecimal; null: no content (not a file, or it could not be read). */
  readonly sha256: string | null;
  readonly linkTarget: Uint8Array | null;
  readonly specialDevice: number;
  /** Hexadecimal, of names and values; null: none. */
  readonly xattrs: string | null;
  /** statx attribute bits. */
  readonly attributes: number;
  /** FLAG.inconsistent, FLAG.unreadable and FLAG.rotten: what is wrong with the content. */
  readonly doubts: number;
}

export const DOUBTS = FLAG.inconsistent | FLAG.unreadable | FLAG.rotten;

export function factsOf(entry: Entry): Facts {
  const { xattrs, linkTarget } = entry;
  return {
    kind: KIND_NAMES[entry.kind],
    sizeBytes: entry.sizeBytes,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    mtimeSeconds: entry.mtimeSeconds,
    mtimeNs: entry.mtimeNs,
    sha256: entry.hasContent ? Buffer.from(entry.sha256).toString("hex") : null,
    linkTarget: linkTarget === null ? null : new Uint8Array(linkTarget),
    specialDevice: entry.specialDevice,
    xattrs: xattrs === null ? null : Buffer.from(xattrs).toString("hex"),
    attributes: entry.attributes,
    doubts: entry.flags & DOUBTS,
  };
}

/** What differs, in the words that people know. */
export const ASPECTS = ["kind", "content", "mtime", "mode", "owner", "xattrs", "attributes"] as const;
export type Aspect = (typeof ASPECTS)[number];

export function differences(a: Facts, b: Facts): Aspect[] {
  const differs: Record<Aspect, boolean> = {
    kind: a.kind !== b.kind,
    content: contentDiffers(a, b),
    mtime: a.mtimeSeconds !== b.mtimeSeconds || a.mtimeNs !== b.mtimeNs,
    mode: a.mode !== b.mode,
    owner: a.uid !== b.uid || a.gid !== b.gid,
    xattrs: a.xattrs !== b.xattrs,
    attributes: a.attributes !== b.attributes,
  };
  return ASPECTS.filter((aspect) => differs[aspect]);
}

function contentDiffers(a: Facts, b: Facts): boolean {
  if (a.kind !== b.kind) return true;
  if (a.doubts !== b.doubts || a.specialDevice !== b.specialDevice) return true;
  if (a.kind === "file") return a.sizeBytes !== b.sizeBytes || a.sha256 !== b.sha256;
  return !Buffer.from(a.linkTarget ?? []).equals(Buffer.from(b.linkTarget ?? []));
}

/** Two of the same version; null: not there. */
export function sameVersion(a: Facts | null, b: Facts | null): boolean {
  if (a === b) return true;
  return a !== null && b !== null && differences(a, b).length === 0;
}
