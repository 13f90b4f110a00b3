/** @module The parsed settings: complete, checked, in bytes and milliseconds. Nothing else in the house reads the file. */
import type { Barcode, DeviceName, DriveId, SerialNumber } from "../base/brands.ts";
import type { LogFormat, LogLevel } from "../base/log.ts";
import { KIB, MIB } from "../base/units.ts";

export interface CacheSettings {
  /** Files or block devices; parity rotates over them. Empty: no cache, the device writes to tape only. */
  readonly memberPaths: readonly string[];
  readonly parity: "none" | "one";
  readonly stripBytes: number;
  /** Data strips of one stripe together: (members - parity) x strip. */
  readonly stripeBytes: number;
  /** Journal that the members hold together, parity not counted; a multiple of the ring. */
  readonly cacheBytes: number;
}

export interface DeviceSettings {
  readonly name: DeviceName;
  readonly lun: number;
  /** The virtual drive's serial number, the same whatever drive is behind. */
  readonly serial: SerialNumber;
  /** The real drive that it is coupled to at first. */
  readonly drive: DriveId;
  readonly ringBytes: number;
  readonly maxBlockBytes: number;
  readonly hostLagBytes: number;
  readonly padBytes: number;
  readonly spares: "dedicated" | "any";
  readonly noSpare: "report" | "hold";
  /** A cartridge failed in a good drive: a spare one into the same drive (631), or into another (620). */
  readonly badCartridge: "swap" | "otherDrive";
  /** A drive that does not answer a write for so long is given up. */
  readonly driveAnswerMs: number;
  readonly cache: CacheSettings;
}

export interface LatencySettings {
  readonly loadMs: number;
  readonly unloadMs: number;
  readonly rewindMs: number;
  readonly locateMs: number;
  readonly moveMs: number;
  readonly filemarkMs: number;
}

/** A logical unit of others. */
export interface UnitSettings {
  readonly host: string;
  readonly port: number;
  readonly targetName: string;
  readonly lun: number;
}

export interface ForeignSettings {
  readonly initiatorName: string;
  /** The last ones are the spares; `changer`: index of its changer. */
  readonly drives: readonly (UnitSettings & { readonly changer: number; readonly element: number })[];
  readonly changers: readonly UnitSettings[];
  /** How we log in, by the target's name; null: to all that have no entry of their own. Empty: without a password. */
  readonly chap: readonly OwnChap[];
}

/** `mutual`: how the target must prove itself to us; null: it need not. */
export interface OwnChap extends ChapUser {
  readonly target: string | null;
  readonly mutual: ChapUser | null;
}

export interface LibrarySettings {
  readonly kind: "file" | "iscsi";
  /** Drives and changers of others; null: the embedded file library. */
  readonly foreign: ForeignSettings | null;
  /** Cartridges and the inventory lie here. */
  readonly directory: string;
  readonly driveCount: number;
  readonly spareCount: number;
  readonly slotCount: number;
  /** Import/export elements, where cartridges come in and go out. */
  readonly mailSlotCount: number;
  /** One a slot from the first on; slots beyond the list are empty. */
  readonly barcodes: readonly Barcode[];
  /** So many of them, the last, are kept for those that fail; the server does not see them. */
  readonly spareCartridgeCount: number;
  readonly capacityBytes: number;
  /** A drive's own speed in bytes a second; 0: unpaced. */
  readonly paceBytesPerSecond: number;
  readonly bufferBytes: number;
  readonly latencies: LatencySettings;
  /** Rules as written: the library parses them and answers for their form. */
  readonly faults: readonly string[];
}

/** A CHAP user; the secret itself is in the file and nowhere in the settings. */
export interface ChapUser {
  readonly user: string;
  readonly secretFile: string;
}

export interface IscsiSettings {
  readonly host: string;
  readonly port: number;
  readonly targetName: string;
  /** Who may log in; empty: everybody, without a password. */
  readonly chap: readonly (ChapUser & { readonly initiator: string })[];
  /** How the target proves itself to an initiator that asks it to; null: not at all. */
  readonly mutualChap: ChapUser | null;
  /** For tests of the transport only: a disk in memory at the LUN after the last drive's; 0: none. */
  readonly testDiskBytes: number;
}

export interface Settings {
  /** The file they came from; null: defaults. */
  readonly file: string | null;
  readonly stateDirectory: string;
  readonly iscsi: IscsiSettings;
  readonly http: { readonly host: string; readonly port: number; readonly token: string | null };
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
  /** One a virtual drive, LUN 1 on; LUN 0 is the changer. */
  readonly devices: readonly DeviceSettings[];
  readonly library: LibrarySettings;
}

/** What the command line says beside the file. */
export interface SettingsOverrides {
  readonly stateDirectory?: string | null;
  readonly iscsi?: { readonly host: string; readonly port: number } | null;
  readonly http?: { readonly host: string; readonly port: number } | null;
  readonly logFormat?: LogFormat | null;
}

export const DEFAULTS = {
  iscsiPort: 3260,
  httpPort: 8700,
  host: "127.0.0.1",
  targetName: "iqn.2026-01.org.understudy:library",
  driveCount: 2,
  spareCount: 1,
  slotCount: 8,
  mailSlotCount: 0,
  spareCartridgeCount: 0,
  driveAnswerMs: 60_000,
  capacityBytes: 12 * 1024 * MIB,
  ringBytes: 256 * MIB,
  maxBlockBytes: 8 * MIB,
  cacheBytes: 2048 * MIB,
  memberCount: 3,
  stripBytes: 256 * KIB,
  driveBufferBytes: 16 * MIB,
} as const;
