/** @module Opens what an entry's path names, however long the path, and follows no symbolic link on the way. */
import { O_RDONLY } from "../../base/ffi.ts";
import {
  CPath,
  closeFd,
  ENAMETOOLONG,
  ENOTDIR,
  O_DIRECTORY,
  O_PATH,
  openat2,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../../base/files.ts";

export const RESOLVE_WITHOUT_LINKS = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
/** The kernel takes 4095 bytes at once. */
const STEP_BYTES = 4000;
const SLASH = 0x2f;

/** Walks from one directory (by default the root of the file system). One to a thread. */
export class Opener {
  readonly #rootFd: number;
  readonly #isOwn: boolean;
  readonly #path = new CPath();

  constructor(rootFd?: number) {
    this.#isOwn = rootFd === undefined;
    this.#rootFd = rootFd ?? openat2(-1, this.#path.text("/"), O_RDONLY | O_PATH | O_DIRECTORY, 0);
  }

  /** Nothing can be opened afterwards. The caller's own directory stays open. */
  close(): void {
    if (this.#isOwn) closeFd(this.#rootFd);
  }

  /** Opens the file or directory that `path` (as in Entry: no leading slash) names: a descriptor or -errno. */
  open(path: Uint8Array, pathBytes: number, flags: number): number {
    return this.#walk(path, pathBytes, flags);
  }

  /** The directory that holds it, as an O_PATH descriptor, or -errno; its last name begins at `nameAt(path, bytes)`. */
  openParent(path: Uint8Array, pathBytes: number): number {
    if (pathBytes === 0) return -ENOTDIR;
    return this.#walk(path, Math.max(0, nameAt(path, pathBytes) - 1), O_PATH | O_DIRECTORY);
  }

  #walk(path: Uint8Array, pathBytes: number, flags: number): number {
    const name = this.#path;
    if (pathBytes === 0) return openat2(this.#rootFd, name.text("."), flags, RESOLVE_WITHOUT_LINKS);
    let dir = this.#rootFd;
    let from = 0;
    while (pathBytes - from > STEP_BYTES) {
      const to = path.lastIndexOf(SLASH, from + STEP_BYTES);
      const next =
        to <= from
          ? -ENAMETOOLONG
          : openat2(dir, name.of(path, from, to), O_PATH | O_DIRECTORY, RESOLVE_WITHOUT_LINKS);
      if (dir !== this.#rootFd) closeFd(dir);
      if (next < 0) return next;
      dir = next;
      from = to + 1;
    }
    const fd = openat2(dir, name.of(path, from, pathBytes), flags, RESOLVE_WITHOUT_LINKS);
    if (dir !== this.#rootFd) closeFd(dir);
    return fd;
  }
}

/** Where the last name of a path begins. */
export function nameAt(path: Uint8Array, pathBytes: number): number {
  // From -1 the search would begin at the buffer's end, behind the path.
  return pathBytes === 0 ? 0 : path.lastIndexOf(SLASH, pathBytes - 1) + 1;
}
