/** @module Arguments that are paths, as the bytes that they are. */
import { readFileSync } from "node:fs";

const REPLACED = "\ufffd";

/** The arguments' own bytes: in the texts, what is not UTF-8 has been replaced. In their order on the command line. */
export function rawArguments(texts: readonly string[]): Uint8Array[] {
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
