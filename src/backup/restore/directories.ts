/** @module The directories of a restore: made in order, before anything is put in them; their attributes come last, the
 *  deepest first, since whatever is made in a directory changes its time, and a mode may lock us out. */
import { errorText, O_RDONLY } from "../../base/ffi.ts";
import {
  CPath,
  closeFd,
  EEXIST,
  ENOENT,
  mkdirat,
  O_DIRECTORY,
  O_NOFOLLOW,
  openat2,
  S_IFDIR,
  S_IFMT,
  Statx,
  unlinkat,
} from "../../base/files.ts";
import { Entry } from "../entry.ts";
import { RecordDecoder, RecordEncoder } from "../index/record.ts";
import type { Attributes } from "./attributes.ts";
import type { IssueKind } from "./issues.ts";
import { pathText, wordOf } from "./maker.ts";
import { judgeExisting, type OverwritePolicy } from "./policy.ts";
import { openBeneath, type Target } from "./target.ts";

/** Nobody looks in while it is being filled. */
const UNFINISHED_DIRECTORY_MODE = 0o700;
const BATCH_ENTRIES = 64;
/** Attribute bits immutable and append-only. */
const LOCKED = 0x30;

export interface DirectoryPorts {
  readonly target: Target;
  readonly attributes: Attributes;
  readonly policy: OverwritePolicy;
  readonly issue: (kind: IssueKind, entry: Entry, text: string) => void;
}

export class Directories {
  readonly #ports: DirectoryPorts;
  readonly #name = new CPath();
  readonly #statx = new Statx();
  readonly #encoder = new RecordEncoder();
  readonly #batches: Uint8Array[] = [];
  /** Made, and found there. */
  made = 0;
  same = 0;

  constructor(ports: DirectoryPorts) {
    this.#ports = ports;
  }

  /** Sees to it that the directory is there; false: it cannot be, an issue says why. A directory above the selection
   *  (`isParent`) gets attributes only if it is made here. */
  make(entry: Entry, isParent: boolean): boolean {
    const { target } = this.#ports;
    if (!target.locate(entry.path, entry.pathBytes)) {
      // Above all mounts: where they are is their user's affair.
      if (isParent) return true;
      return this.#failed(entry, -ENOENT);
    }
    if (target.restFrom === entry.pathBytes) return this.#found(entry, isParent);
    let directory = target.parentOf(entry.path, entry.pathBytes);
    if (directory === -ENOENT) {
      target.makeParents(entry.path, entry.pathBytes, () => {});
      directory = target.parentOf(entry.path, entry.pathBytes);
    }
    if (directory < 0) return this.#failed(entry, directory);
    const name = this.#name.of(entry.path, target.nameFrom, entry.pathBytes);
    let result = mkdirat(directory, name, UNFINISHED_DIRECTORY_MODE);
    if (result === -EEXIST) {
      const found = this.#statx.at(directory, name);
      if (found < 0) return this.#failed(entry, found);
      if ((this.#statx.mode & S_IFMT) === S_IFDIR) {
        if ((this.#statx.attributes & LOCKED) !== 0 && !isParent) this.#unlock(directory, name);
        return this.#found(entry, isParent);
      }
      const verdict = judgeExisting(entry, this.#statx, false, this.#ports.policy, false);
      if (verdict !== "replace") {
        const text = `${wordOf(this.#statx.mode)} stands in place of this directory; it was left alone`;
        this.#ports.issue("exists", entry, text);
        return false;
      }
      unlinkat(directory, name);
      result = mkdirat(directory, name, UNFINISHED_DIRECTORY_MODE);
    }
    if (result < 0) return this.#failed(entry, result);
    this.made++;
    this.#remember(entry);
    return true;
  }

  /** Makes the directories above an entry that are missing, for the case that the index has lost them: theirs alone. */
  makeLost(entry: Entry): void {
    const { target, issue } = this.#ports;
    const above = new Entry();
    target.makeParents(
      entry.path,
      entry.pathBytes,
      (pathBytes) => {
        this.made++;
        above.setPath(entry.path.subarray(0, pathBytes));
        issue("damaged", above, "the index has lost this directory: it is made without its attributes");
      },
      UNFINISHED_DIRECTORY_MODE,
    );
  }

  #found(entry: Entry, isParent: boolean): boolean {
    this.same++;
    if (!isParent) this.#remember(entry);
    return true;
  }

  /** So that something can be put in; it gets the backup's flags in the end. */
  #unlock(directory: number, name: number): void {
    const fd = openat2(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0) return;
    this.#ports.attributes.unlock(fd);
    closeFd(fd);
  }

  #remember(entry: Entry): void {
    this.#encoder.add(entry);
    if (this.#encoder.count < BATCH_ENTRIES) return;
    this.#batches.push(this.#encoder.take());
    this.#encoder.reset();
  }

  /** Sets all attributes, deepest first. */
  finish(): void {
    this.#batches.push(this.#encoder.take());
    this.#encoder.reset();
    const entries = Array.from({ length: BATCH_ENTRIES }, () => new Entry());
    const decoder = new RecordDecoder();
    for (let batch = this.#batches.pop(); batch !== undefined; batch = this.#batches.pop()) {
      decoder.open(batch);
      let count = 0;
      while (count < BATCH_ENTRIES && decoder.next(entries[count] as Entry)) count++;
      while (count > 0) this.#dress(entries[--count] as Entry);
    }
  }

  #dress(entry: Entry): void {
    const { target, attributes, issue } = this.#ports;
    if (!target.locate(entry.path, entry.pathBytes)) return;
    const { mount, restFrom } = target;
    const fd = openBeneath(mount.fd, entry.path, restFrom, entry.pathBytes, O_RDONLY | O_DIRECTORY);
    const result = fd < 0 ? fd : this.#statx.of(fd);
    if (result < 0) issue("attribute", entry, `attributes: ${errorText(result)}`);
    else {
      if ((this.#statx.attributes & LOCKED) !== 0) attributes.unlock(fd);
      attributes.setExisting(fd, entry, this.#statx);
      // Flags of a directory that was there may be an immutable one's, from a restore that had got so far.
      if (entry.attributes !== 0 || (this.#statx.attributes & 0x70) !== 0) attributes.setFlags(fd, entry);
    }
    if (fd >= 0) closeFd(fd);
  }

  #failed(entry: Entry, errno: number): boolean {
    this.#ports.issue("failed", entry, pathText(errno));
    return false;
  }
}
