/** @module The bytes of a member file's first mebibyte (docs/FORMATS.md, "Cache member file"): a superblock (two
 *  copies) and two checkpoint slots, each one 4 KiB block that ends with the xxHash3-64 of what is before.
 *  Codec only: nothing here touches a file. Integers are little-endian; 64-bit ones stay below 2^53. */
import type { Parity } from "./geometry.ts";

export const BLOCK_BYTES = 4096;
export const SUPERBLOCK_AT = 0;
export const CHECKPOINT_AT = [4096, 8192] as const;
export const SUPERBLOCK_COPY_AT = 12288;
/** Everything above, read in one piece. */
export const HEAD_BYTES = 16384;

export const SUPERBLOCK_SIGNATURE = "USTYCACH";
const CHECKPOINT_SIGNATURE = "USTYCKPT";
export const FORMAT_VERSION = 1;
const HASH_AT = BLOCK_BYTES - 8;
const OWNER_BYTES_MAX = 255;
export const IDENTITY_BYTES_MAX = 2048;

export interface Superblock {
  /** 32 hexadecimal digits: the same on every member. */
  readonly arrayId: string;
  /** Name of the directing device. */
  readonly owner: string;
  readonly memberIndex: number;
  readonly members: number;
  readonly parity: Parity;
  readonly stripBytes: number;
  readonly cacheBytes: number;
  /** Grows with each change of membership; 0: the array was not completely made. */
  readonly generation: number;
  /** Bit m: member m's strips are not (all) right since some generation up to this one. */
  readonly outMask: number;
  /** This member is being rebuilt. */
  readonly rebuilding: boolean;
}

export interface Checkpoint {
  readonly generation: number;
  /** Start of an entry that is not on tape yet; all before it is. */
  readonly J: number;
  /** That entry's sequence number, written or not. */
  readonly sequence: number;
  readonly image: number;
  /** Host position (logical object number) at J. */
  readonly position: number;
  /** JSON, opaque here: the image's identity. */
  readonly identity: string;
}

export type SuperblockOutcome =
  | { readonly kind: "superblock"; readonly superblock: Superblock }
  | { readonly kind: "blank" }
  | { readonly kind: "foreign"; readonly cause: string }
  | { readonly kind: "damaged"; readonly cause: string };

const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder();

function put64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

function get64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function seal(block: Uint8Array): void {
  viewOf(block).setBigUint64(HASH_AT, Bun.hash.xxHash3(block.subarray(0, HASH_AT)), true);
}

function isSealed(block: Uint8Array): boolean {
  return viewOf(block).getBigUint64(HASH_AT, true) === Bun.hash.xxHash3(block.subarray(0, HASH_AT));
}

function hasSignature(block: Uint8Array, signature: string): boolean {
  for (let i = 0; i < 8; i++) if (block[i] !== signature.charCodeAt(i)) return false;
  return true;
}

export function encodeSuperblock(superblock: Superblock, into: Uint8Array): void {
  const block = into.subarray(0, BLOCK_BYTES).fill(0);
  const view = viewOf(block);
  block.set(utf8.encode(SUPERBLOCK_SIGNATURE));
  view.setUint32(8, FORMAT_VERSION, true);
  view.setUint32(12, superblock.memberIndex, true);
  block.set(Uint8Array.fromHex(superblock.arrayId), 16);
  view.setUint32(32, superblock.members, true);
  view.setUint32(36, superblock.parity === "one" ? 1 : 0, true);
  view.setUint32(40, superblock.stripBytes, true);
  view.setUint32(44, superblock.outMask, true);
  put64(view, 48, superblock.cacheBytes);
  put64(view, 56, superblock.generation);
  view.setUint32(64, superblock.rebuilding ? 1 : 0, true);
  const owner = utf8.encode(superblock.owner).subarray(0, OWNER_BYTES_MAX);
  view.setUint32(68, owner.length, true);
  block.set(owner, 72);
  seal(block);
}

export function decodeSuperblock(block: Uint8Array): SuperblockOutcome {
  if (!hasSignature(block, SUPERBLOCK_SIGNATURE))
    return block.every((byte) => byte === 0)
      ? { kind: "blank" }
      : { kind: "foreign", cause: "a foreign signature: this is no cache member" };
  const view = viewOf(block);
  const version = view.getUint32(8, true);
  if (version !== FORMAT_VERSION)
    return { kind: "foreign", cause: `format version ${version}; this program knows ${FORMAT_VERSION}` };
  if (!isSealed(block)) return { kind: "damaged", cause: "the superblock's hash is wrong" };
  return {
    kind: "superblock",
    superblock: {
      arrayId: block.subarray(16, 32).toHex(),
      owner: fromUtf8.decode(block.subarray(72, 72 + Math.min(OWNER_BYTES_MAX, view.getUint32(68, true)))),
      memberIndex: view.getUint32(12, true),
      members: view.getUint32(32, true),
      parity: view.getUint32(36, true) === 1 ? "one" : "none",
      stripBytes: view.getUint32(40, true),
      cacheBytes: get64(view, 48),
      generation: get64(view, 56),
      outMask: view.getUint32(44, true),
      rebuilding: view.getUint32(64, true) === 1,
    },
  };
}

/** `identity` must have passed `fitsIdentity`. */
export function encodeCheckpoint(checkpoint: Checkpoint, arrayId: string, into: Uint8Array): void {
  const block = into.subarray(0, BLOCK_BYTES).fill(0);
  const view = viewOf(block);
  block.set(utf8.encode(CHECKPOINT_SIGNATURE));
  put64(view, 8, checkpoint.generation);
  block.set(Uint8Array.fromHex(arrayId), 16);
  put64(view, 32, checkpoint.J);
  put64(view, 40, checkpoint.sequence);
  put64(view, 48, checkpoint.image);
  put64(view, 56, checkpoint.position);
  const identity = utf8.encode(checkpoint.identity);
  view.setUint32(64, identity.length, true);
  block.set(identity, 128);
  seal(block);
}

export function fitsIdentity(identity: string): boolean {
  return utf8.encode(identity).length <= IDENTITY_BYTES_MAX;
}

/** null: no sound checkpoint of this array lies there. */
export function decodeCheckpoint(block: Uint8Array, arrayId: string): Checkpoint | null {
  if (!hasSignature(block, CHECKPOINT_SIGNATURE) || !isSealed(block)) return null;
  if (block.subarray(16, 32).toHex() !== arrayId) return null;
  const view = viewOf(block);
  return {
    generation: get64(view, 8),
    J: get64(view, 32),
    sequence: get64(view, 40),
    image: get64(view, 48),
    position: get64(view, 56),
    identity: fromUtf8.decode(
      block.subarray(128, 128 + Math.min(IDENTITY_BYTES_MAX, view.getUint32(64, true))),
    ),
  };
}
