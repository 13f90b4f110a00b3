/** @module Extended attributes (ACLs, capabilities, labels among them) in the form that Entry.xattrs keeps. Not part of the
 *  scan: a change of them changes ctime, so the run asks for new and changed entries only. */
import {
  CPath,
  closeFd,
  ENODATA,
  EOPNOTSUPP,
  fgetxattr,
  flistxattr,
  lgetxattr,
  llistxattr,
  NativeBuffer,
} from "../../base/files.ts";
import { nameAt, type Opener } from "./open.ts";

/** The kernel's limit for the list of names and for one value. */
const LIMIT_BYTES = 65536;
const DIRECT_BYTES = 4000;

interface Attribute {
  readonly name: Uint8Array;
  readonly value: Uint8Array;
}

/** One to a thread. */
export class XattrReader {
  readonly #names = new NativeBuffer(LIMIT_BYTES);
  readonly #value = new NativeBuffer(LIMIT_BYTES);
  readonly #path = new CPath();
  readonly #opener: Opener;

  constructor(opener: Opener) {
    this.#opener = opener;
  }

  /** Of an open file or directory (not an O_PATH one): the packed list, null where there are none, or -errno. */
  ofFd(fd: number): Uint8Array | null | number {
    const { address } = this.#names;
    const listed = flistxattr(fd, address, LIMIT_BYTES);
    return this.#pack(listed, (name, into) => fgetxattr(fd, name, into, LIMIT_BYTES));
  }

  /** Of whatever the entry's path names, a symbolic link's own among them. The path up to the last name must hold no
   *  symbolic links: the scan found none. */
  ofPath(path: Uint8Array, pathBytes: number): Uint8Array | null | number {
    if (pathBytes <= DIRECT_BYTES) return this.#ofText(Buffer.from("/"), path, 0, pathBytes);
    const parent = this.#opener.openParent(path, pathBytes);
    if (parent < 0) return parent;
    try {
      return this.#ofText(Buffer.from(`/proc/self/fd/${parent}/`), path, nameAt(path, pathBytes), pathBytes);
    } finally {
      closeFd(parent);
    }
  }

  #ofText(before: Uint8Array, path: Uint8Array, from: number, to: number): Uint8Array | null | number {
    const whole = new Uint8Array(before.length + to - from);
    whole.set(before);
    whole.set(path.subarray(from, to), before.length);
    const address = this.#path.of(whole);
    const listed = llistxattr(address, this.#names.address, LIMIT_BYTES);
    return this.#pack(listed, (name, into) => lgetxattr(address, name, into, LIMIT_BYTES));
  }

  #pack(
    listed: number,
    get: (name: number, into: number) => number,
  ): Uint8Array<ArrayBuffer> | null | number {
    if (listed === 0 || listed === -EOPNOTSUPP) return null;
    if (listed < 0) return listed;
    const names = this.#names.bytes;
    const found: Attribute[] = [];
    for (let from = 0; from < listed; ) {
      const end = names.indexOf(0, from);
      const got = get(this.#names.address + from, this.#value.address);
      // Gone since it was listed, or a name that the file system lists but does not give.
      if (got < 0 && got !== -ENODATA && got !== -EOPNOTSUPP) return got;
      if (got >= 0) found.push({ name: names.slice(from, end), value: this.#value.bytes.slice(0, got) });
      from = end + 1;
    }
    return found.length === 0 ? null : packXattrs(found);
  }
}

/** [u16 name bytes, name, u32 value bytes, value]... in ascending order of names. */
export function packXattrs(list: readonly Attribute[]): Uint8Array<ArrayBuffer> {
  const sorted = [...list].sort((a, b) => Buffer.compare(a.name, b.name));
  const bytes = sorted.reduce((sum, { name, value }) => sum + 6 + name.length + value.length, 0);
  const packed = new Uint8Array(bytes);
  const view = new DataView(packed.buffer);
  let at = 0;
  for (const { name, value } of sorted) {
    view.setUint16(at, name.length, true);
    packed.set(name, at + 2);
    at += 2 + name.length;
    view.setUint32(at, value.length, true);
    packed.set(value, at + 4);
    at += 4 + value.length;
  }
  return packed;
}

/** The list behind Entry.xattrs; null: the bytes are none. */
export function unpackXattrs(packed: Uint8Array): Attribute[] | null {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  const list: Attribute[] = [];
  let at = 0;
  while (at < packed.length) {
    if (at + 2 > packed.length) return null;
    const nameEnd = at + 2 + view.getUint16(at, true);
    if (nameEnd + 4 > packed.length) return null;
    const end = nameEnd + 4 + view.getUint32(nameEnd, true);
    if (end > packed.length) return null;
    list.push({ name: packed.subarray(at + 2, nameEnd), value: packed.subarray(nameEnd + 4, end) });
    at = end;
  }
  return list;
}
