/** @module `--dry-run`: what a restore would do, entry by entry. Looks only. Damage shows when it is really read. */
import { O_RDONLY } from "../../base/ffi.ts";
import {
  CPath,
  closeFd,
  ENOENT,
  NativeBuffer,
  O_NOFOLLOW,
  O_NONBLOCK,
  openat2,
  readlinkat,
  S_IFDIR,
  S_IFMT,
  Statx,
} from "../../base/files.ts";
import { Entry, isWithin, KIND } from "../entry.ts";
import { removeExtra, type Spared } from "./extra.ts";
import { judgeExisting, type OverwritePolicy, type Verdict } from "./policy.ts";
import { type EntryIndex, SelectedEntries } from "./select.ts";
import { type Mount, Target } from "./target.ts";

/** "make": nothing is there. "replace": something else is, and goes. "refuse": it stays, and is told. "keep": it is
 *  newer. "same": nothing to do but attributes. "delete": it is not in the backup. "unreadable": nothing to restore. */
export const PREVIEW_ACTIONS = ["make", "replace", "same", "keep", "refuse", "unreadable", "delete"] as const;
export type PreviewAction = (typeof PREVIEW_ACTIONS)[number];

export interface PreviewRequest {
  readonly index: EntryIndex;
  readonly paths: readonly Uint8Array[] | null;
  readonly mounts: readonly Mount[];
  readonly policy: OverwritePolicy;
  /** null: nothing; nothing either where the index is damaged. */
  readonly delete: Spared | null;
  /** Whether an open file's bytes are the entry's; null: size and time are believed. */
  readonly sameBytes: ((fd: number, entry: Entry) => boolean) | null;
}

/** Calls `each` for every entry but those above the selection, then for what would be deleted. Bytes: of content that
 *  would be written. Throws what the index throws. */
export function preview(
  request: PreviewRequest,
  each: (action: PreviewAction, path: Uint8Array, bytes: number) => void,
): void {
  const previewer = new Previewer(request);
  const entries = new SelectedEntries(request.index, request.paths);
  const entry = new Entry();
  let blocked: Uint8Array | null = null;
  while (entries.next(entry)) {
    const path = entry.path.subarray(0, entry.pathBytes);
    if (blocked !== null && isWithin(entry.path, entry.pathBytes, blocked)) {
      each("refuse", path, 0);
      continue;
    }
    blocked = null;
    const action = previewer.look(entry);
    if (action === "refuse" && entry.kind === KIND.directory) blocked = path.slice();
    if (entries.isParent && action !== "refuse") continue;
    const isWritten = entry.kind === KIND.file && (action === "make" || action === "replace");
    each(action, path, isWritten ? entry.sizeBytes : 0);
  }
  if (request.delete === null || request.mounts.length === 0 || request.index.isDamaged === true) return;
  removeExtra(new SelectedEntries(request.index, request.paths), {
    target: new Target(request.mounts),
    remove: false,
    spared: request.delete,
    removed: (path) => each("delete", path, 0),
    failed: () => {},
  });
}

const LINK_TEXT_BYTES_MAX = 4096;

class Previewer {
  readonly #request: PreviewRequest;
  readonly #target: Target | null;
  readonly #name = new CPath();
  readonly #statx = new Statx();
  readonly #link = new NativeBuffer(LINK_TEXT_BYTES_MAX);

  constructor(request: PreviewRequest) {
    this.#request = request;
    this.#target = request.mounts.length === 0 ? null : new Target(request.mounts);
  }

  look(entry: Entry): PreviewAction {
    if (entry.kind === KIND.file && entry.sizeBytes > 0 && !entry.hasContent) return "unreadable";
    const target = this.#target;
    if (target === null || !target.locate(entry.path, entry.pathBytes)) return "make";
    if (target.restFrom === entry.pathBytes) return "same";
    const directory = target.parentOf(entry.path, entry.pathBytes);
    // What stands in place of a directory has been judged with it.
    if (directory < 0) return "make";
    const name = this.#name.of(entry.path, target.nameFrom, entry.pathBytes);
    const found = this.#statx.at(directory, name);
    if (found === -ENOENT) return "make";
    if (found < 0) return "refuse";
    const isDirectory = (this.#statx.mode & S_IFMT) === S_IFDIR;
    if (isDirectory && entry.kind === KIND.directory) return "same";
    const { policy, sameBytes } = this.#request;
    const alike = entry.kind === KIND.symlink && this.#sameText(entry, directory, name);
    const verdict: Verdict = judgeExisting(entry, this.#statx, alike, policy, sameBytes !== null);
    if (verdict !== "compare") return verdict;
    if (this.#sameBytes(entry, directory, name)) return "same";
    return policy === "never" ? "refuse" : "replace";
  }

  #sameText(entry: Entry, directory: number, name: number): boolean {
    const bytes = readlinkat(directory, name, this.#link.address, LINK_TEXT_BYTES_MAX);
    const there = this.#link.bytes.subarray(0, Math.max(0, bytes));
    return Buffer.compare(there, entry.linkTarget ?? new Uint8Array(0)) === 0;
  }

  #sameBytes(entry: Entry, directory: number, name: number): boolean {
    const fd = openat2(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0) return false;
    const same = this.#request.sameBytes?.(fd, entry) ?? true;
    closeFd(fd);
    return same;
  }
}
