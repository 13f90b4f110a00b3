/** @module Rebuilds one member from all others, a slice a step, while new stripes are written between the steps.
 *  Every member's bytes at one place XOR to zero, whatever holds the parity there: so the lost disk is the XOR of the
 *  others, place by place, and stripes need not be told apart. */

import { PARITY, PARITY_BYTES } from "../../wasm/ring/layout.ts";
import { MEMBER_DATA } from "../../wasm/stripe/layout.ts";
import type { StripeExports } from "../../wasm/stripe/stripe.ts";
import { EIO, errorText } from "../base/ffi.ts";
import type { SharedMemory } from "../base/memory.ts";
import { DISK_BLOCK_BYTES, type Geometry } from "./geometry.ts";
import type { MemberIo } from "./io.ts";
import type { Member } from "./member.ts";
import type { MemberTable } from "./table.ts";

export type RebuildOutcome = "worked" | "done" | "failed" | "idle";

/** After a read error a slice shrinks to this, so that one bad spot costs no more. */
const CAREFUL_BYTES = 65536;

export class Rebuild {
  readonly member: Member;
  readonly slotsTotal: number;
  doneBytes = 0;
  /** Bytes that some source refused: zeros lie there now. */
  unreadableBytes = 0;
  cause = "";
  readonly #shared: SharedMemory;
  readonly #geometry: Geometry;
  readonly #kernel: StripeExports;
  readonly #io: MemberIo;
  readonly #table: MemberTable;
  readonly #members: readonly Member[];
  readonly #sliceBytes: number;
  #carefulBefore = 0;

  constructor(
    shared: SharedMemory,
    geometry: Geometry,
    kernel: StripeExports,
    io: MemberIo,
    table: MemberTable,
    members: readonly Member[],
    member: Member,
    slotsTotal: number,
  ) {
    this.#shared = shared;
    this.#geometry = geometry;
    this.#kernel = kernel;
    this.#io = io;
    this.#table = table;
    this.#members = members;
    this.member = member;
    this.slotsTotal = slotsTotal;
    this.#sliceBytes = Math.floor(PARITY_BYTES / geometry.members / DISK_BLOCK_BYTES) * DISK_BLOCK_BYTES;
  }

  step(): RebuildOutcome {
    const { stripBytes } = this.#geometry;
    const left = this.slotsTotal * stripBytes - this.doneBytes;
    if (left === 0) return "done";
    const careful = this.doneBytes < this.#carefulBefore;
    const bytes = Math.min(left, careful ? Math.min(CAREFUL_BYTES, this.#sliceBytes) : this.#sliceBytes);
    const target = PARITY + (this.#geometry.members - 1) * this.#sliceBytes;
    if (this.#gather(bytes, MEMBER_DATA + this.doneBytes)) {
      this.#kernel.xorStrips(PARITY, this.#geometry.members - 1, this.#sliceBytes, bytes, target);
    } else if (!careful) {
      this.#carefulBefore = this.doneBytes + bytes;
      return "worked";
    } else {
      this.#shared.bytes.fill(0, target, target + bytes);
      this.unreadableBytes += bytes;
    }
    const { index, fd } = this.member;
    const wrote = this.#io.pwrite(index, fd, this.#shared.base + target, bytes, MEMBER_DATA + this.doneBytes);
    if (wrote !== bytes) {
      this.cause = wrote < 0 ? errorText(wrote) : errorText(-EIO);
      return "failed";
    }
    this.member.writtenBytes += bytes;
    this.doneBytes += bytes;
    this.#table.setRebuilt(index, Math.floor(this.doneBytes / stripBytes));
    return this.doneBytes === this.slotsTotal * stripBytes ? "done" : "worked";
  }

  /** All other members' bytes at one place, side by side in the scratch area. */
  #gather(bytes: number, offset: number): boolean {
    let at = this.#shared.base + PARITY;
    for (const source of this.#members) {
      if (source === this.member) continue;
      if (this.#io.pread(source.index, source.fd, at, bytes, offset) !== bytes) {
        source.errors++;
        return false;
      }
      at += this.#sliceBytes;
    }
    return true;
  }
}
