/** @module Keeps memory warm. A virtual machine gives freed memory back to its host, and its first touch afterwards is
 *  slow (0.4 GB/s seen), which would be measured in place of the program. So the ground is filled up before a stream,
 *  and given free only as fast as the stream takes it: whoever writes gets pages that were touched just before.
 *
 *  Pieces of a huge page's size are given free every other one first, so that they do not join to the large free areas
 *  that the kernel gives back. */
import { closeSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { checked, libc } from "../src/base/ffi.ts";
import type { Ground } from "./ground.ts";

const PIECE_BYTES = 2 * 1024 * 1024;
const FREE_BYTES = 256 * 1024 * 1024;
const LOOK_EVERY_MS = 10;
const PUNCH_HOLE_KEEP_SIZE = 3;

/** Does `work` while `roomBytes` of the ground are filled and given free as they are wanted. */
export async function onWarmGround<T>(ground: Ground, roomBytes: number, work: () => Promise<T>): Promise<T> {
  const ballast = new Ballast(ground, roomBytes);
  const ticker = setInterval(() => ballast.giveWay(), LOOK_EVERY_MS);
  try {
    return await work();
  } finally {
    clearInterval(ticker);
    ballast.remove();
  }
}

class Ballast {
  readonly #directory: string;
  readonly #path: string;
  readonly #fd: number;
  readonly #pieces: number;
  /** What was free when it was full, beyond what is to be kept free. */
  readonly #restBytes: number;
  #given = 0;

  constructor(ground: Ground, bytes: number) {
    this.#directory = ground.directory;
    this.#path = join(ground.directory, "ballast");
    this.#pieces = Math.ceil(bytes / PIECE_BYTES);
    this.#fd = openSync(this.#path, "w");
    const piece = new Uint8Array(PIECE_BYTES).fill(1);
    for (let done = 0; done < this.#pieces; done++) writeSync(this.#fd, piece);
    this.#restBytes = this.#freeBytes();
    this.giveWay();
  }

  #freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#directory);
    return bavail * bsize;
  }

  /** Keeps FREE_BYTES ahead of who writes. */
  giveWay(): void {
    let free = this.#freeBytes() - this.#restBytes;
    for (; free < FREE_BYTES && this.#given < this.#pieces; free += PIECE_BYTES) {
      const even = Math.ceil(this.#pieces / 2);
      const piece = this.#given < even ? 2 * this.#given : 2 * (this.#given - even) + 1;
      checked(libc.fallocate(this.#fd, PUNCH_HOLE_KEEP_SIZE, piece * PIECE_BYTES, PIECE_BYTES));
      this.#given++;
    }
  }

  remove(): void {
    closeSync(this.#fd);
    rmSync(this.#path);
  }
}
