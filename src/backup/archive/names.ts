/** @module Paths, which are bytes, as text. In JSON: a string where the bytes are UTF-8, {"b64": ...} where they are not; for
 *  people: one line, whatever the bytes are. */

export type JsonPath = string | { readonly b64: string };

export function pathToJson(path: Uint8Array): JsonPath {
  const text = Buffer.from(path.buffer, path.byteOffset, path.length).toString("utf8");
  if (Buffer.from(text, "utf8").equals(path)) return text;
  return { b64: Buffer.from(path).toString("base64") };
}

export function pathFromJson(path: JsonPath): Uint8Array {
  const bytes = typeof path === "string" ? Buffer.from(path, "utf8") : Buffer.from(path.b64, "base64");
  return new Uint8Array(bytes);
}

/** With its leading slash. What a terminal must not see, and what is not UTF-8, as \n, \x1b, ... */
export function pathLine(path: Uint8Array): string {
  const whole = textOf(path);
  if (whole !== null && !UNSEEMLY.test(whole)) return `/${whole}`;
  let line = "/";
  // What does not decode comes out byte by byte.
  for (let at = 0; at < path.length; ) {
    const { text, bytes } = characterAt(path, at);
    line += text;
    at += bytes;
  }
  return line;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** What steers a terminal or is not to be seen, and the sign of an escape. */
const UNSEEMLY = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\\]/u;
const ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\t": "\\t", "\\": "\\\\" };

function characterAt(path: Uint8Array, at: number): { text: string; bytes: number } {
  const first = path[at] as number;
  const bytes = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  const text = textOf(path.subarray(at, at + bytes));
  if (text === null) return { text: hexOf(path.subarray(at, at + 1)), bytes: 1 };
  if (!UNSEEMLY.test(text)) return { text, bytes };
  return { text: ESCAPES[text] ?? hexOf(path.subarray(at, at + bytes)), bytes };
}

/** null: not UTF-8. */
function textOf(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes.slice());
  } catch {
    return null;
  }
}

function hexOf(bytes: Uint8Array): string {
  return [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
}
