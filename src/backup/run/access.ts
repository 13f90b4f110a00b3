/** @module Opens what the entries of a tree name, from the root of the file system down, and never through a link.
 *  Consecutive entries lie in the same directory: the last one's stays open. Paths may be longer than the kernel takes at
 *  once. */
import { O_RDONLY } from "../../base/ffi.ts";
import {
  CPath,
  closeFd,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  openat2,
  AT_FDCWD,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../../base/files.ts";
import type { Entry } from "../entry.ts";

const SLASH = 0x2f;
/** The kernel's limit is 4096 with the NUL. */
const HOP_BYTES_MAX = 4000;
const RESOLVE = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

export class TreeOpener {
  readonly #path = new CPath();
  readonly #root: number;
  #directory = new Uint8Array(new ArrayBuffer(4096));
  #directoryBytes = -1;
  #directoryFd = -1;

  constructor() {
    this.#root = openat2(AT_FDCWD, this.#path.text("/"), O_PATH | O_DIRECTORY, 0);
  }

  /** A descriptor, or -errno. */
  open(entry: Entry, flags: number): number {
    const { path, pathBytes } = entry;
    const parentFd = this.parentOf(entry);
    if (parentFd < 0) return parentFd;
    const slash = lastSlash(path, pathBytes);
    if (pathBytes === 0) return openat2(this.#root, this.#path.text("."), flags, RESOLVE);
    return openat2(parentFd, this.#path.of(path, slash + 1, pathBytes), flags, RESOLVE);
  }

  /** The directory that an entry lies in, open until the next call; or -errno. */
  parentOf({ path, pathBytes }: Entry): number {
    const bytes = Math.max(lastSlash(path, pathBytes), 0);
    if (bytes === 0) return this.#root;
    if (this.#isDirectory(path, bytes)) return this.#directoryFd;
    const fd = this.#walk(path, bytes);
    if (fd < 0) return fd;
    if (this.#directoryFd >= 0) closeFd(this.#directoryFd);
    this.#directoryFd = fd;
    if (bytes > this.#directory.length) this.#directory = new Uint8Array(new ArrayBuffer(2 * bytes));
    for (let at = 0; at < bytes; at++) this.#directory[at] = path[at] as number;
    this.#directoryBytes = bytes;
    return fd;
  }

  close(): void {
    if (this.#directoryFd >= 0) closeFd(this.#directoryFd);
    closeFd(this.#root);
  }

  #isDirectory(path: Uint8Array, bytes: number): boolean {
    if (bytes !== this.#directoryBytes) return false;
    // The end differs first.
    for (let at = bytes - 1; at >= 0; at--) if (path[at] !== this.#directory[at]) return false;
    return true;
  }

  #walk(path: Uint8Array, bytes: number): number {
    let fd = this.#root;
    for (let from = 0; from < bytes; ) {
      let to = bytes;
      if (to - from > HOP_BYTES_MAX) {
        to = from + HOP_BYTES_MAX;
        while (path[to] !== SLASH) to--;
      }
      const next = openat2(
        fd,
        this.#path.of(path, from, to),
        O_RDONLY | O_PATH | O_DIRECTORY | O_NOFOLLOW,
        RESOLVE,
      );
      if (fd !== this.#root) closeFd(fd);
      if (next < 0) return next;
      fd = next;
      from = to + 1;
    }
    return fd;
  }
}

function lastSlash(path: Uint8Array, pathBytes: number): number {
  let at = pathBytes - 1;
  while (at >= 0 && path[at] !== SLASH) at--;
  return at;
}
