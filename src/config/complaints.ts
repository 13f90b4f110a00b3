/** @module Turns what zod found wrong into lines for people: file, key, what was expected, what is there.
 *  What was expected is the schema's own description, so that file, checks and messages cannot drift apart. */
import { z } from "zod";

/** "3", "\"abc\"", "a table": what stands in the file, short. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "a table";
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** library.faults[2] */
export function keyText(path: readonly PropertyKey[]): string {
  let text = "";
  for (const part of path) {
    text += typeof part === "number" ? `[${part + 1}]` : text === "" ? String(part) : `.${String(part)}`;
  }
  return text;
}

function unwrapped(schema: z.core.$ZodType): z.core.$ZodType {
  return schema instanceof z.ZodOptional ? unwrapped(schema.unwrap()) : schema;
}

/** The schema that holds at a path, as deep as one can follow it. */
function schemaAt(root: z.core.$ZodType, path: readonly PropertyKey[]): z.core.$ZodType {
  let schema = root;
  for (const part of path) {
    const inner = unwrapped(schema);
    if (inner instanceof z.ZodObject) {
      const next = inner.shape[String(part)];
      if (next === undefined) return schema;
      schema = next;
    } else if (inner instanceof z.ZodArray) {
      schema = inner.element;
    } else {
      return schema;
    }
  }
  return schema;
}

function expectedOf(schema: z.core.$ZodType): string {
  for (let at = schema; ; at = unwrapped(at)) {
    const { description } = z.globalRegistry.get(at) ?? {};
    if (description !== undefined) return description;
    if (!(at instanceof z.ZodOptional)) break;
  }
  const inner = unwrapped(schema);
  if (inner instanceof z.ZodEnum) return inner.options.map((option) => JSON.stringify(option)).join(" or ");
  if (inner instanceof z.ZodObject) return "a table";
  return "another value";
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = Reflect.get(value, part);
  }
  return value;
}

/** Number of single-letter changes from one word to another. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const swap = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

/** The known word nearest to a mistyped one, where it is near enough. */
export function nearest(word: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(2, Math.floor(word.length / 2)) + 1;
  for (const candidate of known) {
    const low = candidate.toLowerCase();
    const asked = word.toLowerCase();
    const far = low.startsWith(asked) || asked.startsWith(low) ? 1 : distance(asked, low);
    if (far < bestDistance) {
      best = candidate;
      bestDistance = far;
    }
  }
  return best;
}

function unknownKeys(root: z.core.$ZodType, path: readonly PropertyKey[], keys: readonly string[]): string[] {
  const table = unwrapped(schemaAt(root, path));
  const known = table instanceof z.ZodObject ? Object.keys(table.shape) : [];
  return keys.map((key) => {
    const near = nearest(key, known);
    const hint = near === null ? `known here: ${known.join(", ")}` : `did you mean ${near}?`;
    return `${keyText([...path, key])}: unknown key; ${hint}`;
  });
}

/** One line a fault: "key: expected ..., found ...". */
export function complaints(root: z.core.$ZodType, given: unknown, error: z.core.$ZodError): string[] {
  return error.issues.flatMap((issue) => {
    if (issue.code === "unrecognized_keys") return unknownKeys(root, issue.path, issue.keys);
    const expected = expectedOf(schemaAt(root, issue.path));
    return [`${keyText(issue.path)}: expected ${expected}, found ${shown(valueAt(given, issue.path))}`];
  });
}
