/** @module Patterns over the bytes of paths: `*` and `?` within a name, `**` over directories, [sets], {one,other}.
 *  (1) A pattern without a slash is one of names, wherever they are; one with a slash in front is of whole paths; any
 *      other is of the ends of paths.
 *  (2) The time that a match takes is at most the product of both lengths. */
import { type Malformed, malformed } from "../../base/brands.ts";

export interface PathPattern {
  matches(path: Uint8Array, pathBytes: number): boolean;
}

export interface PatternOptions {
  /** a to z are the same as A to Z. */
  readonly ignoreCase?: boolean;
}

type Token =
  | { readonly kind: "byte"; readonly byte: number }
  /** One character of UTF-8, or one byte that is not part of any. */
  | { readonly kind: "any" }
  | {
      readonly kind: "set";
      readonly codes: readonly (readonly [from: number, to: number])[];
      readonly not: boolean;
    }
  /** Anything within a name. */
  | { readonly kind: "star" }
  /** Anything. */
  | { readonly kind: "everything" }
  /** Nothing, or any directories with the slash behind them. */
  | { readonly kind: "directories" };

const SLASH = 0x2f;
const ALTERNATIVES_MAX = 256;

export function parsePattern(text: string, options: PatternOptions = {}): PathPattern | Malformed {
  const alternatives = expandBraces(text);
  if (alternatives === null) return malformed(text, `at most ${ALTERNATIVES_MAX} alternatives in braces`);
  const parsed = alternatives.map((one) => new Alternative(one, options.ignoreCase === true));
  if (parsed.some(({ empty }) => empty)) return malformed(text, "a pattern, as '*.conf' or '/etc/**/host*'");
  const [only] = parsed;
  if (parsed.length === 1 && only !== undefined) return only;
  return { matches: (path, pathBytes) => parsed.some((one) => one.matches(path, pathBytes)) };
}

