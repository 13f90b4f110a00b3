/** @module Who is to blame: errors are counted per drive and per cartridge, and a failed drive stays out until an
 *  operator returns it.
 *  Two drives failing on one cartridge: the cartridge. Two cartridges failing in one drive: the drive. */
import type { Barcode, DriveId } from "../base/brands.ts";
import type { LibraryError, LibraryState } from "./state.ts";

/** Errors remembered; older ones are forgotten. */
export const ERRORS_MAX = 200;

export interface DriveHealth {
  readonly id: DriveId;
  readonly errors: number;
  /** Different cartridges that failed in it. */
  readonly cartridges: readonly Barcode[];
  readonly isSuspect: boolean;
}

export interface CartridgeHealth {
  readonly barcode: Barcode;
  readonly errors: number;
  /** Different drives in which it failed. */
  readonly drives: readonly DriveId[];
  readonly isSuspect: boolean;
}

export interface LibraryHealth {
  readonly drives: readonly DriveHealth[];
  readonly cartridges: readonly CartridgeHealth[];
}

const SUSPECT_FROM = 2;

export function withError(state: LibraryState, error: LibraryError): LibraryState {
  return { ...state, errors: [...state.errors, error].slice(-ERRORS_MAX) };
}

export function withDriveFailed(
  state: LibraryState,
  id: DriveId,
  reason: string,
  atMs: number,
): LibraryState {
  const drives = state.drives.map((drive) =>
    drive.id === id && drive.failure === null ? { ...drive, failure: { reason, atMs } } : drive,
  );
  return { ...state, drives };
}

/** The drive was repaired: it may serve again, as a spare (another does its work now), and its old errors count no more. */
export function withDriveReturned(state: LibraryState, id: DriveId): LibraryState {
  const drives = state.drives.map((drive) =>
    drive.id === id ? { ...drive, failure: null, isSpare: true } : drive,
  );
  return { ...state, drives, errors: state.errors.filter((error) => error.drive !== id) };
}

export function healthOf(state: LibraryState): LibraryHealth {
  const drives = state.drives.map(({ id }): DriveHealth => {
    const errors = state.errors.filter((error) => error.drive === id);
    const cartridges = [
      ...new Set(errors.flatMap((error) => (error.barcode === null ? [] : [error.barcode]))),
    ];
    return { id, errors: errors.length, cartridges, isSuspect: cartridges.length >= SUSPECT_FROM };
  });
  const cartridges = state.cartridges.map(({ barcode }): CartridgeHealth => {
    const errors = state.errors.filter((error) => error.barcode === barcode);
    const failedIn = [...new Set(errors.map((error) => error.drive))];
    return { barcode, errors: errors.length, drives: failedIn, isSuspect: failedIn.length >= SUSPECT_FROM };
  });
  return { drives, cartridges };
}
