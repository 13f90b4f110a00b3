/** @module How to read the store without this program: a page for people and a program, kept as this version has them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type DurableTools, replaceFile } from "./durable.ts";
import { README, RESTORER } from "./layout.ts";
import readme from "./README.txt" with { type: "text" };
import restorer from "./restore.py" with { type: "text" };

const PAGES = [
  [README, readme],
  [RESTORER, restorer],
] as const;

/** Those that are not as this version has them: damaged, or another version's. Missing ones are not among them. */
export function otherPages(directory: string): string[] {
  return PAGES.map(([name]) => name).filter((name) => {
    const found = readPage(directory, name);
    return found !== null && !found.equals(pageBytes(name));
  });
}

/** Writes what is not as this version has it. Throws the system's errors. */
export function writePages(directory: string, tools: DurableTools): void {
  for (const [name, text] of PAGES) {
    if (readPage(directory, name)?.equals(pageBytes(name)) !== true)
      replaceFile(join(directory, name), text, tools);
  }
}

function pageBytes(name: string): Buffer {
  return Buffer.from(name === README ? readme : restorer);
}

/** null: it cannot be read. */
function readPage(directory: string, name: string): Buffer | null {
  try {
    return readFileSync(join(directory, name));
  } catch {
    return null;
  }
}
