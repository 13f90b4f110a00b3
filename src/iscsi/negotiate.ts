/** @module Negotiation of login keys (RFC 7143 §6.2, §13), the same code for both ends and without any I/O.
 *
 *      initiator:  offers() ──text──▶ target: receive() ──its answers──▶ initiator: receive()
 *
 *  (1) A key that we offered and that comes back is an answer: it must lie within our offer, else the negotiation fails.
 *  (2) Any other negotiable key is an offer: exactly one answer goes back; unknown keys are NotUnderstood.
 *  (3) Declarations are never answered.
 *  (4) A key comes at most once from each side in a login; a second time is the peer's error.
 *  (5) Nothing counts for the session before `settle` (first burst at most the maximum burst, §13.14). */
import {
  defaultParameters,
  IRRELEVANT,
  KEYS,
  type KeyRule,
  NOT_UNDERSTOOD,
  parseBoolean,
  parseNumber,
  REJECT,
  type SessionParameters,
} from "./keys.ts";
import type { TextPair } from "./text.ts";

export type Role = "initiator" | "target";

/** What we want (as initiator) or grant (as target). */
export interface Terms {
  readonly segmentBytes: number;
  readonly maxBurstBytes: number;
  readonly firstBurstBytes: number;
  readonly initialR2T: boolean;
  readonly immediateData: boolean;
  readonly maxOutstandingR2T: number;
  readonly time2WaitSeconds: number;
  readonly time2RetainSeconds: number;
  readonly digests: readonly ("None" | "CRC32C")[];
  /** In order of preference. */
  readonly authMethods: readonly string[];
}

export const TERMS: Terms = {
  segmentBytes: 1048576,
  maxBurstBytes: 16776192,
  firstBurstBytes: 262144,
  initialR2T: false,
  immediateData: true,
  maxOutstandingR2T: 1,
  time2WaitSeconds: 2,
  time2RetainSeconds: 0,
  digests: ["None", "CRC32C"],
  authMethods: ["None"],
};

export type Received =
  | { readonly kind: "ok"; readonly reply: TextPair[] }
  /** `authentication`: no common method, to be reported as such (status 0201). */
  | { readonly kind: "failed"; readonly cause: string; readonly authentication: boolean };

export interface Negotiation {
  readonly role: Role;
  readonly terms: Terms;
  discovery: boolean;
  readonly parameters: SessionParameters;
  /** The method agreed on; null: not negotiated. */
  authMethod: string | null;
  /** Declarations of the peer (InitiatorName, TargetName ...). */
  readonly declared: Map<string, string>;
  /** Our offers that wait for an answer. */
  readonly pending: Map<string, string>;
  /** Keys that the peer sent already. */
  readonly seen: Set<string>;
  segmentDeclared: boolean;
}

export function negotiation(role: Role, terms: Terms = TERMS, discovery = false): Negotiation {
  return {
    role,
    terms,
    discovery,
    parameters: defaultParameters(),
    authMethod: null,
    declared: new Map(),
    pending: new Map(),
    seen: new Set(),
    segmentDeclared: false,
  };
}

const yesNo = (value: boolean): string => (value ? "Yes" : "No");

/** Our own term for a negotiable number or boolean. */
function termOf(terms: Terms, field: keyof SessionParameters): number | boolean {
  switch (field) {
    case "maxBurstBytes":
      return terms.maxBurstBytes;
    case "firstBurstBytes":
      return terms.firstBurstBytes;
    case "initialR2T":
      return terms.initialR2T;
    case "immediateData":
      return terms.immediateData;
    case "maxOutstandingR2T":
      return terms.maxOutstandingR2T;
    case "time2WaitSeconds":
      return terms.time2WaitSeconds;
    case "time2RetainSeconds":
      return terms.time2RetainSeconds;
    case "dataPDUInOrder":
    case "dataSequenceInOrder":
      return true;
    case "errorRecoveryLevel":
      return 0;
    default:
      return 1; // MaxConnections, iSCSIProtocolLevel
  }
}

/** The security stage's offer of an initiator. */
export function authOffer(n: Negotiation): TextPair[] {
  const value = n.terms.authMethods.join(",");
  n.pending.set("AuthMethod", value);
  return [["AuthMethod", value]];
}

/** The operational stage's offers and declarations of an initiator; iSCSIProtocolLevel and TaskReporting stay at default. */
export function operationalOffers(n: Negotiation): TextPair[] {
  const pairs: TextPair[] = [];
  for (const [key, rule] of Object.entries(KEYS)) {
    if (n.discovery && rule.notInDiscovery) continue;
    const value = offerOf(n, key, rule);
    if (value === null) continue;
    if (rule.kind !== "segment") n.pending.set(key, value);
    pairs.push([key, value]);
  }
  return pairs;
}

function offerOf(n: Negotiation, key: string, rule: KeyRule): string | null {
  switch (rule.kind) {
    case "min":
    case "max":
      return key === "iSCSIProtocolLevel" ? null : String(termOf(n.terms, rule.field));
    case "and":
    case "or":
      return yesNo(termOf(n.terms, rule.field) === true);
    case "digest":
      return n.terms.digests.join(",");
    case "segment":
      return declareSegment(n)?.[1] ?? null;
    default:
      return null;
  }
}

/** Our MaxRecvDataSegmentLength, once; null when it was declared already. */
export function declareSegment(n: Negotiation): TextPair | null {
  if (n.segmentDeclared) return null;
  n.segmentDeclared = true;
  n.parameters.ownSegmentBytes = n.terms.segmentBytes;
  return ["MaxRecvDataSegmentLength", String(n.terms.segmentBytes)];
}

