/** @module CHAP (RFC 1994, RFC 7143 §9.2 and §12.1), one step at a time and without any I/O, for both ends.
 *
 *      initiator: CHAP_A=5,7        ─▶ target: CHAP_A=7 CHAP_I CHAP_C
 *      initiator: CHAP_N CHAP_R     ─▶ target: passed (or 0201)
 *                [ CHAP_I CHAP_C ]  ─▶        [ CHAP_N CHAP_R ]: where the initiator wants the target's proof too
 *
 *  (1) A secret is never part of a message, an error or a log line: what fails says which step, not what was said.
 *  (2) Responses are compared in constant time.
 *  (3) Neither side's own challenge, nor its own secret, is answered for the other direction (reflection, §9.2.1). */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { parseNumber } from "./keys.ts";
import type { TextPair } from "./text.ts";

/** RFC 7143 §9.2.1: at least 96 bits. */
export const CHAP_SECRET_BYTES_MIN = 12;
const CHALLENGE_BYTES_MAX = 1024;

/** Algorithms by their numbers (IANA, PPP authentication algorithms), as we offer them: MD5, which everybody has, first. Some
 *  targets (tgtd) take 7 for SHA-1, as a draft once did, and choose the first that they know. */
const ALGORITHMS: ReadonlyMap<number, { readonly hash: string; readonly challengeBytes: number }> = new Map([
  [5, { hash: "md5", challengeBytes: 16 }],
  [6, { hash: "sha1", challengeBytes: 20 }],
  [7, { hash: "sha256", challengeBytes: 32 }],
]);

export interface ChapCredentials {
  readonly user: string;
  readonly secret: Uint8Array;
}

/** How an initiator logs in; `mutual`: how the target must prove itself to it. */
export interface OwnLogin extends ChapCredentials {
  readonly mutual?: ChapCredentials;
}

/** Who may log in, and by what; `mutual`: how the target proves itself to whoever asks it to. */
export interface ChapAccess {
  readonly entries: readonly (ChapCredentials & { readonly initiator: string })[];
  readonly mutual: ChapCredentials | null;
}

export type ChapStep =
  | { readonly kind: "more" | "passed"; readonly reply: TextPair[] }
  | { readonly kind: "failed"; readonly cause: string };

const failed = (cause: string): ChapStep => ({ kind: "failed", cause });

/** Large binary values (§6.1): 0x and hexadecimal digits, or 0b and base64; null for anything else. */
export function decodeBinary(text: string): Uint8Array | null {
  const digits = text.slice(2);
  if (/^0x/i.test(text) && /^(?:[0-9a-f]{2})+$/i.test(digits))
    return Uint8Array.from(Buffer.from(digits, "hex"));
  if (/^0b/i.test(text) && digits.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(digits))
    return Uint8Array.from(Buffer.from(digits, "base64"));
  return null;
}

