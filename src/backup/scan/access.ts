/** @module How a run looks again at what the scan has listed: opens it, reads its attributes, finds its data. */
import {
  AT_SYMLINK_NOFOLLOW,
  CPath,
  closeFd,
  NativeBuffer,
  O_DIRECTORY,
  O_PATH,
  openat2,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  readlinkat,
  S_IFMT,
  S_IFREG,
  type Statx,
} from "../../base/files.ts";
import type { Entry } from "../entry.ts";
import { DataRuns } from "./data-runs.ts";
import { entryFromStatx } from "./entries.ts";
import { nameAt, Opener } from "./open.ts";
import { XattrReader } from "./xattrs.ts";

const RESOLVE = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
const LINK_BYTES_MAX = 4096;

/** One to a thread. Consecutive entries of one directory cost one walk to it. */
export class TreeReader {
  readonly #opener = new Opener();
  readonly #xattrs = new XattrReader(this.#opener);
  readonly #name = new CPath();
  readonly #link = new NativeBuffer(LINK_BYTES_MAX);
  readonly #runs = new DataRuns();
  #dirPath = new Uint8Array(new ArrayBuffer(4096));
  #dirBytes = -1;
  #dirFd = -1;

  /** Opens what an entry names without following links; a descriptor or -errno. The directory stays open. */
  open(entry: Entry, flags: number): number {
    if (entry.pathBytes === 0) return this.#opener.open(entry.path, 0, flags);
    const from = nameAt(entry.path, entry.pathBytes);
    const dir = this.#directory(entry.path, Math.max(0, from - 1));
    return dir < 0 ? dir : openat2(dir, this.#name.of(entry.path, from, entry.pathBytes), flags, RESOLVE);
  }

  /** Attributes of what the entry's path names now, itself if it is a link; 0 or -errno. */
  statxAt(entry: Entry, statx: Statx): number {
    if (entry.pathBytes === 0) return statx.at(this.#directory(entry.path, 0), this.#name.text("."));
    const from = nameAt(entry.path, entry.pathBytes);
    const dir = this.#directory(entry.path, Math.max(0, from - 1));
    const address = this.#name.of(entry.path, from, entry.pathBytes);
    return dir < 0 ? dir : statx.at(dir, address, AT_SYMLINK_NOFOLLOW);
  }

  /** Reads a symbolic link's text into the entry; 0 or -errno. */
  readLink(entry: Entry): number {
    const from = nameAt(entry.path, entry.pathBytes);
    const dir = this.#directory(entry.path, Math.max(0, from - 1));
    if (dir < 0) return dir;
    const address = this.#name.of(entry.path, from, entry.pathBytes);
    const got = readlinkat(dir, address, this.#link.address, LINK_BYTES_MAX);
    if (got < 0) return got;
    entry.linkTarget = this.#link.bytes.slice(0, got);
    return 0;
  }

  /** Reads the extended attributes of an open file into `entry.xattrs`; 0 or -errno. */
  xattrsOf(fd: number, entry: Entry): number {
    return put(entry, this.#xattrs.ofFd(fd));
  }

  /** The same of what cannot be opened: links and special files. */
  xattrsAt(entry: Entry): number {
    return put(entry, this.#xattrs.ofPath(entry.path, entry.pathBytes));
  }

  /** Attributes into an entry; its path stays, its content is cleared. */
  fill(statx: Statx, entry: Entry): void {
    entryFromStatx(entry, statx);
  }

  isRegular(statx: Statx): boolean {
    return (statx.mode & S_IFMT) === S_IFREG;
  }

  /** Data runs of an open file; a file system that cannot tell has one. */
  runsOf(fd: number, sizeBytes: number): { readonly offset: number; readonly bytes: number }[] {
    const runs = this.#runs;
    if (runs.read(fd, sizeBytes) < 0) runs.setWhole(sizeBytes);
    return Array.from({ length: runs.count }, (_, number) => {
      const offset = runs.starts[number] as number;
      return { offset, bytes: (runs.ends[number] as number) - offset };
    });
  }

  /** Closes what it keeps open. */
  close(): void {
    if (this.#dirFd >= 0) closeFd(this.#dirFd);
    this.#dirFd = this.#dirBytes = -1;
  }

  #directory(path: Uint8Array, bytes: number): number {
    if (bytes === this.#dirBytes && startsAlike(path, this.#dirPath, bytes)) return this.#dirFd;
    this.close();
    const fd = this.#opener.open(path, bytes, O_PATH | O_DIRECTORY);
    if (fd < 0) return fd;
    if (bytes > this.#dirPath.length) this.#dirPath = new Uint8Array(new ArrayBuffer(bytes * 2));
    this.#dirPath.set(path.subarray(0, bytes));
    this.#dirBytes = bytes;
    this.#dirFd = fd;
    return fd;
  }
}

function put(entry: Entry, found: Uint8Array | null | number): number {
  if (typeof found === "number") return found;
  entry.xattrs = found;
  return 0;
}

function startsAlike(a: Uint8Array, b: Uint8Array, bytes: number): boolean {
  for (let at = bytes - 1; at >= 0; at--) if (a[at] !== b[at]) return false;
  return true;
}
