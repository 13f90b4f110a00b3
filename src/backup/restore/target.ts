/** @module Where a restore writes: directories that are open, each with the part of the backup's paths that it stands for.
 *  (1) Everything below them is reached without following a symbolic link (`openBeneath`), anew whenever the directory
 *      changes: what somebody swaps in between leads nowhere.
 *  (2) Entries come in order, so the directory of the last one is nearly always that of the next: it stays open. */
import {
  AT_FDCWD,
  CPath,
  closeFd,
  EACCES,
  EEXIST,
  ENOENT,
  fgetxattr,
  mkdirat,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  Statx,
} from "../../base/files.ts";
import { O_RDONLY } from "../../base/ffi.ts";

export interface Mount {
  /** Leading part of the backup's paths that is left out below `fd`, without a slash at its end; may be empty. */
  readonly prefix: Uint8Array;
  /** Of the directory, open in this process. */
  readonly fd: number;
  /** For people: where it is. */
  readonly directory: string;
}

const SLASH = 0x2f;
/** Of a directory that no entry describes. */
const PARENT_MODE = 0o755;
/** Longest path that the kernel takes at once, without the NUL. */
const PATH_BYTES_MAX = 4095;
const BENEATH = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
const HERE = Uint8Array.of(0x2e);
const DEFAULT_ACL = new TextEncoder().encode("system.posix_acl_default");

const name = new CPath();

/** Opens what lies at bytes [from, to) of `path` below `root`: no link is followed, no length is too long. Nothing
 *  between `from` and `to`: the root itself. A descriptor or -errno. */
export function openBeneath(root: number, path: Uint8Array, from: number, to: number, flags: number): number {
  if (from >= to) return openat2(root, name.of(HERE), flags, BENEATH);
  let directory = root;
  let start = from;
  for (;;) {
    let end = to;
    if (end - start > PATH_BYTES_MAX) {
      end = start + PATH_BYTES_MAX;
      while (path[end] !== SLASH) end--;
    }
    const last = end === to;
    const how = last ? flags | O_NOFOLLOW : O_PATH | O_DIRECTORY;
    const next = openat2(directory, name.of(path, start, end), how, BENEATH);
    if (directory !== root) closeFd(directory);
    if (last || next < 0) return next;
    directory = next;
    start = end + 1;
  }
}

/** Opens a mount's directory as its user named it: links in that name are the user's own. */
export function openDirectory(path: Uint8Array): number {
  return openat2(AT_FDCWD, name.of(path), O_RDONLY | O_DIRECTORY, 0);
}

/** Makes a directory and those above it, as `mkdir -p`; 0 or -errno. */
export function makeDirectories(path: Uint8Array): number {
  for (let at = 1; at <= path.length; at++) {
    if (at < path.length && path[at] !== SLASH) continue;
    const result = mkdirat(AT_FDCWD, name.of(path, 0, at), PARENT_MODE);
    // Where a parent may not be written to, it matters only if it is missing: then the next one fails.
    if (result < 0 && result !== -EEXIST && at === path.length) return result;
  }
  return 0;
}

export class Target {
  readonly #mounts: readonly Mount[];
  readonly #statx = new Statx();
  #open: Uint8Array = new Uint8Array(new ArrayBuffer(4096));
  /** Bytes of the open directory's path with its slash; -1: none is open. */
  #openBytes = -1;
  #directory = -1;
  #ownersKnown = false;
  /** Who owns what is newly made in the open directory, once `learnOwners` saw one. */
  newUid = 0;
  newGid = 0;
  /** The open directory hands an ACL down to what is made in it. */
  handsDownAcl = false;
  /** Set by `locate`: the mount, and where the path goes on below it. */
  mount: Mount;
  restFrom = 0;
  /** Set by `parentOf`: where the last component begins. */
  nameFrom = 0;

  constructor(mounts: readonly Mount[]) {
    const first = mounts[0];
    if (first === undefined) throw new Error("a target without a directory");
    this.#mounts = mounts;
    this.mount = first;
  }

