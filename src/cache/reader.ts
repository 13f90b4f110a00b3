/** @module Reads journal bytes back from the members: for a drive that was demoted to disk, for recovery.
 *
 *  (1) A strip is read from its member only while the member table says that it is right there; else, and where the
 *      disk refuses, it is the XOR of the other members' strips.
 *  (2) Nothing is written, so any thread may read with a reader of its own while the cache Worker writes.
 *  (3) Reads go through the page cache (the members' writers may use O_DIRECT; the kernel keeps the two coherent): any
 *      alignment will do. A long read is announced to all disks before its strips are asked for one by one, together
 *      with as much of what follows: so all disks work at once, and while the drive takes the last piece too.
 *
 *  A reader believes the array, not the data: whoever reads checks the entries' hashes.
 */

import { dataMember, MEMBER_DATA, parityMember } from "../../wasm/stripe/layout.ts";
import { openStripe, type StripeExports } from "../../wasm/stripe/stripe.ts";
import { EIO, libc, O_RDONLY, openFile } from "../base/ffi.ts";
import type { SharedMemory } from "../base/memory.ts";
import { DISK_BLOCK_BYTES, type Geometry } from "./geometry.ts";
import { type MemberIo, systemIo } from "./io.ts";
import { MemberTable } from "./table.ts";

/** Where in the shared memory a reader may put strips while it reconstructs: its thread's own. */
export interface Scratch {
  readonly offset: number;
  readonly bytes: number;
}

export interface JournalReader {
  /** Brings journal bytes [J, J + bytes) to a native address; returns `bytes`, or -errno. */
  read(J: number, bytes: number, address: number): number;
  /** The same with all strips of one member reconstructed, as if it were gone. */
  readWithout(member: number, J: number, bytes: number, address: number): number;
  readonly geometry: Geometry;
}

const NONE = -1;

export class CacheReader implements JournalReader {
  readonly geometry: Geometry;
  /** Strips (or parts of them) that had to be reconstructed, and reads that a member refused. */
  reconstructions = 0;
  readErrors = 0;
  readonly #table: MemberTable;
  readonly #kernel: StripeExports;
  readonly #io: MemberIo;
  readonly #base: number;
  readonly #scratch: Scratch;
  readonly #partBytes: number;
  readonly #fds: Int32Array;
  readonly #replacements: Int32Array;
  /** Stripes in [from, to) were announced to the disks. */
  #announcedFromJ = 0;
  #announcedToJ = 0;

