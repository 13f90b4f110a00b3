/** @module Any number of deltas over a full index, made into one list: which records of which of them, in which order.
 *  Its length depends on how often the entries' origin changes, not on how many deltas there are. */
import { readOps } from "./delta.ts";
import { OP } from "./ops.ts";
import type { RecordPages } from "./pages.ts";
import { MalformedRecord } from "./varint.ts";

const SEGMENT_NUMBERS = 3;

/** Runs of records: source (0: the full index, n: the n-th delta above it), first ordinal, count.
 *  The runs of one source are in ascending order of ordinals and do not overlap. */
export class Segments {
  #numbers = new Float64Array(SEGMENT_NUMBERS * 16);
  length = 0;
  entries = 0;

  source(segment: number): number {
    return this.#numbers[segment * SEGMENT_NUMBERS] as number;
  }

  first(segment: number): number {
    return this.#numbers[segment * SEGMENT_NUMBERS + 1] as number;
  }

  count(segment: number): number {
    return this.#numbers[segment * SEGMENT_NUMBERS + 2] as number;
  }

  push(source: number, first: number, count: number): void {
    this.entries += count;
    const last = (this.length - 1) * SEGMENT_NUMBERS;
    const numbers = this.#numbers;
    if (last >= 0 && numbers[last] === source) {
      const end = (numbers[last + 1] as number) + (numbers[last + 2] as number);
      if (end === first) {
        numbers[last + 2] = (numbers[last + 2] as number) + count;
        return;
      }
    }
    const at = last + SEGMENT_NUMBERS;
    if (at === numbers.length) {
      this.#numbers = new Float64Array(numbers.length * 2);
      this.#numbers.set(numbers);
    }
    this.#numbers[at] = source;
    this.#numbers[at + 1] = first;
    this.#numbers[at + 2] = count;
    this.length++;
  }

  /** Whether record `ordinal` of `source` is in the list. */
  has(source: number, ordinal: number): boolean {
    for (let segment = 0; segment < this.length; segment++) {
      if (this.source(segment) !== source) continue;
      const within = ordinal - this.first(segment);
      if (within < 0) return false;
      if (within < this.count(segment)) return true;
    }
    return false;
  }
}

/** The list for `sources`: a full index, then deltas, each the difference to all before it. Throws MalformedRecord. */
export function composeSegments(sources: readonly RecordPages[]): Segments {
  let segments = new Segments();
  for (const [source, pages] of sources.entries()) {
    if (source === 0) {
      if (pages.baseCount !== null)
        throw new MalformedRecord("a difference without the index it differs from");
      if (pages.entries > 0) segments.push(0, 0, pages.entries);
    } else {
      if (pages.baseCount !== segments.entries) {
        throw new MalformedRecord("a difference to an index of another length");
      }
      segments = compose(segments, pages, source);
      if (segments.entries !== pages.entries) {
        throw new MalformedRecord("a difference that makes more or fewer entries than it says");
      }
    }
  }
  return segments;
}

function compose(base: Segments, delta: RecordPages, source: number): Segments {
  const result = new Segments();
  let inserted = 0;
  let segment = 0;
  /** Entries of the segment that are used already. */
  let used = 0;
  for (const [op, count] of readOps(delta)) {
    if (op === OP.insert) {
      result.push(source, inserted, count);
      inserted += count;
      continue;
    }
    let rest = count;
    while (rest > 0) {
      if (segment === base.length) throw new MalformedRecord("a difference to an index of another length");
      const take = Math.min(rest, base.count(segment) - used);
      if (op === OP.copy) result.push(base.source(segment), base.first(segment) + used, take);
      rest -= take;
      used += take;
      if (used === base.count(segment)) {
        segment++;
        used = 0;
      }
    }
  }
  if (segment !== base.length) throw new MalformedRecord("a difference to an index of another length");
  return result;
}
