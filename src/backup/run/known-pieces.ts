/** @module The pieces of a content that is known, in step with those that are read: a piece that is the same is not stored
 *  again. */
import { type Entry, PIECE_BYTES, SPAN_NUMBERS } from "../entry.ts";

export class KnownPieces {
  readonly #content: Entry;
  #piece = -1;
  #from = 0;
  #to = 0;

  constructor(content: Entry) {
    this.#content = content;
  }

  next(): void {
    this.#piece++;
    this.#from = this.#to;
    const { spans, spanCount } = this.#content;
    let bytes = 0;
    while (this.#to < spanCount && bytes < PIECE_BYTES) {
      bytes += spans[this.#to * SPAN_NUMBERS + 3] as number;
      this.#to++;
    }
  }

  /** The same bytes with the same holes? `layout`: lengths of the piece's data runs, of its holes negative. */
  isSame(hash: bigint, layout: readonly number[]): boolean {
    const { spans, pieceHashes } = this.#content;
    if (pieceHashes === null || pieceHashes[this.#piece] !== hash) return false;
    if (this.#to - this.#from !== layout.length) return false;
    return layout.every((bytes, index) => {
      const at = (this.#from + index) * SPAN_NUMBERS;
      return spans[at + 3] === Math.abs(bytes) && (spans[at] === 0) === bytes < 0;
    });
  }

  take(into: Entry): void {
    const { spans } = this.#content;
    for (let span = this.#from; span < this.#to; span++) {
      const at = span * SPAN_NUMBERS;
      into.addSpan(
        spans[at] as number,
        spans[at + 1] as number,
        spans[at + 2] as number,
        spans[at + 3] as number,
      );
    }
  }
}

/** Bytes that a content stands for, holes included. */
export function bytesOf(content: Entry): number {
  let bytes = 0;
  for (let span = 0; span < content.spanCount; span++)
    bytes += content.spans[span * SPAN_NUMBERS + 3] as number;
  return bytes;
}
