/** @module One member of a cache array: a file or block device, found, told apart, preallocated and opened.
 *  (1) A file with anything in it that is not this array's is never written.
 *  (2) `fd` carries stripes (O_DIRECT where it can be had), `plainFd` everything else. */
import { ptr } from "bun:ffi";
import { statSync } from "node:fs";
import {
  checked,
  EINVAL,
  errorText,
  libc,
  O_CREAT,
  O_DIRECT,
  O_RDWR,
  openFile,
  preadFully,
  pwriteFully,
} from "../base/ffi.ts";
import { MIB } from "../base/units.ts";
import {
  BLOCK_BYTES,
  CHECKPOINT_AT,
  type Checkpoint,
  decodeCheckpoint,
  decodeSuperblock,
  HEAD_BYTES,
  SUPERBLOCK_AT,
  SUPERBLOCK_COPY_AT,
  type Superblock,
} from "./format.ts";
import type { Geometry } from "./geometry.ts";

export type MemberState = "good" | "missing" | "failed" | "rebuilding";

const SEEK_END = 2;
const EOPNOTSUPP = 95;
const LOCK_EX_NB = 2 | 4;

export interface Member {
  readonly index: number;
  path: string;
  state: MemberState;
  /** Why it is not good, in words; "" while it is. */
  cause: string;
  fd: number;
  plainFd: number;
  /** "O_DIRECT", or why not. */
  mode: string;
  direct: boolean;
  writtenBytes: number;
  errors: number;
}

/** What lies at a path before anything is done about it. */
export type Inspection =
  /** Absent, empty, or all zeros where data could be. */
  | { readonly kind: "new" }
  | {
      readonly kind: "member";
      readonly superblock: Superblock;
      readonly checkpoint: Checkpoint | null;
      readonly sizeBytes: number;
    }
  /** Not ours to write: the start must stop. */
  | { readonly kind: "foreign"; readonly cause: string }
  /** Ours by its signature, or unreadable: the array goes on without it. */
  | { readonly kind: "damaged"; readonly cause: string };

export function newMember(index: number, path: string): Member {
  const closed = { fd: -1, plainFd: -1, mode: "closed", direct: false };
  return { index, path, state: "missing", cause: "not opened", writtenBytes: 0, errors: 0, ...closed };
}

function isZero(fd: number, bytes: Buffer, from: number): boolean {
  const got = preadFully(fd, Number(ptr(bytes)), bytes.length, from);
  return got >= 0 && bytes.subarray(0, got).every((byte) => byte === 0);
}

/** Looks, and changes nothing. */
export function inspectMember(path: string): Inspection {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return { kind: "new" };
  if (!stat.isFile() && !stat.isBlockDevice())
    return { kind: "foreign", cause: "neither a file nor a block device" };
  const fd = openFile(path, 0);
  if (fd < 0) return { kind: "damaged", cause: `cannot be opened: ${errorText(fd)}` };
  try {
    const sizeBytes = checked(libc.lseek(fd, 0, SEEK_END));
    if (sizeBytes === 0) return { kind: "new" };
    const head = Buffer.alloc(HEAD_BYTES);
    const got = preadFully(fd, Number(ptr(head)), HEAD_BYTES, 0);
    if (got < 0) return { kind: "damaged", cause: `cannot be read: ${errorText(got)}` };
    const first = decodeSuperblock(head.subarray(SUPERBLOCK_AT, SUPERBLOCK_AT + BLOCK_BYTES));
    const copy = decodeSuperblock(head.subarray(SUPERBLOCK_COPY_AT, SUPERBLOCK_COPY_AT + BLOCK_BYTES));
    // A torn superblock has its copy; one that something else was written over has not.
    const sound = first.kind === "damaged" || first.kind === "blank" ? copy : first;
    if (sound.kind === "superblock")
      return {
        kind: "member",
        superblock: sound.superblock,
        checkpoint: newestCheckpoint(head, sound.superblock.arrayId),
        sizeBytes,
      };
    if (first.kind === "foreign" || first.kind === "damaged") return first;
    const mebibyte = Buffer.alloc(MIB);
    if (isZero(fd, mebibyte, 0) && isZero(fd, mebibyte, Math.max(0, sizeBytes - MIB))) return { kind: "new" };
    return { kind: "foreign", cause: "foreign data: this is no cache member" };
  } finally {
    libc.close(fd);
  }
}

function newestCheckpoint(head: Uint8Array, arrayId: string): Checkpoint | null {
  let newest: Checkpoint | null = null;
  for (const at of CHECKPOINT_AT) {
    const found = decodeCheckpoint(head.subarray(at, at + BLOCK_BYTES), arrayId);
    if (found !== null && (newest === null || found.generation > newest.generation)) newest = found;
  }
  return newest;
}

/** Opens for writing and preallocates; "" or what went wrong. `probeAddress`: 4 KiB at a 4 KiB-aligned address.
 *  Reserving the room now means that no stripe meets a full file system later. */
export function openMember(
  member: Member,
  geometry: Geometry,
  wantDirect: boolean,
  probeAddress: number,
): string {
  const plainFd = openFile(member.path, O_RDWR | O_CREAT);
  if (plainFd < 0) return errorText(plainFd);
  member.plainFd = plainFd;
  if (checked(libc.flock(plainFd, LOCK_EX_NB)) < 0) return "in use by another process";
  const blockDevice = statSync(member.path).isBlockDevice();
  const sizeBytes = checked(libc.lseek(plainFd, 0, SEEK_END));
  if (sizeBytes < geometry.memberBytes) {
    if (blockDevice) return `${sizeBytes} bytes; ${geometry.memberBytes} are needed`;
    let result = checked(libc.fallocate(plainFd, 0, 0, geometry.memberBytes));
    if (result === -EOPNOTSUPP) result = checked(libc.ftruncate(plainFd, geometry.memberBytes));
    if (result < 0) return `${geometry.memberBytes} bytes cannot be reserved: ${errorText(result)}`;
  }
  member.fd = plainFd;
  member.mode = wantDirect ? "buffered" : "buffered: by setting";
  if (!wantDirect) return "";
  const fd = openFile(member.path, O_RDWR | O_DIRECT);
  // Some file systems open with O_DIRECT and refuse the transfer.
  const probe = fd < 0 ? fd : preadFully(fd, probeAddress, BLOCK_BYTES, 0);
  if (probe < 0) {
    if (fd >= 0) libc.close(fd);
    member.mode = `buffered: O_DIRECT refused${probe === -EINVAL ? "" : ` (${errorText(probe)})`}`;
    return "";
  }
  member.fd = fd;
  member.direct = true;
  member.mode = "O_DIRECT";
  return "";
}

export function closeMember(member: Member): void {
  if (member.fd >= 0 && member.fd !== member.plainFd) libc.close(member.fd);
  if (member.plainFd >= 0) libc.close(member.plainFd);
  member.fd = member.plainFd = -1;
  member.direct = false;
  member.mode = "closed";
}

/** Zeroes the checkpoint slots of a disk that joins, so that no earlier life speaks from them. */
export function blankCheckpoints(member: Member): number {
  const zeros = Buffer.alloc(BLOCK_BYTES);
  let result = 0;
  for (const at of CHECKPOINT_AT)
    result = Math.min(result, pwriteFully(member.plainFd, Number(ptr(zeros)), BLOCK_BYTES, at));
  return result;
}
