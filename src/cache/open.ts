/** @module Finds, checks or makes the members of a cache array.
 *  (1) Everything is looked at before anything is written.
 *  (2) A foreign file, one of another array or device, or of another shape stops the start; it is never written.
 *  (3) An array is made only where ALL members are new; an empty disk among members is a lost member.
 *  (4) Members carry generation 0 until all are made, and the array is used only when all carry more: one torn while
 *      being made is made again, or finished, whole. */

import { PARITY } from "../../wasm/ring/layout.ts";
import { errorText } from "../base/ffi.ts";
import type { SharedMemory } from "../base/memory.ts";
import { CacheArray } from "./array.ts";
import { type CacheListener, cacheEvent } from "./events.ts";
import type { Checkpoint, Superblock } from "./format.ts";
import { type Geometry, type Parity, planGeometry } from "./geometry.ts";
import { type MemberIo, systemIo } from "./io.ts";
import {
  blankCheckpoints,
  closeMember,
  type Inspection,
  inspectMember,
  type Member,
  newMember,
  openMember,
} from "./member.ts";

export interface CacheArrayOptions {
  readonly shared: SharedMemory;
  /** Name of the directing device whose journal this is. */
  readonly owner: string;
  readonly memberPaths: readonly string[];
  readonly parity: Parity;
  readonly stripBytes: number;
  readonly cacheBytes: number;
  readonly ringBytes: number;
  /** Default: true. */
  readonly wantDirect?: boolean;
  readonly io?: MemberIo;
  readonly onEvent?: CacheListener;
}

export type OpenOutcome =
  | { readonly kind: "open"; readonly array: CacheArray; readonly created: boolean }
  /** `path`: the file concerned; "" where the shape itself is impossible. */
  | { readonly kind: "refused"; readonly path: string; readonly reason: string };

type Refused = Extract<OpenOutcome, { kind: "refused" }>;
type Found = { readonly path: string; readonly inspection: Inspection };

export function openCacheArray(options: CacheArrayOptions): OpenOutcome {
  const { memberPaths, parity, stripBytes, cacheBytes, ringBytes, owner } = options;
  const plan = planGeometry({ members: memberPaths.length, parity, stripBytes, cacheBytes, ringBytes });
  if (plan.kind === "impossible") return refused("", `${plan.key}: expected ${plan.expected}`);
  const twice = memberPaths.find((path, index) => memberPaths.indexOf(path) !== index);
  if (twice !== undefined) return refused(twice, "named twice as a member");
  const found = memberPaths.map((path) => ({ path, inspection: inspectMember(path) }));
  const refusal = checkForeign(found, owner, plan.geometry);
  if (refusal !== null) return refusal;
  const isNew = found.every(({ inspection }) => {
    return (
      inspection.kind === "new" || (inspection.kind === "member" && inspection.superblock.generation === 0)
    );
  });
  return isNew ? create(options, plan.geometry) : reopen(options, plan.geometry, found);
}

function refused(path: string, reason: string): Refused {
  return { kind: "refused", path, reason };
}

/** The first file that must not be touched, and why. */
function checkForeign(found: readonly Found[], owner: string, geometry: Geometry): Refused | null {
  let first: { path: string; superblock: Superblock } | null = null;
  for (const [index, { path, inspection }] of found.entries()) {
    if (inspection.kind === "foreign") return refused(path, inspection.cause);
    if (inspection.kind !== "member") continue;
    const { superblock } = inspection;
    if (superblock.owner !== owner)
      return refused(path, `belongs to the device ${superblock.owner}, not ${owner}`);
    if (superblock.generation === 0) continue;
    const different = shapeDifference(superblock, geometry);
    if (different !== "") return refused(path, `of another shape: ${different}`);
    if (superblock.memberIndex !== index)
      return refused(path, `is member ${superblock.memberIndex} of its array, not ${index}`);
    if (first === null) first = { path, superblock };
    else if (first.superblock.arrayId !== superblock.arrayId)
      return refused(path, `belongs to another cache array than ${first.path}`);
  }
  return null;
}

function shapeDifference(superblock: Superblock, geometry: Geometry): string {
  for (const key of ["members", "parity", "stripBytes", "cacheBytes"] as const)
    if (superblock[key] !== geometry[key])
      return `its ${key} is ${superblock[key]}, ${geometry[key]} is configured`;
  return "";
}

