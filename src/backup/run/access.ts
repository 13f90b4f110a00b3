/** @module Opens what the entries of a tree name, from the root of the file system down, and never through a link.
 *  Consecutive entries lie in the same directory: the last one's stays open. Paths may be longer than the kernel takes at
 *  once. */
import { CPath, closeFd, openat2 } from "../../base/files.ts";
import type { Entry } from "../entry.ts";
import { nameAt, Opener, RESOLVE_WITHOUT_LINKS } from "../scan/open.ts";

export class TreeOpener {
  readonly #opener = new Opener();
  readonly #name = new CPath();
  #directory = new Uint8Array(new ArrayBuffer(4096));
  #directoryBytes = -1;
  #directoryFd = -1;

  /** A descriptor, or -errno. */
  open({ path, pathBytes }: Entry, flags: number): number {
    const name = nameAt(path, pathBytes);
    // Directly below "/", or "/" itself: there is no directory to keep.
    if (name === 0) return this.#opener.open(path, pathBytes, flags);
    const directory = this.#enter(path, pathBytes, name - 1);
    if (directory < 0) return directory;
    return openat2(directory, this.#name.of(path, name, pathBytes), flags, RESOLVE_WITHOUT_LINKS);
  }

  close(): void {
    if (this.#directoryFd >= 0) closeFd(this.#directoryFd);
    this.#opener.close();
  }

  /** The directory that an entry lies in, the first `bytes` of its path: open until the next one is entered; or -errno. */
  #enter(path: Uint8Array, pathBytes: number, bytes: number): number {
    if (this.#isDirectory(path, bytes)) return this.#directoryFd;
    const fd = this.#opener.openParent(path, pathBytes);
    if (fd < 0) return fd;
    if (this.#directoryFd >= 0) closeFd(this.#directoryFd);
    this.#directoryFd = fd;
    if (bytes > this.#directory.length) this.#directory = new Uint8Array(new ArrayBuffer(2 * bytes));
    for (let at = 0; at < bytes; at++) this.#directory[at] = path[at] as number;
    this.#directoryBytes = bytes;
    return fd;
  }

  #isDirectory(path: Uint8Array, bytes: number): boolean {
    if (bytes !== this.#directoryBytes) return false;
    // The end differs first.
    for (let at = bytes - 1; at >= 0; at--) if (path[at] !== this.#directory[at]) return false;
    return true;
  }
}
