/** @module An entry's attributes onto what was made for it: owner, extended attributes and ACLs, mode, time, flags; in
 *  this order, since each undoes some of the next.
 *  (1) A file whose owner could not be set gets no setuid and no setgid bit: it would lend another's rights.
 *  (2) The time is set last: what bears the backup's time has all of its attributes, and a restore that goes on after an
 *      interruption can rely on it. Only immutable and append-only, which forbid everything else, come after it.
 *  (3) Nothing here follows a symbolic link. */
import { errorText } from "../../base/ffi.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  CPath,
  EMPTY_PATH,
  EOPNOTSUPP,
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  flistxattr,
  fremovexattr,
  fsetxattr,
  futimens,
  inodeFlags,
  llistxattr,
  lremovexattr,
  lsetxattr,
  NativeBuffer,
  setInodeFlags,
  type Statx,
  UTIME_OMIT,
  utimensat,
} from "../../base/files.ts";
import { type Entry, KIND } from "../entry.ts";

/** Numbers of the backup's users and groups on this computer, where they differ. */
export interface Identities {
  readonly users: ReadonlyMap<number, number>;
  readonly groups: ReadonlyMap<number, number>;
}

export const SAME_IDENTITIES: Identities = { users: new Map(), groups: new Map() };

/** The attribute bits that a restore sets; statx and chattr agree on them. */
const FLAGS_SET = 0x74;
const LOCKING_FLAGS = 0x30;
const SETID_BITS = 0o6000;
const UNCHANGED_ID = 0xffffffff;
const XATTR_LIST_BYTES = 65536;
/** Names that are the backup's to say; others (labels of security modules) are the system's. */
const OURS = /^(?:user\.|trusted\.|system\.posix_acl_|security\.capability$)/;
const ACLS = ["system.posix_acl_access", "system.posix_acl_default"].map((text) => Buffer.from(text));

export class Attributes {
  readonly #identities: Identities;
  readonly #complain: (entry: Entry, text: string) => void;
  readonly #name = new CPath();
  readonly #value = new CPath();
  readonly #proc = new CPath();
  readonly #list = new NativeBuffer(XATTR_LIST_BYTES);

  /** `complain` hears of each attribute that could not be set. */
  constructor(identities: Identities, complain: (entry: Entry, text: string) => void) {
    this.#identities = identities;
    this.#complain = complain;
  }

  /** Of a file that was made just now and belongs to `uid` and `gid`; its mode is to be set in any case. */
  setNew(fd: number, entry: Entry, uid: number, gid: number, inheritedAcl: boolean): void {
    const owned = this.#setOwner(fd, entry, uid, gid);
    if (inheritedAcl) this.#removeAcls(fd);
    if (entry.xattrs !== null) this.#setXattrs(fd, entry);
    this.#setMode(fd, entry, owned);
    this.#setTime(fd, entry);
  }

  /** Of a file or directory that was there, or that may have inherited something; `found` is what it is now. */
  setExisting(fd: number, entry: Entry, found: Statx): void {
    const owned = this.#setOwner(fd, entry, found.uid, found.gid);
    this.#removeForeignXattrs(fd, entry);
    if (entry.xattrs !== null) this.#setXattrs(fd, entry);
    this.#setMode(fd, entry, owned);
    this.#setTime(fd, entry);
  }

  /** Of a symbolic link or special file: `pathFd` was opened with O_PATH, and lies in `directory` under the name. */
  setUnopened(pathFd: number, directory: number, name: Uint8Array, entry: Entry, found: Statx): void {
    const uid = this.#identities.users.get(entry.uid) ?? entry.uid;
    const gid = this.#identities.groups.get(entry.gid) ?? entry.gid;
    let owned = true;
    if (uid !== found.uid || gid !== found.gid) {
      const result = fchownat(pathFd, EMPTY_PATH, uid, gid, AT_EMPTY_PATH);
      owned = result === 0;
      if (!owned) this.#complain(entry, `owner ${uid}:${gid}: ${errorText(result)}`);
    }
    this.#syncXattrsOf(this.#procPath(directory, name), entry);
    if (entry.kind !== KIND.symlink) {
      const mode = owned ? entry.mode : entry.mode & ~SETID_BITS;
      const result = fchmodat(AT_FDCWD, this.#procPath(pathFd, null), mode);
      if (result < 0) this.#complain(entry, `mode ${mode.toString(8)}: ${errorText(result)}`);
    }
    const result = utimensat(
      pathFd,
      EMPTY_PATH,
      0,
      UTIME_OMIT,
      entry.mtimeSeconds,
      entry.mtimeNs,
      AT_EMPTY_PATH,
    );
    if (result < 0) this.#complain(entry, `time: ${errorText(result)}`);
  }

  /** Immutable, append-only, nodump, compressed. */
  setFlags(fd: number, entry: Entry): void {
    if (entry.kind !== KIND.file && entry.kind !== KIND.directory) return;
    const wanted = entry.attributes & FLAGS_SET;
    const flags = inodeFlags(fd);
    if (flags < 0) {
      if (wanted !== 0) this.#complain(entry, `flags: ${errorText(flags)}`);
      return;
    }
    const next = (flags & ~FLAGS_SET) | wanted;
    if (next === flags) return;
    const result = setInodeFlags(fd, next);
    if (result >= 0) return;
    // What only saves space is not worth losing the rest of the flags for.
    const needed = next & ~0x04;
    if (result === -EOPNOTSUPP && needed !== next) {
      if (needed === (flags & ~0x04) || setInodeFlags(fd, needed) >= 0) {
        this.#complain(entry, "flag compressed: the file system has none");
        return;
      }
    }
    this.#complain(entry, `flags: ${errorText(result)}`);
  }

  /** Takes immutable and append-only off, so that it can be changed; false: it had neither, or keeps them. */
  unlock(fd: number): boolean {
    const flags = inodeFlags(fd);
    if (flags < 0 || (flags & LOCKING_FLAGS) === 0) return false;
    return setInodeFlags(fd, flags & ~LOCKING_FLAGS) >= 0;
  }

  #setOwner(fd: number, entry: Entry, uidNow: number, gidNow: number): boolean {
    const { users, groups } = this.#identities;
    const uid = users.size === 0 ? entry.uid : (users.get(entry.uid) ?? entry.uid);
    const gid = groups.size === 0 ? entry.gid : (groups.get(entry.gid) ?? entry.gid);
    if (uid === uidNow && gid === gidNow) return true;
    const result = fchown(fd, uid, gid);
    if (result === 0) return true;
    // A group of one's own can be set by anybody.
    if (uid !== uidNow && gid !== gidNow) fchown(fd, UNCHANGED_ID, gid);
    this.#complain(entry, `owner ${uid}:${gid}: ${errorText(result)}`);
    return false;
  }

