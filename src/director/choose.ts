/** @module Which drive stands in? (RED-30; step 608) The pool is one for all directing devices; every change of it is a
 *  new pool, made on the main thread, so no two devices can be given the same drive.
 *  (1) Never a failed drive, never one in use, never one that holds somebody else's cartridge.
 *  (2) First the drive that holds the cartridge already, then a good dedicated spare, then (spares = "any") any idle
 *      drive; suspects last. */
import type { Barcode, DeviceName, DriveId } from "../base/brands.ts";

export interface PoolDrive {
  readonly id: DriveId;
  readonly role: "primary" | "spare";
  /** suspect: failed for a reason that may have been the cartridge's or the path's. */
  readonly condition: "good" | "suspect" | "failed";
  readonly usedBy: DeviceName | null;
  /** The cartridge in it. */
  readonly holds: Barcode | null;
}

export type Pool = readonly PoolDrive[];

/** RED-30: only drives set aside for it, or any idle one. */
export type Spares = "dedicated" | "any";

export interface SpareRequest {
  readonly device: DeviceName;
  readonly cartridge: Barcode | null;
  readonly spares: Spares;
  /** Not to be asked again in this recovery. */
  readonly excluded: readonly DriveId[];
  /** The operator wants this one; null: any. */
  readonly wanted: DriveId | null;
}

function mayServe(drive: PoolDrive, request: SpareRequest): boolean {
  if (drive.condition === "failed" || drive.usedBy !== null) return false;
  if (drive.holds !== null && drive.holds !== request.cartridge) return false;
  if (request.wanted !== null) return drive.id === request.wanted;
  if (request.excluded.includes(drive.id)) return false;
  return drive.role === "spare" || request.spares === "any" || drive.holds !== null;
}

/** Smaller is better. */
function rank(drive: PoolDrive): number {
  return (
    (drive.condition === "suspect" ? 4 : 0) +
    (drive.holds === null ? 2 : 0) +
    (drive.role === "spare" ? 0 : 1)
  );
}

/** The chosen drive, in use from now on, or null: there is none. */
export function choose(pool: Pool, request: SpareRequest): { pool: Pool; drive: DriveId | null } {
  let best: PoolDrive | null = null;
  for (const drive of pool)
    if (mayServe(drive, request) && (best === null || rank(drive) < rank(best))) best = drive;
  if (best === null) return { pool, drive: null };
  return { pool: change(pool, best.id, { usedBy: request.device }), drive: best.id };
}

function change(pool: Pool, id: DriveId, to: Partial<PoolDrive>): Pool {
  return pool.map((drive) => (drive.id === id ? { ...drive, ...to } : drive));
}

/** Out until someone returns it. */
export function markFailed(pool: Pool, id: DriveId): Pool {
  return change(pool, id, { condition: "failed", usedBy: null });
}

/** No longer needed by its device. */
export function release(pool: Pool, id: DriveId, suspect: boolean): Pool {
  return change(pool, id, suspect ? { usedBy: null, condition: "suspect" } : { usedBy: null });
}

/** Repaired: what failed comes back as a spare, since another drive does its work now. */
export function returnDrive(pool: Pool, id: DriveId): Pool {
  return pool.map((drive) =>
    drive.id === id && drive.usedBy === null ? { ...drive, condition: "good", role: "spare" } : drive,
  );
}

/** The robot, or a host's own load, put a cartridge in or took it out. */
export function setHolds(pool: Pool, id: DriveId, holds: Barcode | null): Pool {
  return change(pool, id, { holds });
}

/** A cartridge of the reserve, as the library knows it. */
export interface ReserveCartridge {
  readonly barcode: Barcode;
  readonly capacityBytes: number;
  /** In a slot, good, and standing in for nobody. */
  readonly available: boolean;
}

/** 620, 631: the smallest that holds the image; one larger than the failed cartridge where `largerThanBytes` asks for it
 *  and there is one: its like might end as soon. null: none. */
export function chooseCartridge(
  reserve: readonly ReserveCartridge[],
  neededBytes: number,
  largerThanBytes: number | null,
): Barcode | null {
  const fit = reserve
    .filter((one) => one.available && one.capacityBytes >= neededBytes)
    .toSorted((a, b) => a.capacityBytes - b.capacityBytes);
  const larger = largerThanBytes === null ? [] : fit.filter((one) => one.capacityBytes > largerThanBytes);
  return (larger[0] ?? fit[0])?.barcode ?? null;
}
