/** @module What earlier failures say of a drive and of a cartridge (DESIGN, "Classifying"; FACTS: two drives failing on one
 *  cartridge: the cartridge; two cartridges failing in one drive: the drive).
 *  (1) Only what may be the thing's own fault counts: a reset or a wish for cleaning says nothing.
 *  (2) A drive that was repaired starts anew. */
import type { Barcode, DriveId } from "../base/brands.ts";
import type { Blame, Scores } from "./classify.ts";

export interface FailureRecord {
  readonly drive: DriveId;
  readonly cartridge: Barcode | null;
  readonly blame: Blame;
  readonly atMs: number;
}

export type FailureHistory = readonly FailureRecord[];

const RECORDS_MAX = 1000;
const FORGOTTEN_AFTER_MS = 90 * 24 * 3600 * 1000;

const MAY_BE_CARTRIDGE: ReadonlySet<Blame> = new Set(["cartridge", "unclear", "mechanism"]);
const MAY_BE_DRIVE: ReadonlySet<Blame> = new Set(["drive", "unclear", "mechanism"]);
const COUNTS: ReadonlySet<Blame> = new Set([...MAY_BE_CARTRIDGE, ...MAY_BE_DRIVE]);

export function addFailure(history: FailureHistory, failure: FailureRecord): FailureHistory {
  if (!COUNTS.has(failure.blame)) return history;
  const recent = history.filter((one) => failure.atMs - one.atMs < FORGOTTEN_AFTER_MS);
  return [...recent, failure].slice(-RECORDS_MAX);
}

/** The drive came back repaired. */
export function forgetDrive(history: FailureHistory, drive: DriveId): FailureHistory {
  return history.filter((one) => one.drive !== drive);
}

/** What is held against this pair by failures of others: input of classify(). */
export function scoresOf(history: FailureHistory, drive: DriveId, cartridge: Barcode | null): Scores {
  const suspecting = new Set<DriveId>();
  const dead = new Set<DriveId>();
  const spoiled = new Set<Barcode>();
  for (const one of history) {
    if (cartridge !== null && one.cartridge === cartridge && one.drive !== drive) {
      dead.add(one.drive);
      if (MAY_BE_CARTRIDGE.has(one.blame)) suspecting.add(one.drive);
    }
    if (one.drive === drive && one.cartridge !== null && one.cartridge !== cartridge) {
      if (MAY_BE_DRIVE.has(one.blame)) spoiled.add(one.cartridge);
    }
  }
  return {
    otherDrivesOnCartridge: suspecting.size,
    drivesDeadOnCartridge: dead.size,
    otherCartridgesInDrive: spoiled.size,
  };
}
