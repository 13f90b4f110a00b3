/** @module May this path take a lost member's place? New and empty disks may, and the array's own earlier member of
 *  the same number; nothing else is written over. */
import type { Geometry } from "./geometry.ts";
import {
  blankCheckpoints,
  closeMember,
  inspectMember,
  type Member,
  newMember,
  openMember,
} from "./member.ts";

export type Replacement =
  | { readonly kind: "rebuilding"; readonly path: string }
  | { readonly kind: "refused"; readonly path: string; readonly reason: string };

export function inspectReplacement(
  path: string,
  index: number,
  arrayId: string,
  members: readonly { readonly index: number; readonly path: string }[],
): (Replacement & { kind: "refused" }) | null {
  const refused = (reason: string) => ({ kind: "refused", path, reason }) as const;
  const other = members.find((member) => member.path === path && member.index !== index);
  if (other !== undefined) return refused(`it is member ${other.index} of this array`);
  const found = inspectMember(path);
  if (found.kind === "new") return null;
  if (found.kind !== "member") return refused(found.cause);
  const { superblock } = found;
  if (superblock.arrayId !== arrayId)
    return refused(`it belongs to another cache array (of ${superblock.owner})`);
  if (superblock.memberIndex !== index)
    return refused(`it is member ${superblock.memberIndex} of this array`);
  return null;
}

/** Makes the disk ready to be rebuilt; a state other than "rebuilding" says, with the cause, that it is not. */
export function openReplacement(
  path: string,
  index: number,
  geometry: Geometry,
  wantDirect: boolean,
  probeAddress: number,
): Member {
  const member = newMember(index, path);
  const trouble = openMember(member, geometry, wantDirect, probeAddress);
  if (trouble !== "" || blankCheckpoints(member) < 0) {
    closeMember(member);
    member.cause = trouble === "" ? "cannot be written" : trouble;
    return member;
  }
  member.state = "rebuilding";
  member.cause = "being rebuilt";
  return member;
}
