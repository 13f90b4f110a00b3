/** @module The words of the director: states, events, effects; all plain data, so that the catalog can keep them and
 *  the simulator can see them. What they mean together is in step.ts.
 *
 *  (1) An effect with an `attempt` takes time and is answered by exactly one event with the same number; an answer
 *      with another number belongs to an abandoned attempt and changes nothing.
 *  (2) An effect without one is done when its carrier returns, and cannot fail.
 *  (3) Effects are carried out in the order given. */
import type { Barcode, DeviceName, DriveId } from "../base/brands.ts";
import type { NewEvent, Severity } from "../base/events.ts";
import type { FaultEvidence, SenseCode, Verdict } from "./classify.ts";
import type { RecoverySettings } from "./rate.ts";

/** `report` (609): the host is told, faithfully. `hold`: go on caching, BUSY when full, wait for the operator. */
export type NoSpare = "report" | "hold";

/** Where the whole image goes when a cartridge failed in a good drive: `swap`: a spare cartridge into the same drive
 *  (631-633); `otherDrive`: into an unused one (620-621). */
export type BadCartridge = "swap" | "otherDrive";

export interface DirectorSettings {
  readonly device: DeviceName;
  readonly noSpare: NoSpare;
  readonly badCartridge: BadCartridge;
  readonly recovery: RecoverySettings;
}

/** The durability ledger as the director last saw it (journal offsets J). `cached`: durable in the cache. */
export interface LedgerMarks {
  readonly received: number;
  readonly cached: number;
  readonly onTape: number;
}

export type Flow = "normal" | "suspended" | "reduced" | "busy" | "report";

/** What every state knows. */
export interface Standing {
  readonly settings: DirectorSettings;
  readonly cartridge: Barcode | null;
  readonly marks: LedgerMarks;
  /** The cache keeps what it was given: without it a failure is reported as it is. */
  readonly protected: boolean;
  /** Grows with every effect that takes time. In Streaming: the attempt of the `follow` that is at work. */
  readonly attempt: number;
  readonly flow: Flow;
  readonly flowBytesPerSecond: number;
  /** The gateway was told to stop. */
  readonly stopping: boolean;
}

/** One failure being mended: from the first fault to Streaming again. */
export interface Recovery {
  readonly startedMs: number;
  /** `received` when it began: what arrives after counts against a cartridge's worth. */
  readonly startJ: number;
  /** The fault that began it or the latest that joined it, and what it was taken for. */
  readonly evidence: FaultEvidence;
  readonly verdict: Verdict | null;
  /** Drives not to be asked again in this recovery. */
  readonly excluded: readonly DriveId[];
  /** The drive that the cartridge is in; null: not in a drive, or not known. */
  readonly cartridgeIn: DriveId | null;
  /** Times that the same drive was tried again without getting further. */
  readonly sameDriveTries: number;
  /** The cartridge is a spare that gets the whole image, from this J on (620, 631); null: it goes on where it stands. */
  readonly imageJ: number | null;
  /** Why the cartridge must be replaced, until a spare one has been found. */
  readonly cartridgeFault: CartridgeFault | null;
}

export interface CartridgeFault {
  /** How it ends where it cannot be replaced. */
  readonly reason: "cartridgeFault" | "cartridgeStuck" | "endOfMedium";
  readonly text: string;
}

export interface Recovering extends Standing {
  readonly recovery: Recovery;
}

export interface Streaming extends Standing {
  readonly name: "Streaming";
  readonly drive: DriveId;
}

export interface Classifying extends Recovering {
  readonly name: "Classifying";
  readonly drive: DriveId;
}

export interface Choosing extends Recovering {
  readonly name: "Choosing";
  /** A drive came back since the pool was asked: a "no" is no longer true. */
  readonly again: boolean;
}

export interface Switching extends Recovering {
  readonly name: "Switching";
  /** The spare; or the drive that stays, where only its cartridge is replaced. */
  readonly drive: DriveId;
  /** find: the drive says that it is empty, the robot is asked where the cartridge is; image: a spare cartridge is sought
   *  and the whole image pinned; takeOut: the failed cartridge leaves the drive. */
  readonly doing: "find" | "couple" | "unload" | "image" | "takeOut" | "move" | "load";
  readonly moveTries: number;
}

export interface Verifying extends Recovering {
  readonly name: "Verifying";
  readonly drive: DriveId;
}

export interface Replaying extends Recovering {
  readonly name: "Replaying";
  readonly drive: DriveId;
  readonly fromJ: number;
}

