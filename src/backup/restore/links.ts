/** @module Names of one file: the first in order is restored as a file, the others are linked to it once all files are
 *  there. Immutable and append-only forbid new names, so files of several names get their flags here.
 *  Names with equal numbers that do not hold the same are not one file: the number was given away again while the backup
 *  was being made. */
import { errorText, O_RDONLY } from "../../base/ffi.ts";
import {
  CPath,
  closeFd,
  EEXIST,
  ENOENT,
  linkat,
  O_NOFOLLOW,
  O_NONBLOCK,
  openat2,
  renameat2,
  Statx,
  unlinkat,
} from "../../base/files.ts";
import { pathLine } from "../archive/names.ts";
import { Entry, KIND } from "../entry.ts";
import { RecordDecoder, RecordEncoder } from "../index/record.ts";
import type { Attributes } from "./attributes.ts";
import type { IssueKind } from "./issues.ts";
import { LEFT_ALONE, pathText, spareNameOf, wordOf } from "./maker.ts";
import { judgeExisting, type OverwritePolicy } from "./policy.ts";
import type { Target } from "./target.ts";

export interface LinkGroup {
  readonly path: Uint8Array;
  readonly kind: number;
  readonly sizeBytes: number;
  readonly sha256: Uint8Array | null;
  /** Its first name is there and holds what the backup says. */
  done: boolean;
}

export interface LinkPorts {
  /** Two views of the same target: for the first name and for the next. */
  readonly target: Target;
  readonly other: Target;
  readonly attributes: Attributes;
  readonly policy: OverwritePolicy;
  readonly issue: (kind: IssueKind, entry: Entry, text: string) => void;
}

const BATCH_ENTRIES = 256;

export class Links {
  readonly #groups = new Map<string, LinkGroup>();
  readonly #encoder = new RecordEncoder();
  readonly #batches: { readonly records: Uint8Array; readonly groups: readonly LinkGroup[] }[] = [];
  readonly #flagged: { readonly path: Uint8Array; readonly attributes: number; readonly group: LinkGroup }[] =
    [];
  #open: LinkGroup[] = [];
  made = 0;
  same = 0;

  /** Of an entry with several names: null: it is another name of a file that is restored, and was taken note of. Else the
   *  group that it is the first of. */
  sort(entry: Entry): LinkGroup | null {
    const key = `${entry.device} ${entry.inodeHigh} ${entry.inodeLow}`;
    const known = this.#groups.get(key);
    if (known !== undefined && isSameFile(known, entry)) {
      this.#encoder.add(entry);
      this.#open.push(known);
      if (this.#open.length === BATCH_ENTRIES) this.#close();
      return null;
    }
    const path = entry.path.slice(0, entry.pathBytes);
    const group: LinkGroup = {
      path,
      kind: entry.kind,
      sizeBytes: entry.sizeBytes,
      sha256: entry.hasContent ? entry.sha256.slice() : null,
      done: true,
    };
    this.#groups.set(key, group);
    if (entry.attributes !== 0) this.#flagged.push({ path, attributes: entry.attributes, group });
    return group;
  }

  /** Nothing is left to be linked or flagged. */
  get isDone(): boolean {
    return this.#batches.length + this.#open.length + this.#flagged.length === 0;
  }

  #close(): void {
    this.#batches.push({ records: this.#encoder.take(), groups: this.#open });
    this.#encoder.reset();
    this.#open = [];
  }

  /** Makes all further names, then sets the flags of all. `each` is called after each name; false: stop. */
  finish(ports: LinkPorts, each: () => boolean): void {
    this.#close();
    const linker = new Linker(ports);
    const entry = new Entry();
    const decoder = new RecordDecoder();
    for (const { records, groups } of this.#batches) {
      decoder.open(records);
      for (let n = 0; decoder.next(entry); n++) {
        const outcome = linker.link(entry, groups[n] as LinkGroup);
        if (outcome === "made") this.made++;
        else if (outcome === "same") this.same++;
        if (!each()) return;
      }
    }
    for (const { path, attributes, group } of this.#flagged) {
      if (!group.done) continue;
      entry.setPath(path);
      entry.kind = KIND.file;
      entry.attributes = attributes;
      linker.flag(entry);
    }
  }
}