  #setMode(fd: number, entry: Entry, owned: boolean): void {
    const mode = owned ? entry.mode : entry.mode & ~SETID_BITS;
    const result = fchmod(fd, mode);
    if (result < 0) this.#complain(entry, `mode ${mode.toString(8)}: ${errorText(result)}`);
  }

  #setTime(fd: number, entry: Entry): void {
    const result = futimens(fd, 0, UTIME_OMIT, entry.mtimeSeconds, entry.mtimeNs);
    if (result < 0) this.#complain(entry, `time: ${errorText(result)}`);
  }

  #setXattrs(fd: number, entry: Entry): void {
    for (const { name, value } of xattrsOf(entry)) {
      const result = fsetxattr(fd, this.#name.of(name), this.#value.of(value), value.length);
      if (result < 0) this.#complain(entry, `attribute ${Buffer.from(name)}: ${errorText(result)}`);
    }
  }

  #removeAcls(fd: number): void {
    for (const name of ACLS) fremovexattr(fd, this.#name.of(name));
  }

  #removeForeignXattrs(fd: number, entry: Entry): void {
    const bytes = flistxattr(fd, this.#list.address, XATTR_LIST_BYTES);
    if (bytes <= 0) return;
    for (const name of foreignNames(this.#list.bytes.subarray(0, bytes), entry)) {
      fremovexattr(fd, this.#name.of(name));
    }
  }

  #syncXattrsOf(path: number, entry: Entry): void {
    const bytes = llistxattr(path, this.#list.address, XATTR_LIST_BYTES);
    if (bytes > 0) {
      for (const name of foreignNames(this.#list.bytes.subarray(0, bytes), entry)) {
        lremovexattr(path, this.#name.of(name));
      }
    }
    if (entry.xattrs === null) return;
    for (const { name, value } of xattrsOf(entry)) {
      const result = lsetxattr(path, this.#name.of(name), this.#value.of(value), value.length);
      if (result < 0) this.#complain(entry, `attribute ${Buffer.from(name)}: ${errorText(result)}`);
    }
  }

  #procPath(fd: number, name: Uint8Array | null): number {
    const head = Buffer.from(`/proc/self/fd/${fd}`);
    return this.#proc.of(name === null ? head : Buffer.concat([head, Buffer.from("/"), name]));
  }
}

/** Of `entry.xattrs`: views into it. */
export function* xattrsOf(entry: Entry): Generator<{ name: Uint8Array; value: Uint8Array }> {
  const bytes = entry.xattrs;
  if (bytes === null) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + 2 <= bytes.length) {
    const nameBytes = view.getUint16(at, true);
    const valueAt = at + 2 + nameBytes + 4;
    if (valueAt > bytes.length) return;
    const valueBytes = view.getUint32(valueAt - 4, true);
    if (valueAt + valueBytes > bytes.length) return;
    yield {
      name: bytes.subarray(at + 2, at + 2 + nameBytes),
      value: bytes.subarray(valueAt, valueAt + valueBytes),
    };
    at = valueAt + valueBytes;
  }
}

/** Names in a NUL-separated list that the backup would have, had the file had them then. */
function foreignNames(list: Uint8Array, entry: Entry): Uint8Array[] {
  const wanted = new Set<string>();
  for (const { name } of xattrsOf(entry)) wanted.add(Buffer.from(name).toString("latin1"));
  return Buffer.from(list)
    .toString("latin1")
    .split("\0")
    .filter((name) => name !== "" && !wanted.has(name) && OURS.test(name))
    .map((name) => Buffer.from(name, "latin1"));
}
