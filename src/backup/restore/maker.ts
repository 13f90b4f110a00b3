/** @module Makes files, links and special files again, one entry after the other, in one thread; directories are there
 *  already.
 *
 *  (1) A new file is written under its own name, but with UNFINISHED_MODE until its bytes have proved right; where they
 *      do not, it is removed. What replaces something is written beside it and takes its name when it is whole: until
 *      then, and if it turns out damaged, the old one stands.
 *  (2) Names are made with O_EXCL in a directory that was reached without links: a link that somebody plants, before or
 *      meanwhile, is never written through. */
import { EIO, ENOSPC, errorText, O_CREAT, O_EXCL, O_RDONLY } from "../../base/ffi.ts";
import {
  AT_REMOVEDIR,
  CPath,
  closeFd,
  EDQUOT,
  EEXIST,
  ENOENT,
  ENOTDIR,
  ELOOP,
  EPERM,
  EROFS,
  mknodat,
  NativeBuffer,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_WRONLY,
  openat2,
  readlinkat,
  renameat2,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  Statx,
  symlinkat,
  unlinkat,
} from "../../base/files.ts";
import { type Entry, KIND } from "../entry.ts";
import type { Attributes } from "./attributes.ts";
import { type ContentWriter, DAMAGED } from "./content.ts";
import type { IssueKind } from "./issues.ts";
import {
  isUnfinished,
  judgeExisting,
  type OverwritePolicy,
  TYPE_OF_KIND,
  UNFINISHED_MODE,
} from "./policy.ts";
import type { Target } from "./target.ts";

/** "made": written, or made anew. "same": it was there. "kept": what is there is newer. "not": an issue says why. */
export type Made = "made" | "same" | "kept" | "not";

export interface MakerPorts {
  readonly target: Target;
  readonly content: ContentWriter;
  readonly attributes: Attributes;
  readonly policy: OverwritePolicy;
  /** Compare bytes where size and time are equal. */
  readonly paranoid: boolean;
  readonly issue: (kind: IssueKind, entry: Entry, text: string) => void;
}

const NEW_FILE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
const LINK_TEXT_BYTES_MAX = 4096;

export class Maker {
  readonly #ports: MakerPorts;
  readonly #name = new CPath();
  readonly #spare = new CPath();
  readonly #text = new CPath();
  readonly #statx = new Statx();
  readonly #link = new NativeBuffer(LINK_TEXT_BYTES_MAX);
  /** -errno after which nothing more can be written (no space, read-only); 0: none. */
  fatal = 0;
  /** It was told to stop within a file. */
  stopped = false;

  constructor(ports: MakerPorts) {
    this.#ports = ports;
  }

  /** Any kind but a directory. */
  make(entry: Entry): Made {
    const { target, issue } = this.#ports;
    if (entry.kind === KIND.file && entry.sizeBytes > 0 && !entry.hasContent) {
      issue("unreadable", entry, "it could not be read when it was backed up");
      return "not";
    }
    const directory = target.parentOf(entry.path, entry.pathBytes);
    if (directory < 0) return this.#failed(entry, pathText(directory), directory);
    const name = this.#name.of(entry.path, target.nameFrom, entry.pathBytes);
    if (entry.kind !== KIND.file) return this.#makeOther(entry, directory, name);
    // An ACL among them changes the mode by which an unfinished file is known: these get their name when they are whole.
    if (entry.xattrs !== null && this.#statx.at(directory, name) === -ENOENT)
      return this.#replace(entry, directory, name, this.#ports.attributes);
    const fd = openat2(directory, name, NEW_FILE, 0, UNFINISHED_MODE);
    if (fd >= 0) return this.#fill(fd, entry, directory, name, 0);
    if (fd === -EEXIST) return this.#overExisting(entry, directory, name);
    return this.#failed(entry, errorText(fd), fd);
  }

  /** Writes a file that was made just now under `written`, and gives it the name `rename` (0: it has it). Closes it. */
  #fill(fd: number, entry: Entry, directory: number, written: number, rename: number): Made {
    const { content, attributes, target, issue } = this.#ports;
    const outcome = content.write(fd, entry);
    if (outcome !== 0) {
      closeFd(fd);
      unlinkat(directory, written);
      if (outcome < 0) return this.#failed(entry, errorText(outcome), outcome);
      if (outcome === DAMAGED) issue("damaged", entry, content.text);
      else this.stopped = true;
      return "not";
    }
    target.learnOwners(fd);
    attributes.setNew(fd, entry, target.newUid, target.newGid, target.handsDownAcl);
    const renamed = rename === 0 ? 0 : renameat2(directory, written, directory, rename, 0);
    // A file of several names gets them first: see Links.
    if (renamed === 0 && entry.attributes !== 0 && entry.links === 1) attributes.setFlags(fd, entry);
    // Network file systems tell here what became of the bytes.
    const closed = closeFd(fd);
    if (renamed === 0 && closed === 0) return "made";
    unlinkat(directory, renamed === 0 && rename !== 0 ? rename : written);
    const result = renamed < 0 ? renamed : closed;
    return this.#failed(entry, errorText(result), result);
  }

