/** @module What the scan could not look at. It is not in the scan's list, and yet nobody deleted it: the parent's entries
 *  of it stay. */
import type { ScanRemark } from "../scan/messages.ts";

const SLASH = 0x2f;

export class Unseen {
  readonly #paths: ReadonlySet<string>;
  /** More errors than are listed: it may be anything. */
  readonly #isMore: boolean;

  /** `errors` are the scan's, `count` how many there were in all. */
  constructor(errors: readonly ScanRemark[], count = errors.length) {
    this.#paths = new Set(errors.map(({ path }) => textOf(path, path.length)));
    this.#isMore = count > errors.length;
  }

  /** Is it, or does it lie in, what could not be looked at? */
  has(path: Uint8Array, pathBytes: number): boolean {
    if (this.#isMore) return true;
    if (this.#paths.size === 0) return false;
    if (this.#paths.has("") || this.#paths.has(textOf(path, pathBytes))) return true;
    for (let at = pathBytes - 1; at > 0; at--)
      if (path[at] === SLASH && this.#paths.has(textOf(path, at))) return true;
    return false;
  }
}

function textOf(path: Uint8Array, pathBytes: number): string {
  return Buffer.from(path.buffer, path.byteOffset, pathBytes).toString("latin1");
}