/** "a{b,c}" is "ab" and "ac"; braces without a comma or a partner stand for themselves. Null: too many. */
function expandBraces(text: string): string[] | null {
  const open = text.search(/(?<!\\)\{/);
  if (open < 0) return [text];
  const parts: string[] = [];
  let depth = 0;
  let from = open + 1;
  for (let at = open; at < text.length; at++) {
    const sign = text[at];
    if (sign === "\\") at++;
    else if (sign === "{") depth++;
    else if (sign === "," && depth === 1) {
      parts.push(text.slice(from, at));
      from = at + 1;
    } else if (sign === "}" && --depth === 0) {
      if (parts.length === 0) break;
      parts.push(text.slice(from, at));
      const found: string[] = [];
      for (const part of parts) {
        const rest = expandBraces(text.slice(0, open) + part + text.slice(at + 1));
        if (rest === null || found.length + rest.length > ALTERNATIVES_MAX) return null;
        found.push(...rest);
      }
      return found;
    }
  }
  return expandBraces(`${text.slice(0, open)}\\${text.slice(open)}`);
}

class Alternative implements PathPattern {
  readonly #tokens: readonly Token[];
  readonly #names: boolean;
  readonly #ignoreCase: boolean;

  constructor(text: string, ignoreCase: boolean) {
    this.#ignoreCase = ignoreCase;
    const tokens = tokensOf(text.replace(/^\//, "").replace(/(?<=[^/])\/$/, ""), ignoreCase);
    this.#names = !tokens.some((token) => isSlash(token) || token.kind === "directories");
    const anchored = text.startsWith("/");
    // A name wherever it is, and the end of a path, are both what follows some directories.
    this.#tokens = anchored ? tokens : [{ kind: "directories" }, ...tokens];
    if (anchored) this.#names = false;
  }

  get empty(): boolean {
    return this.#tokens.length === 0 || (this.#names && this.#tokens.length === 1);
  }

  matches(path: Uint8Array, pathBytes: number): boolean {
    const tokens = this.#tokens;
    let at = 0;
    let token = 0;
    if (this.#names) {
      at = pathBytes;
      while (at > 0 && path[at - 1] !== SLASH) at--;
      token = 1;
    }
    // Where to go on when what follows does not fit: behind the last star, or behind the last of the wider kinds.
    let starToken = -1;
    let starAt = 0;
    let wideToken = -1;
    let wideAt = 0;
    for (;;) {
      const one = tokens[token];
      if (one === undefined) {
        if (at === pathBytes) return true;
      } else if (one.kind === "star") {
        starToken = ++token;
        starAt = at;
        continue;
      } else if (one.kind === "everything" || one.kind === "directories") {
        wideToken = ++token;
        wideAt = at;
        starToken = -1;
        continue;
      } else if (at < pathBytes) {
        const taken = this.#takes(one, path, at, pathBytes);
        if (taken > 0) {
          at += taken;
          token++;
          continue;
        }
      }
      if (starToken >= 0 && starAt < pathBytes && path[starAt] !== SLASH) {
        at = ++starAt;
        token = starToken;
        continue;
      }
      if (wideToken < 0 || wideAt >= pathBytes) return false;
      wideAt++;
      if (tokens[wideToken - 1]?.kind === "directories") {
        while (wideAt < pathBytes && path[wideAt - 1] !== SLASH) wideAt++;
        if (path[wideAt - 1] !== SLASH) return false;
      }
      at = wideAt;
      token = wideToken;
      starToken = -1;
    }
  }

  /** Bytes that the token takes at `at`; 0: it does not fit. */
  #takes(token: Token, path: Uint8Array, at: number, pathBytes: number): number {
    const byte = path[at] as number;
    if (token.kind === "byte") {
      return (this.#ignoreCase ? lower(byte) : byte) === token.byte ? 1 : 0;
    }
    if (byte === SLASH) return 0;
    const bytes = byte < 0x80 ? 1 : characterBytes(path, at, pathBytes);
    if (token.kind === "any") return bytes;
    if (token.kind !== "set") return 0;
    let code = byte;
    if (bytes > 1)
      code =
        Buffer.from(path.subarray(at, at + bytes))
          .toString("utf8")
          .codePointAt(0) ?? byte;
    return inSet(token.codes, code, this.#ignoreCase) !== token.not ? bytes : 0;
  }
}

function tokensOf(text: string, ignoreCase: boolean): Token[] {
  const tokens: Token[] = [];
  const characters = [...text];
  for (let at = 0; at < characters.length; at++) {
    const sign = characters[at] as string;
    if (sign === "*") {
      let stars = 1;
      while (characters[at + 1] === "*") {
        stars++;
        at++;
      }
      if (stars === 1) tokens.push({ kind: "star" });
      else if (characters[at + 1] === "/" && (tokens.length === 0 || isSlash(tokens.at(-1)))) {
        tokens.push({ kind: "directories" });
        at++;
      } else tokens.push({ kind: "everything" });
      continue;
    }
    if (sign === "?") {
      tokens.push({ kind: "any" });
      continue;
    }
    if (sign === "[") {
      const set = setOf(characters, at);
      if (set !== null) {
        tokens.push(set.token);
        at = set.end;
        continue;
      }
    }
    const literal = sign === "\\" ? (characters[++at] ?? "\\") : sign;
    for (const byte of Buffer.from(literal)) {
      tokens.push({ kind: "byte", byte: ignoreCase ? lower(byte) : byte });
    }
  }
  return tokens;
}

/** "[a-z]", "[!a-z]", "[]a]"; null: no set begins here. */
function setOf(characters: readonly string[], start: number): { token: Token; end: number } | null {
  let at = start + 1;
  const not = characters[at] === "!" || characters[at] === "^";
  if (not) at++;
  const codes: [number, number][] = [];
  for (const first = at; at < characters.length; at++) {
    if (characters[at] === "]" && at > first) return { token: { kind: "set", codes, not }, end: at };
    if (characters[at] === "\\" && at + 1 < characters.length) at++;
    const from = characters[at]?.codePointAt(0) ?? 0;
    const to = characters[at + 2]?.codePointAt(0);
    if (characters[at + 1] === "-" && to !== undefined && characters[at + 2] !== "]") {
      codes.push([from, to]);
      at += 2;
    } else codes.push([from, from]);
  }
  return null;
}

function inSet(codes: readonly (readonly [number, number])[], code: number, ignoreCase: boolean): boolean {
  const has = (one: number) => codes.some(([from, to]) => from <= one && one <= to);
  return has(code) || (ignoreCase && (has(lower(code)) || has(upper(code))));
}

function isSlash(token: Token | undefined): boolean {
  return token?.kind === "byte" && token.byte === SLASH;
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}

function upper(byte: number): number {
  return byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte;
}

/** Length of the character of UTF-8 that begins at `at`; 1 where none does. */
function characterBytes(path: Uint8Array, at: number, pathBytes: number): number {
  const byte = path[at] as number;
  const bytes = byte >= 0xf0 && byte < 0xf5 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 1;
  if (byte >= 0xf5 || at + bytes > pathBytes) return 1;
  for (let next = at + 1; next < at + bytes; next++) if (((path[next] as number) & 0xc0) !== 0x80) return 1;
  return bytes;
}