const encodeBinary = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString("hex")}`;

/** The response to a challenge (RFC 1994 §4.1): hash of identifier, secret, challenge. */
export function chapResponse(
  algorithm: number,
  identifier: number,
  secret: Uint8Array,
  challenge: Uint8Array,
): Uint8Array {
  const hash = ALGORITHMS.get(algorithm)?.hash ?? "md5";
  return Uint8Array.from(
    createHash(hash).update(Uint8Array.of(identifier)).update(secret).update(challenge).digest(),
  );
}

const sameBytes = (left: Uint8Array, right: Uint8Array): boolean =>
  left.length === right.length && timingSafeEqual(left, right);

const sameText = (left: string, right: string): boolean => {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(left), digest(right));
};

/** The CHAP keys of one request, each at most once; a string: what is wrong. */
function keysOf(pairs: readonly TextPair[]): ReadonlyMap<string, string> | string {
  const keys = new Map<string, string>();
  for (const [key, value] of pairs) {
    if (!isChapKey(key)) continue;
    if (keys.has(key)) return `${key} was sent twice`;
    keys.set(key, value);
  }
  return keys;
}

export const isChapKey = (key: string): boolean => /^CHAP_[AICNR]$/.test(key);

interface Challenge {
  readonly identifier: number;
  readonly bytes: Uint8Array;
}

/** CHAP_I and CHAP_C as they came; a string: what is wrong. */
function challengeOf(keys: ReadonlyMap<string, string>): Challenge | string {
  const identifier = parseNumber(keys.get("CHAP_I") ?? "");
  if (identifier < 0 || identifier > 255) return "CHAP_I is not a number from 0 to 255";
  const bytes = decodeBinary(keys.get("CHAP_C") ?? "");
  if (bytes === null || bytes.length > CHALLENGE_BYTES_MAX) return "CHAP_C is not a challenge";
  return { identifier, bytes };
}

function newChallenge(algorithm: number): Challenge {
  const bytes = Uint8Array.from(randomBytes(ALGORITHMS.get(algorithm)?.challengeBytes ?? 16));
  return { identifier: randomBytes(1)[0] ?? 0, bytes };
}

const challengePairs = ({ identifier, bytes }: Challenge): TextPair[] => [
  ["CHAP_I", String(identifier)],
  ["CHAP_C", encodeBinary(bytes)],
];

/** Has the peer answered our challenge as this user would? */
function proves(
  keys: ReadonlyMap<string, string>,
  algorithm: number,
  ours: Challenge,
  { user, secret }: ChapCredentials,
): boolean {
  const response = decodeBinary(keys.get("CHAP_R") ?? "");
  const due = chapResponse(algorithm, ours.identifier, secret, ours.bytes);
  const named = sameText(keys.get("CHAP_N") ?? "", user);
  return response !== null && sameBytes(response, due) && named;
}

/** The target's side of one login. */
export class ChapTarget {
  readonly #peer: ChapCredentials;
  readonly #own: ChapCredentials | null;
  #algorithm = 0;
  #challenge: Challenge | null = null;

  constructor(peer: ChapCredentials, own: ChapCredentials | null) {
    this.#peer = peer;
    this.#own = own;
  }

  step(pairs: readonly TextPair[]): ChapStep {
    const keys = keysOf(pairs);
    if (typeof keys === "string") return failed(keys);
    return this.#challenge === null ? this.#choose(keys) : this.#judge(keys, this.#challenge);
  }

  #choose(keys: ReadonlyMap<string, string>): ChapStep {
    const offered = (keys.get("CHAP_A") ?? "").split(",").map(parseNumber);
    // The list is in the initiator's order of preference (§6.2.1).
    const algorithm = offered.find((one) => ALGORITHMS.has(one));
    if (algorithm === undefined) return failed("CHAP: no algorithm that both sides have");
    this.#algorithm = algorithm;
    this.#challenge = newChallenge(algorithm);
    return { kind: "more", reply: [["CHAP_A", String(algorithm)], ...challengePairs(this.#challenge)] };
  }

  #judge(keys: ReadonlyMap<string, string>, ours: Challenge): ChapStep {
    if (!proves(keys, this.#algorithm, ours, this.#peer)) return failed("CHAP: wrong user or secret");
    if (!keys.has("CHAP_I") && !keys.has("CHAP_C")) return { kind: "passed", reply: [] };
    const theirs = challengeOf(keys);
    if (typeof theirs === "string") return failed(`CHAP: ${theirs}`);
    if (sameBytes(theirs.bytes, ours.bytes)) return failed("CHAP: the target's own challenge came back");
    const own = this.#own;
    if (own === null)
      return failed("CHAP: the initiator wants the target to prove itself (iscsi.mutualChap)");
    if (sameBytes(own.secret, this.#peer.secret)) return failed("CHAP: one secret for both directions");
    const response = chapResponse(this.#algorithm, theirs.identifier, own.secret, theirs.bytes);
    return {
      kind: "passed",
      reply: [
        ["CHAP_N", own.user],
        ["CHAP_R", encodeBinary(response)],
      ],
    };
  }
}

/** The authenticator of a login by CHAP; null: this initiator has no entry. */
export function chapTargetFor(access: ChapAccess, method: string, initiatorName: string): ChapTarget | null {
  if (method !== "CHAP") return null;
  const name = initiatorName.toLowerCase();
  const entry = access.entries.find(({ initiator }) => initiator.toLowerCase() === name);
  return entry === undefined ? null : new ChapTarget(entry, access.mutual);
}

/** The initiator's side of one login; `mutual`: what the target is to prove. */
export class ChapInitiator {
  readonly #own: ChapCredentials;
  readonly #mutual: ChapCredentials | null;
  #algorithm = 0;
  #challenge: Challenge | null = null;
  #answered = false;
  #proved = false;

  constructor(own: ChapCredentials, mutual: ChapCredentials | null) {
    this.#own = own;
    this.#mutual = mutual;
  }

  /** The target may let us in: we have answered, and it has proved what it was to prove. */
  get passed(): boolean {
    return this.#answered && (this.#mutual === null || this.#proved);
  }

  /** The response is on its way: the security stage may end with this request. */
  get answered(): boolean {
    return this.#answered;
  }

  /** The first request once CHAP is agreed on. */
  offer(): TextPair[] {
    return [["CHAP_A", [...ALGORITHMS.keys()].join(",")]];
  }

  step(pairs: readonly TextPair[]): ChapStep {
    const keys = keysOf(pairs);
    if (typeof keys === "string") return failed(keys);
    return this.#answered ? this.#judge(keys) : this.#respond(keys);
  }

  #respond(keys: ReadonlyMap<string, string>): ChapStep {
    const algorithm = parseNumber(keys.get("CHAP_A") ?? "");
    if (!ALGORITHMS.has(algorithm)) return failed("CHAP: the target chose an algorithm that was not offered");
    const theirs = challengeOf(keys);
    if (typeof theirs === "string") return failed(`CHAP: ${theirs}`);
    this.#algorithm = algorithm;
    this.#answered = true;
    const { user, secret } = this.#own;
    const reply: TextPair[] = [
      ["CHAP_N", user],
      ["CHAP_R", encodeBinary(chapResponse(algorithm, theirs.identifier, secret, theirs.bytes))],
    ];
    if (this.#mutual === null) return { kind: "passed", reply };
    if (sameBytes(this.#mutual.secret, secret)) return failed("CHAP: one secret for both directions");
    do this.#challenge = newChallenge(algorithm);
    while (sameBytes(this.#challenge.bytes, theirs.bytes));
    return { kind: "more", reply: [...reply, ...challengePairs(this.#challenge)] };
  }

  #judge(keys: ReadonlyMap<string, string>): ChapStep {
    if (this.#mutual === null || this.#challenge === null || this.#proved)
      return keys.size === 0
        ? { kind: "passed", reply: [] }
        : failed("CHAP: an answer that nobody asked for");
    if (!proves(keys, this.#algorithm, this.#challenge, this.#mutual))
      return failed("CHAP: the target did not prove who it is");
    this.#proved = true;
    return { kind: "passed", reply: [] };
  }
}