  constructor(shared: SharedMemory, geometry: Geometry, scratch: Scratch, io: MemberIo = systemIo) {
    this.geometry = geometry;
    this.#table = new MemberTable(shared);
    this.#kernel = openStripe(shared.memory);
    this.#io = io;
    this.#base = shared.base;
    this.#scratch = scratch;
    const partBytes = Math.floor(scratch.bytes / geometry.members / DISK_BLOCK_BYTES) * DISK_BLOCK_BYTES;
    this.#partBytes = Math.min(partBytes, geometry.stripBytes);
    if (this.#partBytes === 0) throw new Error("the reader's scratch area is too small for its members");
    this.#fds = new Int32Array(geometry.members).fill(NONE);
    this.#replacements = new Int32Array(geometry.members);
  }

  /** From now on the member is read through `fd` (-1: not at all); the reader does not own it. */
  setMember(member: number, fd: number): void {
    this.#fds[member] = fd;
    this.#replacements[member] = this.#table.replacements(member);
  }

  /** Opens the member for reading; a negative result is -errno (then it is read by parity). */
  openMember(member: number, path: string): number {
    const fd = openFile(path, O_RDONLY);
    const before = this.#fds[member] ?? NONE;
    if (before >= 0) libc.close(before);
    this.setMember(member, Math.max(fd, NONE));
    return fd;
  }

  /** Closes what `openMember` opened. */
  close(): void {
    for (const fd of this.#fds) if (fd >= 0) libc.close(fd);
    this.#fds.fill(NONE);
  }

  read(J: number, bytes: number, address: number): number {
    if (bytes > this.geometry.stripeBytes) this.#announce(J, bytes);
    return this.#read(J, bytes, address, NONE);
  }

  readWithout(member: number, J: number, bytes: number, address: number): number {
    return this.geometry.parityStrips === 0 ? -EIO : this.#read(J, bytes, address, member);
  }

  #read(J: number, bytes: number, address: number, leftOut: number): number {
    const { stripeBytes, stripBytes, members, parityStrips, slots } = this.geometry;
    let done = 0;
    while (done < bytes) {
      const at = J + done;
      const inStripe = at % stripeBytes;
      const slot = Math.floor(at / stripeBytes) % slots;
      const strip = Math.floor(inStripe / stripBytes);
      const inStrip = inStripe % stripBytes;
      const part = Math.min(bytes - done, stripBytes - inStrip);
      const parity = parityStrips === 0 ? NONE : parityMember(slot % members, members);
      const member = dataMember(strip, parity, members);
      const offset = MEMBER_DATA + slot * stripBytes + inStrip;
      if (
        (member === leftOut || !this.#readStrip(member, at - inStripe, slot, part, address + done, offset)) &&
        !this.#reconstruct(member, at - inStripe, slot, part, address + done, offset)
      )
        return -EIO;
      done += part;
    }
    return bytes;
  }

  /** Prefetches [J, J + 2 x bytes) but for what was announced by the read before. */
  #announce(J: number, bytes: number): void {
    const { stripeBytes, stripBytes, slots } = this.geometry;
    const follows = J >= this.#announcedFromJ && J <= this.#announcedToJ;
    const fromJ = follows ? this.#announcedToJ : J - (J % stripeBytes);
    const stripes = Math.ceil((J + 2 * bytes - fromJ) / stripeBytes);
    if (stripes <= 0) return;
    this.#announcedFromJ = J;
    this.#announcedToJ = fromJ + stripes * stripeBytes;
    const slot = (fromJ / stripeBytes) % slots;
    const beforeLapEnd = Math.min(stripes, slots - slot);
    for (let member = 0; member < this.#fds.length; member++) {
      const fd = this.#fds[member] ?? NONE;
      if (fd < 0) continue;
      this.#io.prefetch(member, fd, MEMBER_DATA + slot * stripBytes, beforeLapEnd * stripBytes);
      if (beforeLapEnd < stripes)
        this.#io.prefetch(member, fd, MEMBER_DATA, Math.min(slots, stripes - beforeLapEnd) * stripBytes);
    }
  }

  #readStrip(
    member: number,
    stripeJ: number,
    slot: number,
    bytes: number,
    address: number,
    at: number,
  ): boolean {
    const fd = this.#fds[member] ?? NONE;
    if (fd < 0 || !this.#table.isGood(member, stripeJ, slot)) return false;
    if (this.#replacements[member] !== this.#table.replacements(member)) return false;
    if (this.#io.pread(member, fd, address, bytes, at) === bytes) return true;
    this.readErrors++;
    return false;
  }

  /** The member's bytes as the XOR of all others' at the same place. */
  #reconstruct(
    member: number,
    stripeJ: number,
    slot: number,
    bytes: number,
    address: number,
    at: number,
  ): boolean {
    if (this.geometry.parityStrips === 0) return false;
    this.reconstructions++;
    const { offset } = this.#scratch;
    const others = this.geometry.members - 1;
    for (let done = 0; done < bytes; ) {
      const part = Math.min(this.#partBytes, bytes - done);
      let source = offset;
      for (let other = 0; other <= others; other++) {
        if (other === member) continue;
        if (!this.#readStrip(other, stripeJ, slot, part, this.#base + source, at + done)) return false;
        source += this.#partBytes;
      }
      this.#kernel.xorStrips(offset, others, this.#partBytes, part, source);
      libc.memcpy(address + done, this.#base + source, part);
      done += part;
    }
    return true;
  }
}

/** A reader for another thread than the cache Worker's, over the device's memory. Members that cannot be opened are
 *  read by parity. After `replaceMember` in the cache Worker, call `openMember` with the new path. */
export function openCacheReader(
  shared: SharedMemory,
  geometry: Geometry,
  memberPaths: readonly string[],
  scratch: Scratch,
  io: MemberIo = systemIo,
): CacheReader {
  const reader = new CacheReader(shared, geometry, scratch, io);
  for (const [member, path] of memberPaths.entries()) reader.openMember(member, path);
  return reader;
}
