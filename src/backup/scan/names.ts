/** @module Who the numbers of owners and groups are, by /etc/passwd and /etc/group as they stand (libc's own look-ups are
 *  not safe in threads). Kept beside the index, so that a restore elsewhere can give files to the same names. */
import { readFileSync } from "node:fs";

export interface NameTable {
  readonly nameOf: ReadonlyMap<number, string>;
  readonly numberOf: ReadonlyMap<string, number>;
}

export interface Names {
  readonly users: NameTable;
  readonly groups: NameTable;
}

/** `name:password:number:...` a line; of two lines for one number or one name the first counts, as in libc. */
export function parseNameTable(text: string): NameTable {
  const nameOf = new Map<number, string>();
  const numberOf = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [name, , digits] = line.split(":");
    if (name === undefined || name === "" || digits === undefined || !/^\d{1,10}$/.test(digits)) continue;
    if (/^[#+-]/.test(name)) continue;
    const number = Number(digits);
    if (!nameOf.has(number)) nameOf.set(number, name);
    if (!numberOf.has(name)) numberOf.set(name, number);
  }
  return { nameOf, numberOf };
}

/** The tables of this computer; `root` is another system's root folder. A missing file is an empty table. */
export function readNames(root = ""): Names {
  const table = (file: string): NameTable => {
    try {
      return parseNameTable(readFileSync(`${root}/etc/${file}`, "latin1"));
    } catch {
      return parseNameTable("");
    }
  };
  return { users: table("passwd"), groups: table("group") };
}