export const HALT_REASONS = {
  noSpare: "no spare drive is available",
  unprotected: "the cache cannot replay: it is lost or there is none",
  cartridgeStuck: "the cartridge cannot be unloaded",
  cartridgeFault: "the cartridge is at fault",
  endOfMedium: "the cartridge ended before all was on it",
  writeProtected: "the cartridge is write-protected",
  mediumGone: "the cartridge is gone from its drive",
  robot: "the robot cannot move the cartridge",
} as const;
export type HaltReason = keyof typeof HALT_REASONS;

export interface Halted extends Recovering {
  readonly name: "Halted";
  readonly reason: HaltReason;
  /** One sentence for the operator. */
  readonly text: string;
  /** The drive still held by the device; null: none. */
  readonly drive: DriveId | null;
}

export type DirectorState = Streaming | Classifying | Choosing | Switching | Verifying | Replaying | Halted;

export type DirectorEvent =
  // --- from the data path ---
  /** The follower gave up, or the watch failed a drive that hangs. `attempt`: of its `follow` (Streaming: state.attempt). */
  | {
      readonly kind: "driveFailed";
      readonly attempt: number;
      readonly drive: DriveId;
      readonly evidence: FaultEvidence;
    }
  /** The follower takes from the ring again, and everything before was confirmed on tape or is in the ring. */
  | { readonly kind: "caughtUp"; readonly attempt: number }
  /** Verify or replay needs entries that the cache can no longer give. */
  | { readonly kind: "journalLost"; readonly attempt: number; readonly text: string }
  /** Every 100 ms or so; `protected`: cache healthy or degraded. */
  | {
      readonly kind: "marks";
      readonly marks: LedgerMarks;
      readonly protected: boolean;
      readonly driveBytesPerSecond: number | null;
    }
  /** The host changed the cartridge (Streaming only: in a recovery it is held, rule 12). */
  | { readonly kind: "cartridgeChanged"; readonly cartridge: Barcode | null }
  // --- answers ---
  | { readonly kind: "gathered"; readonly attempt: number; readonly evidence: FaultEvidence }
  /** `cartridgeIn`: the drive that the library finds the cartridge in now (null: in none), whatever was believed. */
  | {
      readonly kind: "spareChosen";
      readonly attempt: number;
      readonly drive: DriveId;
      readonly cartridgeIn: DriveId | null;
    }
  | { readonly kind: "noSpare"; readonly attempt: number }
  /** The robot looked. `at` null: in no element that we move from and to; else in a drive, or in a slot. */
  | { readonly kind: "cartridgeFound"; readonly attempt: number; readonly at: DriveId | "slot" | null }
  | { readonly kind: "coupled"; readonly attempt: number }
  | { readonly kind: "coupleFailed"; readonly attempt: number; readonly text: string }
  | { readonly kind: "unloaded"; readonly attempt: number }
  | { readonly kind: "unloadFailed"; readonly attempt: number; readonly text: string }
  | { readonly kind: "moved"; readonly attempt: number }
  | {
      readonly kind: "moveFailed";
      readonly attempt: number;
      readonly text: string;
      /** Where READ ELEMENT STATUS finds the cartridge afterwards. */
      readonly cartridgeAt: "source" | "destination" | "slot" | "unknown";
    }
  /** The whole image of the loaded cartridge lies in the journal from `fromJ` on and is pinned there; this spare
   *  cartridge, kept for it, stands in from now on, also after a crash. */
  | {
      readonly kind: "imageReady";
      readonly attempt: number;
      readonly cartridge: Barcode;
      readonly fromJ: number;
    }
  | { readonly kind: "imageRefused"; readonly attempt: number; readonly text: string }
  | { readonly kind: "takenOut"; readonly attempt: number }
  /** `stuck`: the drive does not let go; else the robot failed. */
  | {
      readonly kind: "takeOutFailed";
      readonly attempt: number;
      readonly stuck: boolean;
      readonly text: string;
    }
  | { readonly kind: "loaded"; readonly attempt: number }
  | { readonly kind: "loadFailed"; readonly attempt: number; readonly evidence: FaultEvidence }
  /** `fromJ`: the first entry that is not on the medium, past any PAD or VOID there; `position`: its block's place.
   *  Where the tape holds more than the journal (a crash lost the journal's tail), fromJ is `received`. */
  | {
      readonly kind: "verified";
      readonly attempt: number;
      readonly fromJ: number;
      readonly position: number;
    }
  | {
      readonly kind: "verifyFailed";
      readonly attempt: number;
      /** drive: it could not be read; the others: it was read and is not what the journal says. */
      readonly cause: "drive" | "wrongCartridge" | "endOfDataBelowMark" | "otherData" | "notEmpty";
      readonly evidence: FaultEvidence;
    }
  // --- from people ---
  /** Someone repaired a drive; the pool has it back already. */
  | { readonly kind: "driveReturned"; readonly drive: DriveId }
  /** Try again, with this drive (null: with any). */
  | { readonly kind: "operatorRetry"; readonly drive: DriveId | null }
  | { readonly kind: "stopRequested" };