  #overExisting(entry: Entry, directory: number, name: number): Made {
    const { policy, paranoid, attributes, issue } = this.#ports;
    const found = this.#statx;
    const result = found.at(directory, name);
    if (result === -ENOENT) return this.make(entry);
    if (result < 0) return this.#failed(entry, errorText(result), result);
    const alike = entry.kind === KIND.symlink && this.#sameText(entry, directory, name);
    let verdict = judgeExisting(entry, found, alike, policy, paranoid);
    if (verdict === "compare") {
      const same = this.#sameBytes(entry, directory, name);
      verdict = same ? "same" : policy === "never" ? "refuse" : "replace";
    }
    switch (verdict) {
      case "keep":
        return "kept";
      case "refuse":
        issue("exists", entry, `${wordOf(found.mode)} ${LEFT_ALONE}`);
        return "not";
      case "same":
        return this.#adopt(entry, directory, name);
      default:
        break;
    }
    if ((found.mode & S_IFMT) === S_IFDIR) {
      const removed = unlinkat(directory, name, AT_REMOVEDIR);
      if (removed < 0) {
        issue("exists", entry, "a directory that is not empty stands there; it was left alone");
        return "not";
      }
      return this.make(entry);
    }
    if (isUnfinished(found)) {
      const removed = unlinkat(directory, name);
      return removed < 0 ? this.#failed(entry, errorText(removed), removed) : this.make(entry);
    }
    return this.#replace(entry, directory, name, attributes);
  }

  /** What is there is right; so are its attributes, after this. Under "never" they are those of a finished restore. */
  #adopt(entry: Entry, directory: number, name: number): Made {
    const { attributes, policy, target } = this.#ports;
    if (entry.kind !== KIND.file) {
      this.#dress(entry, directory, name, entry.path.subarray(target.nameFrom, entry.pathBytes));
      return "same";
    }
    if (policy === "never") return "same";
    const fd = openat2(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0) {
      this.#ports.issue("attribute", entry, `attributes: ${errorText(fd)}`);
      return "same";
    }
    if (this.#statx.of(fd) === 0 && (this.#statx.mode & S_IFMT) === S_IFREG) {
      if ((this.#statx.attributes & LOCKED) !== 0) attributes.unlock(fd);
      attributes.setExisting(fd, entry, this.#statx);
      if (entry.links === 1) attributes.setFlags(fd, entry);
    }
    closeFd(fd);
    return "same";
  }

  #replace(entry: Entry, directory: number, name: number, attributes: Attributes): Made {
    const { target } = this.#ports;
    const spareName = spareNameOf(entry.path.subarray(target.nameFrom, entry.pathBytes));
    const spare = this.#spare.of(spareName);
    if ((this.#statx.attributes & LOCKED) !== 0) {
      const locked = openat2(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
      if (locked >= 0) {
        attributes.unlock(locked);
        closeFd(locked);
      }
    }
    // Left by a restore that was interrupted: the name is ours alone.
    unlinkat(directory, spare);
    if (entry.kind === KIND.file) {
      const fd = openat2(directory, spare, NEW_FILE, 0, UNFINISHED_MODE);
      if (fd < 0) return this.#failed(entry, errorText(fd), fd);
      return this.#fill(fd, entry, directory, spare, name);
    }
    const result = this.#create(entry, directory, spare);
    if (result < 0) return this.#failed(entry, errorText(result), result);
    this.#dress(entry, directory, spare, spareName);
    const renamed = renameat2(directory, spare, directory, name, 0);
    if (renamed === 0) return "made";
    unlinkat(directory, spare);
    return this.#failed(entry, errorText(renamed), renamed);
  }

  #makeOther(entry: Entry, directory: number, name: number): Made {
    const result = this.#create(entry, directory, name);
    if (result === -EEXIST) return this.#overExisting(entry, directory, name);
    if (result < 0) return this.#failed(entry, errorText(result), result);
    this.#dress(entry, directory, name, entry.path.subarray(this.#ports.target.nameFrom, entry.pathBytes));
    return "made";
  }

  #create(entry: Entry, directory: number, name: number): number {
    if (entry.kind === KIND.symlink) {
      return symlinkat(this.#text.of(entry.linkTarget ?? NO_TEXT), directory, name);
    }
    return mknodat(directory, name, TYPE_OF_KIND[entry.kind] as number, entry.specialDevice);
  }

  /** Attributes of a link or special file that stands at `name`. */
  #dress(entry: Entry, directory: number, name: number, nameBytes: Uint8Array): void {
    const { attributes, issue } = this.#ports;
    const fd = openat2(directory, name, O_PATH | O_NOFOLLOW, 0);
    const result = fd < 0 ? fd : this.#statx.of(fd);
    if (result === 0 && (this.#statx.mode & S_IFMT) === TYPE_OF_KIND[entry.kind]) {
      attributes.setUnopened(fd, directory, nameBytes, entry, this.#statx);
    } else issue("attribute", entry, `attributes: ${errorText(result === 0 ? -ENOENT : result)}`);
    if (fd >= 0) closeFd(fd);
  }

  #sameText(entry: Entry, directory: number, name: number): boolean {
    const bytes = readlinkat(directory, name, this.#link.address, LINK_TEXT_BYTES_MAX);
    const target = entry.linkTarget ?? NO_TEXT;
    if (bytes !== target.length) return false;
    for (let at = 0; at < bytes; at++) if (this.#link.bytes[at] !== target[at]) return false;
    return true;
  }

  #sameBytes(entry: Entry, directory: number, name: number): boolean {
    const fd = openat2(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0) return false;
    const outcome = this.#ports.content.compare(fd, entry);
    closeFd(fd);
    return outcome !== DAMAGED && outcome === 0;
  }

  #failed(entry: Entry, text: string, errno: number): Made {
    if (errno === -ENOSPC || errno === -EDQUOT || errno === -EROFS) this.fatal = errno;
    this.#ports.issue("failed", entry, text);
    return "not";
  }
}

const NO_TEXT = new Uint8Array(0);
/** Attribute bits immutable and append-only. */
const LOCKED = 0x30;

/** What is said of something that a policy keeps. */
export const LEFT_ALONE = "stands there that is not the backup's; it was left alone";

/** The name under which what is to replace `name` is written; the same each time, so that nothing piles up. */
export function spareNameOf(name: Uint8Array): Uint8Array {
  return Buffer.from(`.understudy-${Bun.hash.xxHash3(name).toString(16)}.restoring`);
}

/** Why a directory on the way could not be opened. */
export function pathText(errno: number): string {
  if (errno === -ELOOP) return "a symbolic link stands in its path; it was not followed";
  if (errno === -ENOTDIR) return "a link or a file stands where its directory was";
  return errno === -EPERM || errno === -EIO ? errorText(errno) : `its directory: ${errorText(errno)}`;
}

const WORDS: Readonly<Record<number, string>> = {
  [S_IFREG]: "a file",
  [S_IFDIR]: "a directory",
};
export function wordOf(mode: number): string {
  return (
    WORDS[mode & S_IFMT] ??
    ((mode & S_IFMT) === TYPE_OF_KIND[KIND.symlink] ? "a symbolic link" : "a special file")
  );
}