function create(options: CacheArrayOptions, geometry: Geometry): OpenOutcome {
  const members = options.memberPaths.map((path, index) => newMember(index, path));
  for (const member of members) {
    const trouble =
      open(member, geometry, options) || (blankCheckpoints(member) < 0 ? "cannot be written" : "");
    if (trouble !== "") {
      for (const opened of members) closeMember(opened);
      return refused(member.path, trouble);
    }
    member.state = "good";
    member.cause = "";
  }
  const arrayId = crypto.randomUUID().replaceAll("-", "");
  // Generation 0 on all, then 1 on all (4).
  const array = assemble(options, geometry, members, arrayId, -1, null);
  if (!array.writeMembership() || !array.writeMembership() || array.state !== "healthy") {
    const bad = array.health().members.find((member) => member.state !== "good");
    array.close();
    return refused(bad?.path ?? "", bad?.cause ?? errorText(-5));
  }
  tell(options, array, "cacheCreated");
  return { kind: "open", array, created: true };
}

function reopen(options: CacheArrayOptions, geometry: Geometry, found: readonly Found[]): OpenOutcome {
  let newest: Superblock | null = null;
  for (const { inspection } of found)
    if (
      inspection.kind === "member" &&
      (newest === null || inspection.superblock.generation > newest.generation)
    )
      newest = inspection.superblock;
  const members: Member[] = [];
  let checkpoint: Checkpoint | null = null;
  for (const [index, { path, inspection }] of found.entries()) {
    const member = newMember(index, path);
    members.push(member);
    member.cause = standing(inspection, newest, index, geometry);
    if (inspection.kind !== "member" || inspection.sizeBytes < geometry.memberBytes) continue;
    if (inspection.superblock.generation === 0 && member.cause !== "") continue;
    // Begun again from the start, so one round of superblocks that it missed in a crash does no harm.
    const { rebuilding: began, generation } = inspection.superblock;
    const rebuilding = began && generation >= (newest?.generation ?? 0) - 1;
    const trouble = open(member, geometry, options);
    if (trouble === "in use by another process") {
      for (const opened of members) closeMember(opened);
      return refused(path, trouble);
    }
    if (trouble !== "") {
      closeMember(member);
      member.cause = trouble;
    } else if (rebuilding) {
      member.state = "rebuilding";
      member.cause = "being rebuilt";
    } else {
      member.state = member.cause === "" ? "good" : "failed";
      const candidate = inspection.checkpoint;
      const counts = member.state === "good" && candidate !== null;
      if (counts && (checkpoint === null || candidate.generation > checkpoint.generation))
        checkpoint = candidate;
    }
  }
  if (newest === null)
    return refused(found[0]?.path ?? "", `no member of the array can be read: ${members[0]?.cause ?? ""}`);
  const array = assemble(options, geometry, members, newest.arrayId, newest.generation, checkpoint);
  // Who is missing now must be known as such when it comes back.
  if (array.state !== "lost") array.writeMembership();
  tell(options, array, array.state === "lost" ? "cacheLost" : "cacheOpened");
  return { kind: "open", array, created: false };
}

/** "" where the member may be believed, else why not. */
function standing(
  inspection: Inspection,
  newest: Superblock | null,
  index: number,
  geometry: Geometry,
): string {
  if (inspection.kind === "new") return "absent or empty";
  if (inspection.kind !== "member") return inspection.cause;
  const { generation, arrayId } = inspection.superblock;
  const torn = newest !== null && newest.generation <= 1 && newest.arrayId === arrayId; // (4)
  if (generation === 0 && !torn) return "was never part of the array";
  if (newest !== null && (newest.outMask & (1 << index)) !== 0)
    return "was lost earlier: replace it to rebuild it";
  if (inspection.sizeBytes < geometry.memberBytes)
    return `cut short: ${inspection.sizeBytes} of ${geometry.memberBytes} bytes`;
  return "";
}

function open(member: Member, geometry: Geometry, options: CacheArrayOptions): string {
  return openMember(member, geometry, options.wantDirect ?? true, options.shared.base + PARITY);
}

function assemble(
  options: CacheArrayOptions,
  geometry: Geometry,
  members: Member[],
  arrayId: string,
  generation: number,
  checkpoint: Checkpoint | null,
): CacheArray {
  return new CacheArray({
    shared: options.shared,
    geometry,
    members,
    arrayId,
    owner: options.owner,
    generation,
    checkpoint,
    io: options.io ?? systemIo,
    wantDirect: options.wantDirect ?? true,
    onEvent: options.onEvent ?? (() => {}),
  });
}

function tell(
  options: CacheArrayOptions,
  array: CacheArray,
  transition: "cacheCreated" | "cacheOpened" | "cacheLost",
): void {
  const severity = array.state === "healthy" ? "info" : array.state === "degraded" ? "warning" : "alarm";
  options.onEvent?.(
    cacheEvent(severity, transition, `cache: ${array.describe()}`, { arrayId: array.arrayId }),
  );
}
