/** @module How much data each part of the tree bench has, and what its rows are called. */

/** The sets of data; `many` (a million files) is measured only when asked for. */
export const PARTS = ["small", "mixed", "big", "many"] as const;
export type Part = (typeof PARTS)[number];
export const USUAL_PARTS: readonly Part[] = ["small", "mixed", "big"];

export interface TreeSizes {
  readonly tiny: boolean;
  readonly smallFiles: number;
  readonly mixedMb: number;
  readonly bigMb: number;
  readonly manyFiles: number;
  /** Text that the files' text is cut from. */
  readonly corpusMb: number;
  readonly rounds: number;
}

export const TREE_FULL: TreeSizes = {
  tiny: false,
  smallFiles: 200_000,
  mixedMb: 3000,
  bigMb: 4096,
  manyFiles: 1_000_000,
  corpusMb: 96,
  rounds: 3,
};

/** Only shows that it works. */
export const TREE_TINY: TreeSizes = {
  tiny: true,
  smallFiles: 600,
  mixedMb: 6,
  bigMb: 8,
  manyFiles: 2000,
  corpusMb: 2,
  rounds: 1,
};

/** What generate.py is asked for. */
export function generatorArguments(part: Part, sizes: TreeSizes): readonly string[] {
  const count = {
    small: ["--files", String(sizes.smallFiles)],
    mixed: ["--mb", String(sizes.mixedMb)],
    big: ["--mb", String(sizes.bigMb)],
    many: ["--files", String(sizes.manyFiles)],
  }[part];
  return [...count, "--corpus-mb", String(sizes.corpusMb)];
}
