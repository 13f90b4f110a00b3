/** @module What a drive Worker has at its far end: a file drive of the embedded library, or a drive of others over iSCSI.
 *  Everything that differs between the two is here; the Worker itself does not know which one it has. */
import { basename } from "node:path";
import { driveClock } from "../device/file/clock.ts";
import { describeFaultRule, parseFaultRule } from "../device/file/faults.ts";
import { FileTransport } from "../device/file/file-transport.ts";
import { IscsiTransport } from "../device/iscsi-transport.ts";
import { SpacingTransport } from "../device/spacing-transport.ts";
import type { TapeDrive } from "../device/tape-drive.ts";
import type { Transport } from "../device/transport.ts";
import type { FileDriveSpec, IscsiDriveSpec } from "./protocol.ts";

/** Of its buffer a paced drive fills so much before its tape starts. */
const START_PART = 0.25;
const READY_WITHIN_MS = 300_000;
const ASK_EVERY_MS = 100;
const KEEP_ALIVE_MS = 1000;
/** Shorter than anybody waits for the evidence. */
const ALERTS_WITHIN_MS = 1500;
const ASC_REMOVAL = 0x53;
const ASC_NO_MEDIUM = 0x3a;

export interface CartridgeFacts {
  readonly serial: string;
  readonly barcode: string;
  readonly capacityBytes: number;
  readonly remainingBytes: number;
  readonly writeProtected: boolean;
  readonly densityCode: number;
  readonly mediumType: number;
}

export type Inserted = { readonly kind: "inserted" } | { readonly kind: string; readonly why?: string };

export interface DriveEnd {
  readonly transport: Transport;
  /** The robot has put a cartridge in; its file, or for a drive of others a path that ends with its barcode. */
  insert(path: string, drive: TapeDrive): Inserted;
  eject(drive: TapeDrive): "ejected" | "empty" | "stuck" | "prevented" | "silent";
  facts(drive: TapeDrive): CartridgeFacts;
  /** Read once an event: asking may clear the flags. */
  evidence(drive: TapeDrive): { readonly tapeAlerts: readonly number[]; readonly reachable: boolean };
  arm(rule: string): unknown;
  clearFaults(): void;
  faults(): readonly string[];
  /** How long the drive stood while blocks waited for it, as far as it says so. */
  readonly idleMs: number;
  dataAvailableSince(ms: number): void;
  /** Called while nothing is to be done. false: the drive was lost meanwhile, with its place. */
  whenIdle(): boolean;
}

export class FileEnd implements DriveEnd {
  readonly transport: FileTransport;

  constructor(
    spec: FileDriveSpec,
    hash64: (address: number, bytes: number, into: DataView, offset: number) => void,
    whileHung: () => void,
  ) {
    this.transport = new FileTransport({
      identity: { vendor: "UNDRSTDY", product: "FILE-DRIVE", revision: "0001", serial: spec.serial },
      clock: driveClock,
      paceBytesPerSecond: spec.paceBytesPerSecond,
      ...(spec.paceBytesPerSecond > 0
        ? { bufferBytes: spec.bufferBytes, startBytes: spec.bufferBytes * START_PART }
        : {}),
      latencies: spec.latencies,
      hash64,
      whileHung,
    });
    for (const text of spec.faults) this.arm(text);
  }

  insert(path: string): Inserted {
    return this.transport.insert(path);
  }

  eject() {
    return this.transport.eject();
  }

  facts(drive: TapeDrive): CartridgeFacts {
    const { medium } = this.transport.medium;
    const identity = drive.identifyCartridge();
    return {
      serial: identity?.serial ?? medium.serial,
      barcode: identity?.barcode ?? medium.barcode,
      capacityBytes: medium.capacityBytes,
      remainingBytes: medium.remainingBytes,
      writeProtected: medium.writeProtected,
      densityCode: medium.densityCode,
      mediumType: medium.mediumType,
    };
  }

  evidence() {
    return {
      tapeAlerts: this.transport.medium.takeTapeAlerts(),
      reachable: !this.transport.faults.vanished,
    };
  }

  arm(text: string): unknown {
    const rule = parseFaultRule(text);
    if (!("when" in rule)) return { malformed: rule };
    this.transport.faults.arm(rule);
    return { armed: describeFaultRule(rule) };
  }

  clearFaults(): void {
    this.transport.faults.clear();
  }

  faults(): readonly string[] {
    return this.transport.faults.rules.map(describeFaultRule);
  }

  get idleMs(): number {
    return this.transport.medium.buffer.idleWhileWaitingMs;
  }

  dataAvailableSince(ms: number): void {
    this.transport.dataAvailableSinceMs = ms;
  }

  whenIdle(): boolean {
    return true;
  }
}

/** A drive of others. Faults are its own; its cartridge is known by the barcode that the changer read, and by its own memory
 *  where it has one. */
export class IscsiEnd implements DriveEnd {
  readonly transport: SpacingTransport;
  readonly #network: IscsiTransport;
  readonly #spec: IscsiDriveSpec;
  #barcode = "";
  #lookedMs = 0;

  constructor(spec: IscsiDriveSpec) {
    this.#spec = spec;
    this.#network = new IscsiTransport(spec);
    this.transport = new SpacingTransport(this.#network);
  }

  insert(path: string, drive: TapeDrive): Inserted {
    this.#barcode = basename(path).replace(/\.tape$/, "");
    const untilMs = driveClock.nowMs() + READY_WITHIN_MS;
    for (;;) {
      const ready = drive.testUnitReady();
      if (ready === "good") return { kind: "inserted" };
      const isLoading = ready === "notReady" && drive.asc !== ASC_NO_MEDIUM;
      if ((!isLoading && ready !== "unitAttention") || driveClock.nowMs() > untilMs)
        return { kind: ready, why: drive.reply.cause === "" ? `not ready: ${ready}` : drive.reply.cause };
      driveClock.sleepMs(ASK_EVERY_MS);
    }
  }

  eject(drive: TapeDrive) {
    const outcome = drive.unload();
    switch (outcome) {
      case "good":
        return "ejected";
      case "unreachable":
        return "silent";
      case "notReady":
        return drive.asc === ASC_NO_MEDIUM ? "empty" : "silent";
      default:
        if (drive.asc === ASC_REMOVAL) return drive.ascq === 2 ? "prevented" : "stuck";
        return "silent"; // the robot will find out
    }
  }

  facts(drive: TapeDrive): CartridgeFacts {
    const identity = drive.identifyCartridge();
    const { capacityBytes } = drive.capacity() ?? this.#spec;
    return {
      serial: identity?.serial ?? "",
      barcode: this.#barcode,
      capacityBytes,
      remainingBytes: capacityBytes,
      writeProtected: false,
      densityCode: 0,
      mediumType: 0,
    };
  }

  evidence(drive: TapeDrive) {
    if (!this.#network.connected) return { tapeAlerts: [], reachable: false };
    const tapeAlerts = drive.tapeAlerts(ALERTS_WITHIN_MS) ?? [];
    return { tapeAlerts, reachable: this.#network.connected };
  }

  arm(): unknown {
    return {
      malformed: { given: "a fault", expected: "a drive of the file library: this one is of others" },
    };
  }

  clearFaults(): void {}

  faults(): readonly string[] {
    return [];
  }

  readonly idleMs = 0;

  dataAvailableSince(): void {}

  whenIdle(): boolean {
    const nowMs = driveClock.nowMs();
    if (nowMs - this.#lookedMs < KEEP_ALIVE_MS) return true;
    this.#lookedMs = nowMs;
    return this.#network.keepAlive();
  }
}
