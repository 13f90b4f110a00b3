/** @module Puts away what changes that were interrupted left over. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isFault, type StoreFault } from "./contract.ts";
import { faultOf, removeIfThere } from "./durable.ts";
import { PLACES, pathOf } from "./layout.ts";
import { numbersIn } from "./survey.ts";

/** Only the store's one writer may call this. */
export function sweep(directory: string): StoreFault | null {
  try {
    for (const place of PLACES) {
      mkdirSync(join(directory, place), { recursive: true, mode: 0o700 });
      const numbers = numbersIn(directory, place);
      if (isFault(numbers)) return numbers;
      const archives = new Set(numbers.archives);
      for (const name of numbers.temporary) rmSync(join(directory, place, name), { force: true });
      for (const number of numbers.marks) {
        if (!archives.has(number)) removeIfThere(pathOf(directory, place, number, "marks"));
      }
      for (const number of numbers.journals) {
        if (!archives.has(number)) removeIfThere(pathOf(directory, place, number, "journal"));
      }
    }
    return null;
  } catch (error) {
    return faultOf(directory, error);
  }
}
