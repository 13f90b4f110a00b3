/** @module Text requests in full feature phase (RFC 7143 §11.10, Appendix C): SendTargets, and the one key that may be
 *  declared anew. Pure: pairs in, pairs out. */
import { KEYS, NOT_UNDERSTOOD, REJECT, type SessionParameters } from "../iscsi/keys.ts";
import { redeclareSegment } from "../iscsi/negotiate.ts";
import type { TextPair } from "../iscsi/text.ts";

export interface Discoverable {
  readonly targetName: string;
  /** "address:port" as seen by this initiator. */
  readonly address: string;
  readonly portalGroupTag: number;
  readonly discovery: boolean;
}

export function answerText(
  target: Discoverable,
  parameters: SessionParameters,
  pairs: readonly TextPair[],
): TextPair[] {
  const reply: TextPair[] = [];
  for (const [key, value] of pairs) {
    if (key === "SendTargets") reply.push(...sendTargets(target, value));
    else if (key === "MaxRecvDataSegmentLength") {
      const answer = redeclareSegment(parameters, value);
      if (answer !== null) reply.push([key, answer]);
    } else if (value !== NOT_UNDERSTOOD) {
      reply.push([key, Object.hasOwn(KEYS, key) ? REJECT : NOT_UNDERSTOOD]);
    }
  }
  return reply;
}

function sendTargets(target: Discoverable, value: string): TextPair[] {
  const all: TextPair[] = [
    ["TargetName", target.targetName],
    ["TargetAddress", `${target.address},${target.portalGroupTag}`],
  ];
  // "All" is for discovery sessions only; the empty value means this session's own target (RFC 7143 Appendix C).
  if (value === "All") return target.discovery ? all : [["SendTargets", REJECT]];
  if (value === "") return target.discovery ? [["SendTargets", REJECT]] : all;
  return value.toLowerCase() === target.targetName.toLowerCase() ? all : [];
}
