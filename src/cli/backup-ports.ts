/** @module What the commands of the backup tree know of their surroundings, beside the console: replaced in tests. */
import { readSync } from "node:fs";
import { thisComputer } from "../backup/store/computer.ts";
import type { Computer } from "../backup/store/contract.ts";

export interface BackupSurroundings {
  /** Milliseconds since 1970. */
  wallMs(): number;
  computer(): Computer;
  /** Shows the question and waits for a line; null: nobody sits there. */
  ask(question: string): string | null;
}

const LINE_BYTES_MAX = 1024;
const NEWLINE = 10;

export const surroundings: BackupSurroundings = {
  wallMs: () => Date.now(),
  computer: thisComputer,
  ask(question) {
    if (process.stdin.isTTY !== true || process.stderr.isTTY !== true) return null;
    process.stderr.write(question);
    const line = Buffer.alloc(LINE_BYTES_MAX);
    let length = 0;
    while (length < line.length) {
      const got = readSync(0, line, length, 1, null);
      if (got === 0 || line[length] === NEWLINE) break;
      length += got;
    }
    return line.toString("utf8", 0, length);
  },
};
