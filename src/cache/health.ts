/** @module What a cache array says of itself: for the status page, the alarms, the operator's one line. */
import { formatBytes } from "../base/units.ts";
import type { Geometry } from "./geometry.ts";
import type { Member, MemberState } from "./member.ts";

export type ArrayState = "healthy" | "degraded" | "lost";

export interface MemberHealth {
  readonly path: string;
  readonly state: MemberState;
  /** Why it is not good; "" while it is. */
  readonly cause: string;
  /** How stripes are written: "O_DIRECT", or "buffered" and why. */
  readonly mode: string;
  readonly writtenBytes: number;
  readonly errors: number;
}

export interface ArrayHealth {
  readonly state: ArrayState;
  readonly parity: Geometry["parity"];
  readonly capacityBytes: number;
  /** O_DIRECT on every member in use. */
  readonly direct: boolean;
  readonly headJ: number;
  readonly durableJ: number;
  readonly checkpointJ: number;
  readonly members: readonly MemberHealth[];
  /** Null: nothing to rebuild. */
  readonly rebuild: {
    readonly member: number;
    readonly doneBytes: number;
    readonly totalBytes: number;
  } | null;
  readonly readErrors: number;
  readonly reconstructions: number;
}

export function memberHealth(member: Member): MemberHealth {
  const { path, state, cause, mode, writtenBytes, errors } = member;
  return { path, state, cause, mode, writtenBytes, errors };
}

/** A member that takes stripes. */
export function isWritable(member: Member): boolean {
  return member.state === "good" || member.state === "rebuilding";
}

/** Bit m is set: member m takes no stripes. */
export function unwritableMask(members: readonly Member[]): number {
  let mask = 0;
  for (let index = 0; index < members.length; index++) {
    const member = members[index];
    if (member !== undefined && !isWritable(member)) mask |= 1 << index;
  }
  return mask;
}

export function stateOf(members: readonly Member[], geometry: Geometry): ArrayState {
  let out = 0;
  for (const member of members) if (member.state !== "good") out++;
  return out === 0 ? "healthy" : out <= geometry.parityStrips ? "degraded" : "lost";
}

export function describeArray(state: ArrayState, members: readonly Member[], geometry: Geometry): string {
  const { parity, stripBytes, cacheBytes } = geometry;
  const each = members.map((member) => {
    return `${member.path} (${member.state === "good" ? member.mode : `${member.state}: ${member.cause}`})`;
  });
  const strips = `strips of ${stripBytes / 1024} KiB`;
  return `${state}; ${members.length} members, parity ${parity}, ${strips}, ${formatBytes(cacheBytes)} of journal; ${each.join(", ")}`;
}
