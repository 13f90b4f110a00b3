/** @module Writes the blocks of the members' first mebibyte: who is in the array, and where the tape has got to.
 *  (1) Of the two superblocks of a member one is whole at any time: the second is written when the first is durable.
 *  (2) Checkpoints go to two slots in turn: a torn one leaves the one before. */
import { ptr } from "bun:ffi";
import { present } from "../base/assert.ts";
import { EIO } from "../base/ffi.ts";
import {
  BLOCK_BYTES,
  CHECKPOINT_AT,
  type Checkpoint,
  encodeCheckpoint,
  encodeSuperblock,
  SUPERBLOCK_AT,
  SUPERBLOCK_COPY_AT,
} from "./format.ts";
import type { Geometry } from "./geometry.ts";
import { isWritable } from "./health.ts";
import type { MemberIo } from "./io.ts";
import type { Member } from "./member.ts";

/** Says that a member failed, with a negative errno; false: stop, the array is lost. */
export type MemberFailed = (member: Member, errno: number, during: string) => boolean;

export class HeadWriter {
  readonly arrayId: string;
  readonly owner: string;
  readonly #geometry: Geometry;
  readonly #io: MemberIo;
  readonly #superblock = Buffer.alloc(BLOCK_BYTES);
  readonly #checkpoint = Buffer.alloc(BLOCK_BYTES);
  #generation: number;

  constructor(geometry: Geometry, io: MemberIo, arrayId: string, owner: string, generation: number) {
    this.#geometry = geometry;
    this.#io = io;
    this.arrayId = arrayId;
    this.owner = owner;
    this.#generation = generation;
  }

  /** Writes the membership as it is now, durably, with a new generation. A member that fails over it is given to
   *  `failed`, which brings about another round: this one ends. */
  writeMembership(members: readonly Member[], failed: MemberFailed): boolean {
    this.#generation++;
    let outMask = 0;
    for (const member of members) if (member.state !== "good") outMask |= 1 << member.index;
    const { parity, stripBytes, cacheBytes } = this.#geometry;
    for (const member of members) {
      if (!isWritable(member)) continue;
      encodeSuperblock(
        {
          arrayId: this.arrayId,
          owner: this.owner,
          memberIndex: member.index,
          members: members.length,
          parity,
          stripBytes,
          cacheBytes,
          generation: this.#generation,
          outMask,
          rebuilding: member.state === "rebuilding",
        },
        this.#superblock,
      );
      for (const at of [SUPERBLOCK_AT, SUPERBLOCK_COPY_AT]) {
        const result =
          this.#put(member, this.#superblock, at) || this.#io.fdatasync(member.index, member.plainFd);
        if (result < 0) return failed(member, result, "superblock");
      }
    }
    return true;
  }

  /** Writes a checkpoint to every member; durable once they are synced. */
  writeCheckpoint(members: readonly Member[], checkpoint: Checkpoint, failed: MemberFailed): boolean {
    encodeCheckpoint(checkpoint, this.arrayId, this.#checkpoint);
    const at = present(CHECKPOINT_AT[checkpoint.generation % 2], "checkpoint slot");
    for (const member of members) {
      if (!isWritable(member)) continue;
      const result = this.#put(member, this.#checkpoint, at);
      if (result < 0 && !failed(member, result, "checkpoint")) return false;
    }
    return true;
  }

  /** 0, or -errno. */
  #put(member: Member, block: Buffer, at: number): number {
    const wrote = this.#io.pwrite(member.index, member.plainFd, Number(ptr(block)), BLOCK_BYTES, at);
    return wrote === BLOCK_BYTES ? 0 : wrote < 0 ? wrote : -EIO;
  }
}
