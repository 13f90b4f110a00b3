/** @module What all devices share: the real drives with their Workers, the pool of spares, the robot, the catalog.
 *  On main only, so no two devices can be given the same drive. */
import type { Barcode, DeviceName, DriveId } from "../base/brands.ts";
import type { Clock } from "../base/clock.ts";
import type { NewEvent } from "../base/events.ts";
import { logOf } from "../base/log.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { DeviceSettings } from "../config.ts";
import {
  choose,
  chooseCartridge,
  markFailed,
  type Pool,
  release,
  returnDrive,
  setHolds,
} from "../director/choose.ts";
import type { Blame, Scores } from "../director/classify.ts";
import { addFailure, type FailureHistory, forgetDrive, scoresOf } from "../director/score.ts";
import type { FileRobot } from "../library/file-robot.ts";
import {
  type CartridgeEntry,
  FIRST_DRIVE_ADDRESS,
  FIRST_SLOT_ADDRESS,
  type MoveOutcome,
} from "../library/robot.ts";
import type { WorkerHandle } from "../workers/handle.ts";

const log = logOf("library");
const HISTORY_FACT = "failureHistory";

export class Stock {
  pool: Pool = [];
  private history: FailureHistory;

  constructor(
    readonly robot: FileRobot,
    readonly catalog: Catalog,
    private readonly workers: ReadonlyMap<number, WorkerHandle>,
    private readonly clock: Clock,
  ) {
    this.history = (catalog.fact(HISTORY_FACT) as unknown as FailureHistory | undefined) ?? [];
    this.pool = robot.inventory().drives.map((drive) => ({
      id: drive.id,
      role: drive.isSpare ? "spare" : "primary",
      condition: drive.failure !== null ? "failed" : "good",
      usedBy: null,
      holds: drive.barcode,
    }));
  }

  worker(drive: number): WorkerHandle {
    const worker = this.workers.get(drive);
    if (worker === undefined) throw new Error(`there is no drive ${drive}`);
    return worker;
  }

  serialOf(drive: DriveId): string {
    return this.robot.drive(drive)?.serial ?? "";
  }

  record(event: NewEvent): void {
    this.catalog.record(event);
  }

  // --- the pool ---

  chooseSpare(
    settings: DeviceSettings,
    cartridge: Barcode | null,
    excluded: readonly DriveId[],
    wanted: DriveId | null,
  ): DriveId | null {
    const request = { device: settings.name, cartridge, spares: settings.spares, excluded, wanted };
    const { pool, drive } = choose(this.pool, request);
    this.pool = pool;
    return drive;
  }

  couple(device: DeviceName, drive: DriveId): void {
    this.pool = this.pool.map((one) => (one.id === drive ? { ...one, usedBy: device } : one));
    this.keep(`coupled.${device}`, drive);
  }

  /** The drive that stood behind the device when the gateway last ran. */
  coupledBefore(device: DeviceName): DriveId | null {
    const drive = this.catalog.fact(`coupled.${device}`);
    return typeof drive === "number" && this.robot.drive(drive as DriveId) !== null
      ? (drive as DriveId)
      : null;
  }

  isFailed(drive: DriveId): boolean {
    return this.pool.some((one) => one.id === drive && one.condition === "failed");
  }

  failDrive(drive: DriveId, text: string, device: DeviceName): void {
    this.pool = markFailed(this.pool, drive);
    this.robot.failDrive(drive, text);
    this.catalog.record({
      kind: "drive",
      severity: "alarm",
      device,
      transition: "driveFailed",
      text: `drive ${drive} (${this.serialOf(drive)}) is out: ${text}`,
      evidence: { drive, serial: this.serialOf(drive) },
    });
  }

  release(drive: DriveId, suspect: boolean): void {
    this.pool = release(this.pool, drive, suspect);
  }

  returnDrive(drive: DriveId): void {
    this.pool = returnDrive(this.pool, drive);
    this.robot.returnDrive(drive);
    this.history = forgetDrive(this.history, drive);
    this.saveHistory();
  }

  score(drive: DriveId, cartridge: Barcode | null, blame: Blame): void {
    this.history = addFailure(this.history, { drive, cartridge, blame, atMs: this.clock.wallMs() });
    this.saveHistory();
  }

  scoresOf(drive: DriveId, cartridge: Barcode | null): Scores {
    return scoresOf(this.history, drive, cartridge);
  }

  private saveHistory(): void {
    this.keep(HISTORY_FACT, JSON.parse(JSON.stringify(this.history)));
  }

  /** What cannot be written down (a full disk) stops no switchover. */
  private keep(...[name, value]: Parameters<Catalog["setFact"]>): void {
    try {
      this.catalog.setFact(name, value);
    } catch (error) {
      log.error("a fact could not be written down", { name, error });
    }
  }

  // --- the robot ---

  async moveMedium(source: number, destination: number): Promise<MoveOutcome> {
    const outcome = await this.robot.moveMedium(source, destination);
    this.noteHolds();
    const text =
      outcome.kind === "moved"
        ? `${outcome.barcode} moved from element ${source} to ${destination}`
        : `move from element ${source} to ${destination} refused: ${outcome.text}`;
    log.info(text);
    this.record({
      kind: "library",
      severity: outcome.kind === "moved" ? "info" : "warning",
      device: null,
      transition: outcome.kind,
      text,
      evidence: { source, destination },
    });
    return outcome;
  }