function isSameFile(group: LinkGroup, entry: Entry): boolean {
  if (group.kind !== entry.kind || group.sizeBytes !== entry.sizeBytes) return false;
  if (entry.kind !== KIND.file) return true;
  if ((group.sha256 !== null) !== entry.hasContent) return false;
  return group.sha256 === null || group.sha256.every((byte, at) => byte === entry.sha256[at]);
}

class Linker {
  readonly #ports: LinkPorts;
  readonly #firstName = new CPath();
  readonly #name = new CPath();
  readonly #spare = new CPath();
  readonly #first = new Statx();
  readonly #found = new Statx();

  constructor(ports: LinkPorts) {
    this.#ports = ports;
  }

  link(entry: Entry, group: LinkGroup): "made" | "same" | "not" {
    const { target, other, issue, policy } = this.#ports;
    if (!group.done) return this.#linkToNothing(entry, group);
    const from = target.parentOf(group.path, group.path.length);
    if (from < 0) return this.#failed(entry, pathText(from));
    const firstName = this.#firstName.of(group.path, target.nameFrom, group.path.length);
    const to = other.parentOf(entry.path, entry.pathBytes);
    if (to < 0) return this.#failed(entry, pathText(to));
    const name = this.#name.of(entry.path, other.nameFrom, entry.pathBytes);
    let result = linkat(from, firstName, to, name);
    if (result === 0) return "made";
    if (result !== -EEXIST) return this.#failed(entry, errorText(result));
    if (this.#first.at(from, firstName) < 0) return this.#failed(entry, errorText(-ENOENT));
    const found = this.#found.at(to, name);
    if (found < 0) return this.#failed(entry, errorText(found));
    if (this.#isOneFile()) return "same";
    const verdict = judgeExisting(entry, this.#found, false, policy, false);
    if (verdict === "keep") return "not";
    if (verdict === "refuse" || (verdict === "same" && policy === "never")) {
      issue("exists", entry, `${wordOf(this.#found.mode)} ${LEFT_ALONE}`);
      return "not";
    }
    const spare = this.#spare.of(spareNameOf(entry.path.subarray(other.nameFrom, entry.pathBytes)));
    unlinkat(to, spare);
    result = linkat(from, firstName, to, spare);
    if (result === 0) result = renameat2(to, spare, to, name, 0);
    if (result === 0) return "made";
    unlinkat(to, spare);
    return this.#failed(entry, errorText(result));
  }

  /** The first name is not as in the backup; what stands under this one may be as it should, or newer. */
  #linkToNothing(entry: Entry, group: LinkGroup): "same" | "not" {
    const { other, issue, policy } = this.#ports;
    const to = other.parentOf(entry.path, entry.pathBytes);
    const name = to < 0 ? 0 : this.#name.of(entry.path, other.nameFrom, entry.pathBytes);
    if (to >= 0 && this.#found.at(to, name) === 0) {
      const verdict = judgeExisting(entry, this.#found, false, policy, false);
      if (verdict === "keep") return "not";
      if (verdict === "same") return "same";
      if (verdict === "refuse") {
        issue("exists", entry, `${wordOf(this.#found.mode)} ${LEFT_ALONE}`);
        return "not";
      }
    }
    return this.#failed(entry, `it is one file with ${pathLine(group.path)}, which is not as in the backup`);
  }

  flag(entry: Entry): void {
    const { target, attributes } = this.#ports;
    const directory = target.parentOf(entry.path, entry.pathBytes);
    if (directory < 0) return;
    const name = this.#firstName.of(entry.path, target.nameFrom, entry.pathBytes);
    const fd = openat2(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0) this.#ports.issue("attribute", entry, `flags: ${errorText(fd)}`);
    else {
      attributes.setFlags(fd, entry);
      closeFd(fd);
    }
  }

  #isOneFile(): boolean {
    const [a, b] = [this.#first, this.#found];
    return a.inodeLow === b.inodeLow && a.inodeHigh === b.inodeHigh && a.device === b.device;
  }

  #failed(entry: Entry, text: string): "not" {
    this.#ports.issue("failed", entry, text);
    return "not";
  }
}