  /** Which mount a path belongs to; false: none. Where `restFrom` is the path's end, it is the mount's directory itself. */
  locate(path: Uint8Array, pathBytes: number): boolean {
    for (const mount of this.#mounts) {
      const length = mount.prefix.length;
      if (pathBytes < length || !startsWith(path, mount.prefix)) continue;
      if (length > 0 && pathBytes > length && path[length] !== SLASH) continue;
      this.mount = mount;
      this.restFrom = length === 0 ? 0 : Math.min(pathBytes, length + 1);
      return true;
    }
    return false;
  }

  /** The directory that holds the entry, open until the next call, or -errno; `nameFrom` is set. Not for a mount's own
   *  directory. */
  parentOf(path: Uint8Array, pathBytes: number): number {
    let end = pathBytes;
    while (end > 0 && path[end - 1] !== SLASH) end--;
    if (this.#openBytes === end && this.#isOpen(path, end)) {
      this.nameFrom = end;
      return this.#directory;
    }
    this.forget();
    if (!this.locate(path, pathBytes)) return -ENOENT;
    const to = Math.max(this.restFrom, end - 1);
    let fd = openBeneath(this.mount.fd, path, this.restFrom, to, O_RDONLY | O_DIRECTORY);
    if (fd === -EACCES) fd = openBeneath(this.mount.fd, path, this.restFrom, to, O_PATH | O_DIRECTORY);
    if (fd < 0) return fd;
    this.nameFrom = end;
    this.#directory = fd;
    this.#remember(path, end);
    this.#ownersKnown = false;
    this.handsDownAcl = fgetxattr(fd, name.of(DEFAULT_ACL), 0, 0) > 0;
    return fd;
  }

  /** The open directory may have become another one. */
  forget(): void {
    if (this.#directory >= 0) closeFd(this.#directory);
    this.#directory = -1;
    this.#openBytes = -1;
  }

  /** Makes the directories between the mount and the entry where they are missing; 0 or -errno. `made` hears of each
   *  by the length of its path. */
  makeParents(
    path: Uint8Array,
    pathBytes: number,
    made: (pathBytes: number) => void,
    mode = PARENT_MODE,
  ): number {
    if (!this.locate(path, pathBytes)) return -ENOENT;
    const root = this.mount.fd;
    let current = root;
    let start = this.restFrom;
    let result = 0;
    for (let at = start; at < pathBytes && result >= 0; at++) {
      if (path[at] !== SLASH) continue;
      const outcome = mkdirat(current, name.of(path, start, at), mode);
      if (outcome === 0) made(at);
      else if (outcome !== -EEXIST) result = outcome;
      if (result < 0) break;
      const next = openBeneath(current, path, start, at, O_PATH | O_DIRECTORY);
      if (current !== root) closeFd(current);
      current = next;
      if (next < 0) return next;
      start = at + 1;
    }
    if (current !== root) closeFd(current);
    return result;
  }

  /** `fd` was newly made in the open directory: what is made there later belongs to the same. Asked once a directory. */
  learnOwners(fd: number): void {
    if (this.#ownersKnown || this.#statx.of(fd) < 0) return;
    this.newUid = this.#statx.uid;
    this.newGid = this.#statx.gid;
    this.#ownersKnown = true;
  }

  #isOpen(path: Uint8Array, bytes: number): boolean {
    const open = this.#open;
    // Siblings differ at the end.
    for (let at = bytes - 1; at >= 0; at--) if (open[at] !== path[at]) return false;
    return true;
  }

  #remember(path: Uint8Array, bytes: number): void {
    if (bytes > this.#open.length) this.#open = new Uint8Array(new ArrayBuffer(bytes * 2));
    this.#open.set(path.subarray(0, bytes));
    this.#openBytes = bytes;
  }
}

function startsWith(path: Uint8Array, prefix: Uint8Array): boolean {
  for (let at = 0; at < prefix.length; at++) if (path[at] !== prefix[at]) return false;
  return true;
}
