/** @module Frames: a 32-byte header and stored bytes, at a multiple of 16.
 *
 *      0   4  magic "FRAM"            12  4  stored bytes
 *      4   1  kind                    16  4  number
 *      5   1  codec                   20  4  check
 *      6   2  zero                    24  8  xxHash3 of the plain bytes
 *      8   4  plain bytes
 *
 *  (1) The check is the low half of the xxHash3 of: the header with a zero check, the frame's offset (u64), the archive's
 *      salt (u64). So neither a frame of another archive that was itself backed up nor one at another place is
 *      ever taken for a frame of this one. */
import { pwriteFully } from "../../base/ffi.ts";
import { damaged, ioError, writeFault } from "./faults.ts";
import { readFully } from "./files.ts";
import {
  aligned,
  FRAME,
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  FRAME_MAGIC,
  FRAME_PLAIN_BYTES_MAX,
  type FrameKind,
} from "./layout.ts";
import type { ReadFault, WriteFault } from "./types.ts";
import type { Workspace } from "./workspace.ts";

const SEALED_BYTES = FRAME_HEADER_BYTES + 16;

/** What binds frame headers to their archive and place. */
export class Seal {
  readonly #bytes = new Uint8Array(SEALED_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);

  constructor(salt: bigint) {
    this.#view.setBigUint64(FRAME_HEADER_BYTES + 8, salt, true);
  }