const failed = (cause: string, authentication = false): Received => ({
  kind: "failed",
  cause,
  authentication,
});

/** Takes the peer's text in; what is to be said to it comes back. */
export function receive(n: Negotiation, pairs: readonly TextPair[]): Received {
  const reply: TextPair[] = [];
  // SessionType decides which keys are relevant, wherever in the text it stands.
  for (const [key, value] of pairs) if (key === "SessionType") n.discovery = value === "Discovery";
  for (const [key, value] of pairs) {
    const rule = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined;
    if (n.seen.has(key)) return failed(`${key} was sent twice`);
    n.seen.add(key);
    const offered = n.pending.get(key);
    if (offered !== undefined && rule !== undefined) {
      n.pending.delete(key);
      const cause = acceptAnswer(n, key, rule, value);
      if (cause !== "") return failed(cause, rule.kind === "auth");
      continue;
    }
    if (value === NOT_UNDERSTOOD || value === IRRELEVANT) continue;
    if (rule === undefined) {
      // An answer of ours to a key of theirs; keys that they answer are handled above.
      reply.push([key, NOT_UNDERSTOOD]);
      continue;
    }
    if (rule.kind === "declaration") {
      if (rule.by === n.role) return failed(`${key} is not the peer's to declare`);
      n.declared.set(key, value);
      continue;
    }
    const answer = answerOffer(n, rule, value);
    if (answer === null) continue;
    if (rule.kind === "auth" && answer === REJECT) return failed(`no common AuthMethod in ${value}`, true);
    reply.push([key, answer]);
  }
  return { kind: "ok", reply };
}

/** The responder's answer to an offer; null: a declaration, nothing to say. */
function answerOffer(n: Negotiation, rule: KeyRule, value: string): string | null {
  if (n.discovery && rule.notInDiscovery) return IRRELEVANT;
  const { parameters, terms } = n;
  switch (rule.kind) {
    case "min":
    case "max": {
      const offered = parseNumber(value);
      if (offered < rule.low || offered > rule.high) return REJECT;
      const own = Number(termOf(terms, rule.field));
      const result = rule.kind === "min" ? Math.min(offered, own) : Math.max(offered, own);
      parameters[rule.field] = result;
      return String(result);
    }
    case "and":
    case "or": {
      const offered = parseBoolean(value);
      if (offered === null) return REJECT;
      const own = termOf(terms, rule.field) === true;
      const result = rule.kind === "and" ? offered && own : offered || own;
      parameters[rule.field] = result;
      return yesNo(result);
    }
    case "digest": {
      for (const choice of value.split(",")) {
        for (const digest of terms.digests) {
          if (choice !== digest) continue;
          parameters[rule.field] = digest;
          return digest;
        }
      }
      return REJECT;
    }
    case "auth": {
      for (const method of value.split(",")) {
        if (!terms.authMethods.includes(method)) continue;
        n.authMethod = method;
        return method;
      }
      return REJECT;
    }
    case "taskReporting":
      return value.split(",").includes("RFC3720") ? "RFC3720" : REJECT;
    case "segment": {
      const offered = parseNumber(value);
      if (offered < rule.low || offered > rule.high) return REJECT;
      parameters.peerSegmentBytes = offered;
      return null;
    }
    case "obsolete":
      return rule.answer;
    default:
      return null;
  }
}

/** Checks the answer to an offer of ours; "" when it is acceptable. */
function acceptAnswer(n: Negotiation, key: string, rule: KeyRule, value: string): string {
  const { parameters, terms } = n;
  // The key stays at its default: our own wish is not met, but the session can work.
  if (value === NOT_UNDERSTOOD || value === IRRELEVANT || value === REJECT) {
    return rule.kind === "auth" ? `AuthMethod answered with ${value}` : "";
  }
  switch (rule.kind) {
    case "min":
    case "max": {
      const answer = parseNumber(value);
      const own = Number(termOf(terms, rule.field));
      const within = rule.kind === "min" ? answer <= own : answer >= own;
      if (answer < rule.low || answer > rule.high || !within)
        return `${key}=${value} is outside of our offer`;
      parameters[rule.field] = answer;
      return "";
    }
    case "and":
    case "or": {
      const answer = parseBoolean(value);
      const own = termOf(terms, rule.field) === true;
      const bound = rule.kind === "and" ? !own && answer === true : own && answer === false;
      if (answer === null || bound) return `${key}=${value} is outside of our offer`;
      parameters[rule.field] = answer;
      return "";
    }
    case "digest": {
      const digest = terms.digests.find((choice) => choice === value);
      if (digest === undefined) return `${key}=${value} was not offered`;
      parameters[rule.field] = digest;
      return "";
    }
    case "auth":
      if (!terms.authMethods.includes(value)) return `AuthMethod=${value} was not offered`;
      n.authMethod = value;
      return "";
    default:
      return "";
  }
}

/** Full feature phase: the parameters in force. FirstBurstLength never exceeds MaxBurstLength (RFC 7143 §13.14). */
export function settle(n: Negotiation): SessionParameters {
  const { parameters } = n;
  parameters.firstBurstBytes = Math.min(parameters.firstBurstBytes, parameters.maxBurstBytes);
  return parameters;
}

/** Text in full feature phase: only MaxRecvDataSegmentLength may be declared anew (RFC 7143 §13.12); null: not admissible. */
export function redeclareSegment(parameters: SessionParameters, value: string): string | null {
  const offered = parseNumber(value);
  if (offered < 512 || offered > 16777215) return REJECT;
  parameters.peerSegmentBytes = offered;
  return null;
}