export type DirectorEffect =
  /** 606, 611, 617-619. Rate in bytes a second; counts while `reduced`. */
  | { readonly kind: "setFlow"; readonly flow: Flow; readonly bytesPerSecond: number }
  /** No new command goes to this drive; what it still reads stays pinned until proved dead (rule 8). */
  | { readonly kind: "stopFollower"; readonly drive: DriveId }
  /** The ring is freed by the cache alone from here on (one atomic step); the drive no longer counts. */
  | { readonly kind: "demoteFollower" }
  /** 607. Sense of the failure is known; adds TapeAlert, reachability, scores. */
  | {
      readonly kind: "gatherEvidence";
      readonly attempt: number;
      readonly drive: DriveId;
      readonly evidence: FaultEvidence;
    }
  /** 608: choose.ts over the shared pool; the drive is in use by this device from then on. */
  | {
      readonly kind: "reserveSpare";
      readonly attempt: number;
      readonly excluded: readonly DriveId[];
      readonly wanted: DriveId | null;
    }
  /** 607: the medium is gone from the drive in mid-job: where does the robot see it? */
  | { readonly kind: "findCartridge"; readonly attempt: number; readonly cartridge: Barcode }
  /** 612 */
  | { readonly kind: "couple"; readonly attempt: number; readonly drive: DriveId }
  /** 613: by the drive, else by the library's own means. */
  | { readonly kind: "unload"; readonly attempt: number; readonly drive: DriveId }
  /** 620, 631: a spare cartridge that can hold the image takes the place, and the name, of the failed one; the journal is
   *  pinned from the image's beginning, and nothing of it counts as on tape any more. `larger`: than the failed one. */
  | {
      readonly kind: "prepareImage";
      readonly attempt: number;
      readonly cartridge: Barcode;
      readonly larger: boolean;
      readonly text: string;
    }
  /** 631: the failed cartridge is unloaded and put into a slot. */
  | { readonly kind: "takeOut"; readonly attempt: number; readonly drive: DriveId }
  /** 614. `from` null: from wherever the library finds it now. */
  | {
      readonly kind: "move";
      readonly attempt: number;
      readonly cartridge: Barcode;
      readonly from: DriveId | null;
      readonly to: DriveId;
    }
  /** Of a cartridge that is in the drive already: at once. */
  | { readonly kind: "load"; readonly attempt: number; readonly drive: DriveId }
  /** 615: identity, end of data not below `onTapeJ`, hashes of the last blocks; leaves the drive where writing goes on.
   *  The mark's position is that of the first entry from `onTapeJ` on: the tape may hold blocks before it that a crash took
   *  from the journal. What a dying drive left unreadable beyond that place is cut off (ERASE short) if nothing will be written over it. */
  | {
      readonly kind: "verify";
      readonly attempt: number;
      readonly drive: DriveId;
      readonly cartridge: Barcode;
      readonly onTapeJ: number;
      /** 632: nothing may be on it. */
      readonly empty: boolean;
    }
  /** 616: the follower takes from here, from the cache until it has caught up. What is before was read back: ON_TAPE
   *  becomes at least `fromJ` (else a full cache never frees its room). Answered by caughtUp, driveFailed or journalLost. */
  | {
      readonly kind: "follow";
      readonly attempt: number;
      readonly drive: DriveId;
      readonly fromJ: number;
      readonly position: number;
    }
  /** Out of the pool until someone returns it. */
  | { readonly kind: "markDriveFailed"; readonly drive: DriveId; readonly text: string }
  /** Back to the pool; `suspect`: chosen last from now on. */
  | { readonly kind: "releaseDrive"; readonly drive: DriveId; readonly suspect: boolean }
  /** Kept for later failures of either (score.ts). */
  | {
      readonly kind: "score";
      readonly drive: DriveId;
      readonly cartridge: Barcode | null;
      readonly verdict: Verdict;
    }
  /** 609: the next command of the host gets this, deferred; the drive's flags are told with it. */
  | {
      readonly kind: "reportToHost";
      readonly sense: SenseCode;
      readonly tapeAlerts: readonly number[];
    }
  /** To people: mail, webhook, panel. */
  | { readonly kind: "notify"; readonly severity: Severity; readonly text: string }
  /** To the catalog. */
  | { readonly kind: "record"; readonly event: NewEvent }
  /** After stopRequested: nothing is under way here. `owedBytes` of journal are not on tape. */
  | { readonly kind: "readyToStop"; readonly owedBytes: number };

export interface Step {
  readonly state: DirectorState;
  readonly effects: readonly DirectorEffect[];
}
