/** @module Which paths are left out, said as in a .gitignore file.
 *
 *      *.o            a name, wherever it is              /build         only at the top of a source
 *      build/         a directory, wherever it is         doc/*.txt      with a slash inside: from the top of a source
 *      a/**           all that is in it                !keep.o        not left out after all
 *      (a name of two stars stands for any directories, none among them)
 *
 *  (1) The last pattern that fits decides. What is in a directory that is left out is never looked at: it cannot be
 *      brought back.
 *  (2) A pattern with a leading slash may name the absolute path: it does where its first names fit a source's own path.
 *  (3) Names are bytes. `?` and a class take one character of UTF-8, or one byte where the bytes are no UTF-8. */

const SLASH = 0x2f;
const STAR = 0x2a;
const QUESTION = 0x3f;
const BACKSLASH = 0x5c;
const OPEN = 0x5b;
const CLOSE = 0x5d;

/** One name's pattern: what each place takes. */
type Token =
  | { readonly kind: "byte"; readonly byte: number }
  | { readonly kind: "any" }
  | { readonly kind: "star" }
  | {
      readonly kind: "class";
      readonly negated: boolean;
      readonly ranges: readonly (readonly [number, number])[];
    };

type Name = { readonly kind: "names"; readonly tokens: readonly Token[] } | { readonly kind: "directories" };

interface Pattern {
  /** Brings back what an earlier pattern left out. */
  readonly negated: boolean;
  readonly directoryOnly: boolean;
  /** Fits a whole path below the source, not the last name alone. */
  readonly anchored: boolean;
  readonly leadingSlash: boolean;
  readonly names: readonly Name[];
}

