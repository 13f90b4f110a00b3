/** @module Arguments that are paths, as the bytes that they are. An empty one is a script's variable that was never set:
 *  it means no place at all, least of all the working directory. */
import { readFileSync } from "node:fs";
import { CommandFailure, EXIT } from "./exit.ts";

const REPLACED = "\ufffd";

/** Ends the command where the path is empty; `what` it was to name. */
export function named(path: string, what: string): string {
  if (path !== "") return path;
  throw new CommandFailure(EXIT.misused, `"": expected ${what}, not an empty argument`);
}

/** Ends the command where the place's own name is not UTF-8: the text would mean another place, beside it. */
export function place(path: string): string {
  const isOther = path.includes(REPLACED) && commandLine().some((raw) => meansOther(raw, path));
  if (!isOther) return path;
  const advice = "a symbolic link to it, with a name that is, will do";
  throw new CommandFailure(EXIT.misused, `${path}: the name is not UTF-8; ${advice}`);
}

/** "--option=VALUE" is one argument too. */
function meansOther(raw: Buffer, text: string): boolean {
  return raw.toString().endsWith(text) && !raw.subarray(-Buffer.byteLength(text)).equals(Buffer.from(text));
}

/** The arguments' own bytes: in the texts, what is not UTF-8 has been replaced. In their order on the command line.
 *  An empty one ends the command. */
export function rawArguments(texts: readonly string[]): Uint8Array[] {
  for (const text of texts) named(text, "a path");
  const given = texts.some((text) => text.includes(REPLACED)) ? commandLine() : [];
  return texts.map((text) => {
    const at = text.includes(REPLACED) ? given.findIndex((raw) => raw.toString() === text) : -1;
    // Taken out: two that differ in such bytes only have one text.
    const [raw] = at < 0 ? [] : given.splice(at, 1);
    return new Uint8Array(raw ?? Buffer.from(text));
  });
}

function commandLine(): Buffer[] {
  const line = readFileSync("/proc/self/cmdline");
  const given: Buffer[] = [];
  for (let from = 0; from < line.length; ) {
    const end = line.indexOf(0, from);
    const raw = line.subarray(from, end < 0 ? line.length : end);
    given.push(raw);
    from += raw.length + 1;
  }
  return given;
}