  private noteHolds(): void {
    for (const drive of this.robot.inventory().drives)
      this.pool = setHolds(this.pool, drive.id, drive.barcode);
  }

  /** Wherever the cartridge is now. */
  moveToDrive(cartridge: Barcode, to: DriveId): Promise<MoveOutcome> {
    const entry = this.robot.inventory().cartridges.find(({ barcode }) => barcode === cartridge);
    return this.moveMedium(entry?.address ?? -1, addressOf(to));
  }

  /** The drive that the cartridge is in now, by the library's own word. */
  driveWith(cartridge: Barcode | null): DriveId | null {
    if (cartridge === null) return null;
    return this.robot.inventory().drives.find(({ barcode }) => barcode === cartridge)?.id ?? null;
  }

  /** Asks the robot anew. null: it is in no drive and in no slot. */
  async find(cartridge: Barcode): Promise<DriveId | "slot" | null> {
    const why = await this.robot.lookAgain();
    if (why !== null) log.warning(`the robot cannot tell where ${cartridge} is: ${why}`);
    this.noteHolds();
    const inSlot = this.robot.inventory().slots.some(({ barcode }) => barcode === cartridge);
    const at = this.driveWith(cartridge) ?? (inSlot ? "slot" : null);
    const words = at === null ? "in no drive and in no slot" : at === "slot" ? "in a slot" : `in drive ${at}`;
    this.record({
      ...{ kind: "library", severity: "warning", device: null, transition: "looked" },
      ...{ text: `the robot finds ${cartridge} ${words}`, evidence: { cartridge, at } },
    });
    return at;
  }

  /** `from` null: from a slot. */
  whereIs(
    cartridge: Barcode,
    from: DriveId | null,
    to: DriveId,
  ): "source" | "destination" | "slot" | "unknown" {
    if (this.robot.drive(to)?.barcode === cartridge) return "destination";
    const inSlot = this.robot.inventory().slots.some(({ barcode }) => barcode === cartridge);
    if (from === null) return inSlot ? "source" : "unknown";
    if (this.robot.drive(from)?.barcode === cartridge) return "source";
    return inSlot ? "slot" : "unknown";
  }

  // --- cartridges that fail (620, 631; RED-08) ---

  cartridge(barcode: Barcode): CartridgeEntry | undefined {
    return this.robot.inventory().cartridges.find((entry) => entry.barcode === barcode);
  }

  /** The barcode that servers see. */
  shown(barcode: Barcode): Barcode | null {
    return this.cartridge(barcode)?.shown ?? null;
  }

  /** `to`: the drive that it is to be brought to. */
  chooseCartridge(
    neededBytes: number,
    largerThanBytes: number | null,
    to: DriveId | null,
  ): CartridgeEntry | null {
    const { cartridges } = this.robot.inventory();
    const reserve = cartridges.map(({ barcode, capacityBytes, isReserve, address }) => ({
      barcode,
      capacityBytes,
      available:
        isReserve &&
        address >= FIRST_SLOT_ADDRESS &&
        (to === null || this.robot.reaches(address, addressOf(to))),
    }));
    const chosen = chooseCartridge(reserve, neededBytes, largerThanBytes);
    return chosen === null ? null : (this.cartridge(chosen) ?? null);
  }

  standIn(failed: Barcode, replacement: Barcode, reason: string): void {
    const known = this.cartridge(failed);
    if (known === undefined || known.shown === null) return;
    this.robot.standIn(failed, replacement, reason);
    const { label, takenFrom } = this.robot.standIns().find((one) => one.replacement === replacement) ?? {
      label: failed,
      takenFrom: 0,
    };
    this.record({
      kind: "library",
      severity: "alarm",
      device: null,
      transition: "cartridgeReplaced",
      text: `cartridge ${failed} has failed (${reason}); ${replacement} answers to ${label} from now on`,
      evidence: { failed, replacement, label, takenFrom },
    });
  }

  /** The drive gives its cartridge up, and it goes into a slot: its own, or any free one. */
  async takeOut(drive: DriveId): Promise<MoveOutcome | { readonly kind: "empty" }> {
    const barcode = this.robot.drive(drive)?.barcode ?? null;
    if (barcode === null) return { kind: "empty" };
    const { slots } = this.robot.inventory();
    const home = this.cartridge(barcode)?.homeAddress;
    const free = slots.filter((slot) => slot.barcode === null);
    const slot = free.find(({ address }) => address === home) ?? free[0];
    return this.moveMedium(addressOf(drive), slot?.address ?? -1);
  }

  /** Failed cartridges that lie in a slot which servers see go to their own, so that it is free when it is asked for. */
  async tidy(): Promise<void> {
    for (const { barcode, address, homeAddress, hasFailed } of this.robot.inventory().cartridges) {
      if (!hasFailed || address < FIRST_SLOT_ADDRESS || address === homeAddress) continue;
      if (this.robot.element(homeAddress)?.barcode !== null) continue;
      log.info(`${barcode} has failed and goes to slot ${homeAddress - FIRST_SLOT_ADDRESS + 1}`);
      await this.moveMedium(address, homeAddress);
    }
  }
}

export function addressOf(drive: number): number {
  return FIRST_DRIVE_ADDRESS + drive - 1;
}