  /** The check of the header at `at` of a workspace if its frame stands at `offset` of the file. */
  check(workspace: Workspace, at: number, offset: number): number {
    for (let byte = 0; byte < FRAME_HEADER_BYTES; byte++)
      this.#bytes[byte] = workspace.bytes[at + byte] as number;
    this.#view.setUint32(FRAME.check, 0, true);
    this.#view.setUint32(FRAME_HEADER_BYTES, offset % 2 ** 32, true);
    this.#view.setUint32(FRAME_HEADER_BYTES + 4, Math.floor(offset / 2 ** 32), true);
    return Number(BigInt(Bun.hash.xxHash3(this.#bytes)) & 0xffffffffn);
  }

  /** True if a frame header of this archive that belongs to `offset` lies at `at`. */
  fits(workspace: Workspace, at: number, offset: number): boolean {
    const { view } = workspace;
    if (view.getUint32(at + FRAME.magic, true) !== FRAME_MAGIC) return false;
    return view.getUint32(at + FRAME.check, true) === this.check(workspace, at, offset);
  }
}

/** Packs a frame in memory. */
export interface FrameDraft {
  /** Where the frame begins in the workspace: header, then stored bytes, then zeros to the next multiple of 16. */
  at: number;
  storedBytes: number;
  /** Header, stored bytes and zeros. */
  bytes: number;
}

/** Packs the plain bytes at `frameAt` + FRAME_HEADER_BYTES, where they may also stay if they do not shrink; `packedAt`
 *  is another place of the same size. The header is sealed later, when the offset is known. */
export function packFrame(
  workspace: Workspace,
  frame: {
    kind: FrameKind;
    codec: number;
    number: number;
    frameAt: number;
    packedAt: number;
    plainBytes: number;
  },
): FrameDraft {
  const { bytes, view } = workspace;
  const plainAt = frame.frameAt + FRAME_HEADER_BYTES;
  const { plainBytes } = frame;
  const packed =
    workspace
      .codec(frame.codec)
      ?.compress(plainAt, plainBytes, frame.packedAt + FRAME_HEADER_BYTES, plainBytes) ?? 0;
  const at = packed > 0 ? frame.packedAt : frame.frameAt;
  const storedBytes = packed > 0 ? packed : plainBytes;
  view.setUint32(at + FRAME.magic, FRAME_MAGIC, true);
  view.setUint8(at + FRAME.kind, frame.kind);
  view.setUint8(at + FRAME.codec, packed > 0 ? frame.codec : 0);
  view.setUint16(at + FRAME.zero, 0, true);
  view.setUint32(at + FRAME.plainBytes, plainBytes, true);
  view.setUint32(at + FRAME.storedBytes, storedBytes, true);
  view.setUint32(at + FRAME.number, frame.number, true);
  view.setBigUint64(at + FRAME.hash, workspace.hash(plainAt, plainBytes), true);
  const end = at + FRAME_HEADER_BYTES + storedBytes;
  const total = aligned(FRAME_HEADER_BYTES + storedBytes);
  bytes.fill(0, end, at + total);
  return { at, storedBytes, bytes: total };
}

/** Seals a packed frame for its place and writes it there. */
export function writeFrame(
  workspace: Workspace,
  fd: number,
  seal: Seal,
  draft: FrameDraft,
  offset: number,
): WriteFault | null {
  workspace.view.setUint32(draft.at + FRAME.check, seal.check(workspace, draft.at, offset), true);
  const put = pwriteFully(fd, workspace.base + draft.at, draft.bytes, offset);
  return put < 0 ? writeFault(put, `writing a frame at ${offset}`) : null;
}

/** What a frame at a known place must be. */
export interface FrameExpected {
  readonly kind: FrameKind;
  readonly number: number;
  readonly offset: number;
  readonly storedBytes: number;
  readonly plainBytes: number;
  /** Of the plain bytes, where another place than the frame itself tells it. */
  readonly hash?: bigint;
}

export function frameName(kind: FrameKind, number: number): string {
  const names = {
    [FRAME_KIND.chunk]: "chunk",
    [FRAME_KIND.table]: "chunk table frame",
    [FRAME_KIND.index]: "index frame",
    [FRAME_KIND.extra]: "extra frame",
  };
  return `${names[kind]} ${number}`;
}

/** Checks the frame whose header and stored bytes lie at `storedAt`, and unpacks it to `plainAt`, where there is room for
 *  `plainBytes`. Returns null, or what is wrong. */
export function unpackFrame(
  workspace: Workspace,
  seal: Seal,
  expected: FrameExpected,
  storedAt: number,
  plainAt: number,
): ReadFault | null {
  const { view } = workspace;
  const { storedBytes, plainBytes } = expected;
  const name = frameName(expected.kind, expected.number);
  if (!seal.fits(workspace, storedAt, expected.offset))
    return damaged(`${name}: no such frame at ${expected.offset}`);
  if (
    view.getUint8(storedAt + FRAME.kind) !== expected.kind ||
    view.getUint32(storedAt + FRAME.number, true) !== expected.number ||
    view.getUint32(storedAt + FRAME.storedBytes, true) !== storedBytes ||
    view.getUint32(storedAt + FRAME.plainBytes, true) !== plainBytes
  )
    return damaged(`${name}: another frame stands at ${expected.offset}`);
  const hash = view.getBigUint64(storedAt + FRAME.hash, true);
  if (expected.hash !== undefined && expected.hash !== hash)
    return damaged(`${name}: its hash is not the chunk table's`);
  const codec = workspace.codec(view.getUint8(storedAt + FRAME.codec));
  if (codec === null) return damaged(`${name}: packed by an unknown codec`);
  const got = codec.decompress(storedAt + FRAME_HEADER_BYTES, storedBytes, plainAt, plainBytes);
  if (got !== plainBytes) return damaged(`${name}: its stored bytes do not unpack`);
  if (workspace.hash(plainAt, plainBytes) !== hash)
    return damaged(`${name}: its bytes do not fit their hash`);
  return null;
}

/** Reads, checks and unpacks one frame. */
export function readFrame(
  workspace: Workspace,
  fd: number,
  seal: Seal,
  expected: FrameExpected,
  storedAt: number,
  plainAt: number,
): ReadFault | null {
  const name = frameName(expected.kind, expected.number);
  if (expected.plainBytes > FRAME_PLAIN_BYTES_MAX || expected.storedBytes > expected.plainBytes)
    return damaged(`${name}: sizes that no frame has`);
  const want = FRAME_HEADER_BYTES + expected.storedBytes;
  const got = readFully(fd, workspace.base + storedAt, want, expected.offset);
  if (got < 0) return ioError(got, `reading ${name}`);
  if (got < want) return damaged(`${name}: the file ends before it`);
  return unpackFrame(workspace, seal, expected, storedAt, plainAt);
}
