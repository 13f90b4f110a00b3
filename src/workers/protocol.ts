/** @module What main and its Workers say to each other. Main to Worker: `start` once by postMessage, then orders by
 *  mailbox (JSON). Worker to main: postMessage at any time, also from a Worker that loops in FFI. */
import type { MailboxMemory } from "../base/mailbox.ts";
import type { LoadedCartridge } from "../director/tee/tee-port.ts";
import type { ChapAccess, OwnLogin } from "../iscsi/chap.ts";
import type { Sense } from "../scsi/sense.ts";
import type { Element } from "../scsi/unit/ports.ts";

// --- drive ---

export interface FileDriveSpec {
  readonly kind: "file";
  readonly serial: string;
  readonly paceBytesPerSecond: number;
  readonly bufferBytes: number;
  readonly latencies: {
    readonly commandMs: number;
    readonly loadMs: number;
    readonly unloadMs: number;
    readonly rewindMs: number;
    readonly locateMs: number;
  };
  readonly faults: readonly string[];
}

export interface IscsiUnitSpec {
  readonly host: string;
  readonly port: number;
  readonly targetName: string;
  readonly lun: number;
  readonly initiatorName: string;
  /** Secrets, in memory only; null: without a password. */
  readonly chap: OwnLogin | null;
}

/** A drive of others. */
export interface IscsiDriveSpec extends IscsiUnitSpec {
  readonly kind: "iscsi";
  /** Of a cartridge whose drive does not tell. */
  readonly capacityBytes: number;
}

/** Where a drive Worker finds the cache of a device, for replay. */
export interface CacheSpec {
  readonly owner: string;
  readonly memberPaths: readonly string[];
  readonly parity: "none" | "one";
  readonly stripBytes: number;
  readonly cacheBytes: number;
  readonly ringBytes: number;
}

export interface DriveStart {
  readonly role: "drive";
  readonly driveId: number;
  readonly mailbox: MailboxMemory;
  readonly transport: FileDriveSpec | IscsiDriveSpec;
  readonly devices: readonly { readonly memory: WebAssembly.Memory; readonly cache: CacheSpec | null }[];
}

export type DriveOrder =
  | { readonly kind: "insert"; readonly path: string }
  | { readonly kind: "eject" }
  | { readonly kind: "load" }
  | { readonly kind: "identify" }
  | { readonly kind: "evidence" }
  | { readonly kind: "arm"; readonly rule: string }
  | { readonly kind: "clearFaults" }
  | { readonly kind: "faults" }
  | {
      readonly kind: "align";
      readonly device: number;
      readonly onTapeJ: number;
      readonly onTapePosition: number;
      readonly serial: string;
      /** 632: nothing may be on the cartridge. */
      readonly empty: boolean;
      readonly readyWithinMs: number;
    }
  | {
      readonly kind: "follow";
      readonly device: number;
      readonly fromJ: number;
      readonly position: number;
      readonly attempt: number;
      /** Take from the ring at once (an ordinary load) instead of from the cache. */
      readonly fromRing: boolean;
      /** A journal of the last run: never from the ring, which is empty; caught up when all is on tape. */
      readonly draining: boolean;
      /** main gives the drive up when a write takes longer. */
      readonly answerWithinMs: number;
    }
  | { readonly kind: "unfollow" };

/** Evidence of a failure as plain data; sense in hexadecimal. */
export interface FailureNotice {
  readonly kind: "driveFailed";
  readonly driveId: number;
  readonly device: number;
  readonly attempt: number;
  readonly operation: string;
  readonly outcome: string;
  readonly senseHex: string;
  readonly text: string;
  readonly J: number;
  readonly position: number;
}

export type WorkerNotice =
  | { readonly kind: "started"; readonly facts: unknown }
  | { readonly kind: "reply"; readonly orderId: number; readonly result: unknown }
  | FailureNotice
  | { readonly kind: "caughtUp"; readonly driveId: number; readonly device: number; readonly attempt: number }
  | {
      readonly kind: "cacheEvent";
      readonly device: number;
      readonly severity: string;
      readonly transition: string;
      readonly text: string;
    }
  | { readonly kind: "cacheHealth"; readonly device: number; readonly health: unknown }
  | MoveNotice
  | { readonly kind: "sessions"; readonly sessions: readonly SessionNotice[]; readonly stallMsMax: number };

export interface SessionNotice {
  readonly id: number;
  readonly kind: "normal" | "discovery";
  readonly initiatorName: string;
  readonly address: string;
  readonly sinceMs: number;
}

