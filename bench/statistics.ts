/** @module Several rounds as one figure: the median, with the least and the most beside it. */

export interface Figure {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly rounds: readonly number[];
}

export function figureOf(rounds: readonly number[]): Figure {
  if (rounds.length === 0) throw new Error("no rounds");
  const sorted = rounds.toSorted((left, right) => left - right);
  const at = (index: number) => sorted[index] as number;
  const middle = Math.floor(sorted.length / 2);
  const median = sorted.length % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2;
  return { median, least: at(0), most: at(sorted.length - 1), rounds };
}
