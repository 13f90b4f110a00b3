/** @module `--delete`: what stands in a restored directory and is not in the backup goes. Only in directories that are
 *  themselves restored, never beside them; through no symbolic link; into no other file system; and no store of backups
 *  is ever touched. */
import { errorText, O_RDONLY } from "../../base/ffi.ts";
import {
  AT_REMOVEDIR,
  CPath,
  closeFd,
  getdents64,
  NativeBuffer,
  O_DIRECTORY,
  S_IFDIR,
  S_IFMT,
  Statx,
  unlinkat,
} from "../../base/files.ts";
import { Entry, isWithin, KIND } from "../entry.ts";
import type { DirectoryIdentity } from "../scan/messages.ts";
import { joinPath, type SelectedEntries } from "./select.ts";
import { openBeneath, type Target } from "./target.ts";

export interface ExtraPorts {
  readonly target: Target;
  /** false: look only. */
  readonly remove: boolean;
  readonly spared: Spared;
  /** Hears of each top of what is removed, by its path in the backup's terms. */
  readonly removed: (path: Uint8Array) => void;
  readonly failed: (path: Uint8Array, text: string) => void;
}

/** What is not in the backup and yet does not go. */
export interface Spared {
  /** By inode: the stores. */
  readonly directories: readonly DirectoryIdentity[];
  /** What the backup left out on purpose. `found`: what stands there. */
  isExcluded(path: Uint8Array, isDirectory: boolean, found: Statx): boolean;
  /** Nothing goes from this directory (`found`); `names`: what the backup has in it. */
  isWhole(path: Uint8Array, names: ReadonlySet<string>, found: Statx, isMountPoint: boolean): boolean;
}

export const NOTHING_SPARED: Spared = {
  directories: [],
  isExcluded: () => false,
  isWhole: () => false,
};

interface Level {
  readonly path: Uint8Array;
  readonly names: Set<string>;
  /** Above the selection: nothing goes here. */
  readonly isParent: boolean;
}

const LIST_BYTES = 65536;
const DIRENT_NAME_AT = 19;
const PARENT = Buffer.from("..");

/** Walks the entries once more and looks at each directory when all that belongs in it is known. */
export function removeExtra(entries: SelectedEntries, ports: ExtraPorts): void {
  const sweeper = new Sweeper(ports);
  const stack: Level[] = [];
  const entry = new Entry();
  const closeDownTo = (path: Uint8Array, pathBytes: number) => {
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      if (pathBytes > top.path.length && isWithin(path, pathBytes, top.path)) return;
      stack.pop();
      if (!top.isParent) sweeper.sweep(top.path, top.names);
    }
  };
  while (entries.next(entry)) {
    closeDownTo(entry.path, entry.pathBytes);
    const parent = stack.at(-1);
    if (parent !== undefined) {
      const from = parent.path.length === 0 ? 0 : parent.path.length + 1;
      parent.names.add(Buffer.from(entry.path.subarray(from, entry.pathBytes)).toString("latin1"));
    }
    if (entry.kind !== KIND.directory) continue;
    stack.push({ path: entry.path.slice(0, entry.pathBytes), names: new Set(), isParent: entries.isParent });
  }
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    if (!top.isParent) sweeper.sweep(top.path, top.names);
  }
}

class Sweeper {
  readonly #ports: ExtraPorts;
  readonly #name = new CPath();
  readonly #statx = new Statx();
  readonly #parent = new Statx();
  readonly #list = new NativeBuffer(LIST_BYTES);

  constructor(ports: ExtraPorts) {
    this.#ports = ports;
  }

  sweep(path: Uint8Array, names: ReadonlySet<string>): void {
    const { target, failed } = this.#ports;
    if (!target.locate(path, path.length)) return;
    const { mount, restFrom } = target;
    const fd = openBeneath(mount.fd, path, restFrom, path.length, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
      if (this.#ports.remove) failed(path, `looking for what is not in the backup: ${errorText(fd)}`);
      return;
    }
    const known = this.#parent.at(fd, this.#name.of(PARENT)) === 0 && this.#statx.of(fd) === 0;
    const { device } = this.#statx;
    const isMountPoint = this.#parent.device !== device;
    if (!known || this.#ports.spared.isWhole(path, names, this.#statx, isMountPoint)) {
      closeFd(fd);
      return;
    }
    for (const name of this.#namesIn(fd)) {
      if (names.has(Buffer.from(name).toString("latin1"))) continue;
      const full = joinPath([path, name]);
      const gone = this.#remove(fd, name, full, device);
      if (gone) this.#ports.removed(full);
    }
    closeFd(fd);
  }

  /** true: it is gone (or would be). */
  #remove(directory: number, name: Uint8Array, path: Uint8Array, device: number): boolean {
    const { remove, failed, spared } = this.#ports;
    if (this.#statx.at(directory, this.#name.of(name)) < 0) return false;
    const isDirectory = (this.#statx.mode & S_IFMT) === S_IFDIR;
    if (spared.isExcluded(path, isDirectory, this.#statx)) return false;
    if (!isDirectory) {
      if (!remove) return true;
      const result = unlinkat(directory, this.#name.of(name));
      if (result < 0) failed(path, `cannot be removed: ${errorText(result)}`);
      return result >= 0;
    }
    const found = this.#statx;
    const isStore = spared.directories.some(
      ({ device: itsDevice, inodeHigh, inodeLow }) =>
        itsDevice === found.device && inodeHigh === found.inodeHigh && inodeLow === found.inodeLow,
    );
    if (isStore || found.device !== device) return false;
    const fd = openBeneath(directory, name, 0, name.length, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
      if (remove) failed(path, `cannot be removed: ${errorText(fd)}`);
      return false;
    }
    let empty = true;
    for (const inner of this.#namesIn(fd)) {
      if (!this.#remove(fd, inner, joinPath([path, inner]), device)) empty = false;
    }
    closeFd(fd);
    if (!empty || !remove) return empty;
    const result = unlinkat(directory, this.#name.of(name), AT_REMOVEDIR);
    if (result < 0) failed(path, `cannot be removed: ${errorText(result)}`);
    return result >= 0;
  }

  #namesIn(fd: number): Uint8Array[] {
    const names: Uint8Array[] = [];
    const { bytes, address } = this.#list;
    for (;;) {
      const got = getdents64(fd, address, LIST_BYTES);
      if (got <= 0) return names;
      for (let at = 0; at < got; ) {
        const recordBytes = (bytes[at + 16] as number) | ((bytes[at + 17] as number) << 8);
        const from = at + DIRENT_NAME_AT;
        const to = bytes.indexOf(0, from);
        const dots =
          bytes[from] === 0x2e && (to === from + 1 || (bytes[from + 1] === 0x2e && to === from + 2));
        if (!dots) names.push(bytes.slice(from, to));
        at += recordBytes;
      }
    }
  }
}