const CLASSES: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
  alnum: [
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  alpha: [
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  blank: [
    [0x20, 0x20],
    [0x09, 0x09],
  ],
  cntrl: [
    [0x00, 0x1f],
    [0x7f, 0x7f],
  ],
  digit: [[0x30, 0x39]],
  graph: [[0x21, 0x7e]],
  lower: [[0x61, 0x7a]],
  print: [[0x20, 0x7e]],
  punct: [
    [0x21, 0x2f],
    [0x3a, 0x40],
    [0x5b, 0x60],
    [0x7b, 0x7e],
  ],
  space: [
    [0x09, 0x0d],
    [0x20, 0x20],
  ],
  upper: [[0x41, 0x5a]],
  xdigit: [
    [0x30, 0x39],
    [0x41, 0x46],
    [0x61, 0x66],
  ],
};

/** The lines of a file of patterns: without comments, empty lines and spaces at the end (`\ ` keeps one). */
export function parsePatterns(text: string): string[] {
  return text
    .split(/\r?\n/)
    .map((line) => line.replace(/(?<!\\)[ \t]+$/, ""))
    .filter((line) => line !== "" && !line.startsWith("#"));
}

export class Exclusions {
  readonly #patterns: readonly Pattern[];
  readonly isEmpty: boolean;

  /** `root`: the source's own path, without the leading slash. */
  constructor(patterns: readonly string[], root: Uint8Array) {
    this.#patterns = patterns.flatMap((text) => compile(text) ?? []).map((pattern) => below(pattern, root));
    this.isEmpty = this.#patterns.length === 0;
  }

  /** Is the path at [from, to) left out? It is relative to the source; its last name begins at `nameAt`. */
  has(path: Uint8Array, from: number, nameAt: number, to: number, isDirectory: boolean): boolean {
    for (let number = this.#patterns.length - 1; number >= 0; number--) {
      const pattern = this.#patterns[number] as Pattern;
      if (pattern.directoryOnly && !isDirectory) continue;
      if (fitsPath(pattern.names, path, pattern.anchored ? from : nameAt, to)) return !pattern.negated;
    }
    return false;
  }
}

function compile(text: string): Pattern | null {
  let bytes: Uint8Array = Buffer.from(text);
  const negated = bytes[0] === 0x21;
  if (negated) bytes = bytes.subarray(1);
  const leadingSlash = bytes[0] === SLASH;
  if (leadingSlash) bytes = bytes.subarray(1);
  const directoryOnly = bytes.at(-1) === SLASH;
  if (directoryOnly) bytes = bytes.subarray(0, -1);
  if (bytes.length === 0) return null;
  const parts = split(bytes);
  const names = parts.map((part): Name => {
    if (part.length === 2 && part[0] === STAR && part[1] === STAR) return { kind: "directories" };
    return { kind: "names", tokens: tokens(part) };
  });
  // "a/**" means what is in "a": at least one name.
  if (parts.length > 1 && names.at(-1)?.kind === "directories") {
    names.push({ kind: "names", tokens: [{ kind: "star" }] });
  }
  return { negated, directoryOnly, anchored: leadingSlash || parts.length > 1, leadingSlash, names };
}

/** The names of a pattern; a slash in a class or behind a backslash ends a name too: no name holds one. */
function split(bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let from = 0;
  for (let at = 0; at <= bytes.length; at++) {
    if (at < bytes.length && bytes[at] !== SLASH) continue;
    if (at > from) parts.push(bytes.subarray(from, at));
    from = at + 1;
  }
  return parts;
}

function tokens(part: Uint8Array): Token[] {
  const list: Token[] = [];
  for (let at = 0; at < part.length; at++) {
    const byte = part[at] as number;
    if (byte === STAR) {
      if (list.at(-1)?.kind !== "star") list.push({ kind: "star" });
    } else if (byte === QUESTION) list.push({ kind: "any" });
    else if (byte === OPEN) {
      const end = classEnd(part, at);
      if (end < 0) list.push({ kind: "byte", byte });
      else {
        list.push(classToken(part.subarray(at + 1, end)));
        at = end;
      }
    } else if (byte === BACKSLASH && at + 1 < part.length) {
      list.push({ kind: "byte", byte: part[++at] as number });
    } else list.push({ kind: "byte", byte });
  }
  return list;
}

/** Where the class that opens at `at` closes, or -1. */
function classEnd(part: Uint8Array, at: number): number {
  let next = at + 1;
  if (part[next] === 0x21 || part[next] === 0x5e) next++;
  if (part[next] === CLOSE) next++;
  for (; next < part.length; next++) {
    const byte = part[next];
    if (byte === BACKSLASH) next++;
    else if (byte === OPEN && part[next + 1] === 0x3a) {
      const end = Buffer.from(part.buffer, part.byteOffset, part.length).indexOf(":]", next + 2);
      if (end > 0) next = end + 1;
    } else if (byte === CLOSE) return next;
  }
  return -1;
}

function classToken(inside: Uint8Array): Token {
  const ranges: (readonly [number, number])[] = [];
  const negated = inside[0] === 0x21 || inside[0] === 0x5e;
  let at = negated ? 1 : 0;
  const take = () => {
    if (inside[at] === BACKSLASH && at + 1 < inside.length) at++;
    const length = characterBytes(inside, at, inside.length);
    at += length;
    return characterAt(inside, at - length, length);
  };
  while (at < inside.length) {
    const named = /^\[:([a-z]+):\]/.exec(Buffer.from(inside.subarray(at, at + 12)).toString("latin1"));
    const known = named === null ? undefined : CLASSES[named[1] as string];
    if (named !== null && known !== undefined) {
      ranges.push(...known);
      at += named[0].length;
      continue;
    }
    const low = take();
    if (inside[at] === 0x2d && at + 1 < inside.length) {
      at++;
      ranges.push([low, take()]);
    } else ranges.push([low, low]);
  }
  return { kind: "class", negated, ranges };
}

/** An absolute pattern seen from inside a source whose path its first names fit. */
function below(pattern: Pattern, root: Uint8Array): Pattern {
  if (!pattern.leadingSlash) return pattern;
  const own = split(root);
  if (own.length === 0 || pattern.names.length <= own.length) return pattern;
  const fits = own.every((name, number) => {
    const part = pattern.names[number];
    return part?.kind === "names" && fitsName(part.tokens, name, 0, name.length);
  });
  return fits ? { ...pattern, names: pattern.names.slice(own.length) } : pattern;
}

/** Names of the pattern against names of the path; "**" takes as few as will do, and more where the rest does not fit. */
function fitsPath(names: readonly Name[], path: Uint8Array, from: number, to: number): boolean {
  let name = 0;
  let at = from;
  let retryName = -1;
  let retryAt = 0;
  while (at <= to) {
    const part = names[name];
    if (part?.kind === "directories") {
      retryName = ++name;
      retryAt = at;
      continue;
    }
    const end = nameEnd(path, at, to);
    if (part !== undefined && fitsName(part.tokens, path, at, end)) {
      name++;
      at = end + 1;
    } else {
      if (retryName < 0) return false;
      retryAt = nameEnd(path, retryAt, to) + 1;
      at = retryAt;
      name = retryName;
    }
  }
  // More of the pattern than of the path: a longer "**" would leave even less of the path.
  return name === names.length;
}

function nameEnd(path: Uint8Array, from: number, to: number): number {
  let end = from;
  while (end < to && path[end] !== SLASH) end++;
  return end;
}

function fitsName(list: readonly Token[], bytes: Uint8Array, from: number, to: number): boolean {
  let number = 0;
  let at = from;
  let retryNumber = -1;
  let retryAt = 0;
  for (;;) {
    const token = list[number];
    if (token?.kind === "star") {
      retryNumber = ++number;
      retryAt = at;
      continue;
    }
    if (at === to) return token === undefined;
    const taken = token === undefined ? 0 : taking(token, bytes, at, to);
    if (taken > 0) {
      number++;
      at += taken;
    } else {
      if (retryNumber < 0) return false;
      at = ++retryAt;
      number = retryNumber;
    }
  }
}

/** How many bytes the token takes at `at`; 0: it does not fit. */
function taking(token: Exclude<Token, { kind: "star" }>, bytes: Uint8Array, at: number, to: number): number {
  if (token.kind === "byte") return bytes[at] === token.byte ? 1 : 0;
  const length = characterBytes(bytes, at, to);
  if (token.kind === "any") return length;
  const value = characterAt(bytes, at, length);
  const inside = token.ranges.some(([low, high]) => value >= low && value <= high);
  return inside === token.negated ? 0 : length;
}

/** How many bytes the character has that begins here: 1 where this is no UTF-8. */
function characterBytes(bytes: Uint8Array, at: number, to: number): number {
  const lead = bytes[at] as number;
  const length = lead < 0xc2 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 1;
  if (at + length > to) return 1;
  for (let next = 1; next < length; next++) {
    if (((bytes[at + next] as number) & 0xc0) !== 0x80) return 1;
  }
  return length;
}

/** Its code point; a byte that is no character of its own counts as beyond them all. */
function characterAt(bytes: Uint8Array, at: number, length: number): number {
  const lead = bytes[at] as number;
  if (length === 1) return lead < 0x80 ? lead : 0x11_0000 + lead;
  let value = lead & (0x7f >> length);
  for (let next = 1; next < length; next++) value = (value << 6) | ((bytes[at + next] as number) & 0x3f);
  return value;
}