/** The host asked the changer; `device`: index of the drive concerned, -1: slots only. */
export interface MoveNotice {
  readonly kind: "move";
  readonly moveId: number;
  readonly source: number;
  readonly destination: number;
}

// --- cache ---

export interface CacheStart {
  readonly role: "cache";
  readonly device: number;
  readonly mailbox: MailboxMemory;
  readonly memory: WebAssembly.Memory;
  readonly cache: CacheSpec;
}

export type CacheOrder =
  | { readonly kind: "identity"; readonly json: string }
  | { readonly kind: "resume"; readonly J: number; readonly sequence: number }
  /** 620, 631: the journal from J on is to go to the cartridge that `json` names, all of it. true: it is pinned, durably. */
  | {
      readonly kind: "imageAnew";
      readonly J: number;
      readonly sequence: number;
      readonly image: number;
      readonly json: string;
    }
  | { readonly kind: "failMember"; readonly member: number }
  | { readonly kind: "replaceMember"; readonly member: number; readonly path: string }
  | { readonly kind: "checkpoint" }
  | { readonly kind: "close" };

/** What the cache Worker found when it opened the array. */
export interface CacheFacts {
  readonly refused: { readonly path: string; readonly reason: string } | null;
  readonly created: boolean;
  readonly describe: string;
  readonly direct: boolean;
  readonly members: readonly { readonly path: string; readonly state: "good" | "rebuilding" | "lost" }[];
  /** The journal that is not on tape by the last checkpoint's word. */
  readonly recovered: {
    /** From here on it is to be carried out on tape. */
    readonly drainJ: number;
    readonly drainPosition: number;
    readonly drainSequence: number;
    readonly identity: string;
    readonly endJ: number;
    readonly sequence: number;
    readonly entries: number;
    readonly blocks: number;
    readonly reason: string;
    readonly resumeJ: number;
    readonly resumeSequence: number;
  } | null;
}

// --- front ---

export interface FrontStart {
  readonly role: "front";
  readonly mailbox: MailboxMemory;
  readonly iscsi: {
    readonly host: string;
    readonly port: number;
    readonly targetName: string;
    /** Secrets, in memory only; null: anybody may log in. */
    readonly chap: ChapAccess | null;
  };
  /** A disk in memory for tests of the transport; null: none. */
  readonly testDisk: { readonly lun: number; readonly bytes: number } | null;
  readonly changer: { readonly serial: string };
  readonly devices: readonly {
    readonly memory: WebAssembly.Memory;
    readonly lun: number;
    readonly serial: string;
    readonly maxBlockBytes: number;
    readonly padBytes: number;
    readonly hostLagBytes: number;
    /** Element address of the virtual drive in the changer. */
    readonly elementAddress: number;
  }[];
}

export type FrontOrder =
  /** `accessed`: an operator put a cartridge in, or took one out. */
  | { readonly kind: "elements"; readonly elements: readonly Element[]; readonly accessed?: boolean }
  | { readonly kind: "load"; readonly device: number; readonly cartridge: LoadedCartridge }
  | { readonly kind: "unload"; readonly device: number }
  | { readonly kind: "moved"; readonly moveId: number; readonly sense: Sense | null }
  | {
      readonly kind: "report";
      readonly device: number;
      readonly sense: Sense | null;
      readonly tapeAlerts: readonly number[];
    }
  /** TapeAlert flags of the real drive that the host may hear of. */
  | { readonly kind: "alerts"; readonly device: number; readonly flags: readonly number[] }
  | { readonly kind: "outOfService"; readonly device: number }
  /** No new sessions; tell those there are; close when idle. */
  | { readonly kind: "stop" };

// --- changer of others ---

export interface ChangerStart {
  readonly role: "changer";
  readonly mailbox: MailboxMemory;
  readonly unit: IscsiUnitSpec;
}

export type ChangerOrder =
  | { readonly kind: "elements" }
  | { readonly kind: "move"; readonly source: number; readonly destination: number };

export type ChangerElements =
  | {
      readonly kind: "elements";
      readonly elements: readonly {
        readonly type: number;
        readonly address: number;
        readonly full: boolean;
        readonly barcode: string | null;
        readonly source: number | null;
      }[];
    }
  | { readonly kind: "problem"; readonly text: string };

export type ChangerMoved =
  | { readonly kind: "moved" }
  | {
      readonly kind: "refused";
      readonly text: string;
      readonly key: number;
      readonly asc: number;
      readonly ascq: number;
    };

export type StartMessage = DriveStart | CacheStart | FrontStart | ChangerStart;
export type Order<T> = T & { readonly orderId: number };
