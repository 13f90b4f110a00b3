/** @module The robot of an embedded library.
 *  (1) The element map on disk is written after each move: what it says is true after a restart. Where it cannot be
 *      written (a full disk) the moves go on and the next one writes it whole.
 *  (2) One move at a time, in the order asked.
 *  (3) A drive that does not answer loses its cartridge all the same: the cartridge's mount number keeps the silent
 *      drive from writing to it later. Only a stuck cartridge stays. */
import type { Barcode, DriveId } from "../base/brands.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { logOf } from "../base/log.ts";
import { added, imported, type NewStock, type StockChange, withMailSlots } from "./by-hand.ts";
import type { MakeCartridge } from "./create.ts";
import { healthOf, type LibraryHealth, withDriveFailed, withDriveReturned, withError } from "./health.ts";
import {
  type CartridgeEntry,
  type DriveBay,
  type DriveElement,
  type Inventory,
  type LibraryElement,
  type MoveOutcome,
  type Robot,
  refused,
  type StockOutcome,
} from "./robot.ts";
import { exportedTogether, isReserve, type StandIn, shownAs, standInsOf, withStandIn } from "./stand-in.ts";
import {
  cartridgePath,
  type LibraryError,
  type LibraryProblem,
  type LibraryState,
  loadLibraryState,
  saveLibraryState,
} from "./state.ts";

const log = logOf("library");

export interface RobotLatencies {
  /** From taking the cartridge to setting it down (ms). */
  readonly moveMs: number;
}

export interface FileRobotOptions {
  readonly directory: string;
  /** The robot's end of each drive; null: no such drive is running, the map alone changes. */
  readonly bay: (id: DriveId) => DriveBay | null;
  /** A robot of others that does the moving, between our addresses; null: done. Without it the map alone changes. */
  readonly hand?: (sourceAddress: number, destinationAddress: number) => Promise<MoveOutcome | null>;
  /** Reads where everything is, for a robot of others; words: it cannot. Without it the map is what there is. */
  readonly look?: (before: LibraryState) => Promise<LibraryState | string>;
  /** Can the hand move between the two at all? Several changers cannot exchange cartridges. */
  readonly reaches?: (sourceAddress: number, destinationAddress: number) => boolean;
  /** Makes the files of cartridges that are added; without it none can be. */
  readonly makeCartridge?: MakeCartridge;
  /** Import/export elements; default: as many as there were. */
  readonly mailSlots?: number;
  readonly latencies?: Partial<RobotLatencies>;
  readonly clock?: Clock;
  readonly sleep?: (durationMs: number) => Promise<void>;
}

/** What goes wrong with the robot: the Nth move from arming on, and every one after it until `clearFaults`. */
export interface RobotFault {
  readonly kind: "jam";
  readonly onMove: number;
}

export class FileRobot implements Robot {
  readonly directory: string;
  readonly #options: FileRobotOptions;
  readonly #clock: Clock;
  readonly #sleep: (durationMs: number) => Promise<void>;
  readonly #moveMs: number;
  #state: LibraryState;
  #queue: Promise<unknown> = Promise.resolve();
  #jamInMoves = 0;
  #isJammed = false;

  private constructor(options: FileRobotOptions, state: LibraryState) {
    this.directory = options.directory;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#sleep = options.sleep ?? ((durationMs) => Bun.sleep(durationMs));
    this.#moveMs = options.latencies?.moveMs ?? 0;
    this.#state = state;
  }

  /** Drives and robot are of others: a drive that hangs cannot be asked for anything meanwhile. */
  get isForeign(): boolean {
    return this.#options.hand !== undefined;
  }

  reaches(sourceAddress: number, destinationAddress: number): boolean {
    return this.#options.reaches?.(sourceAddress, destinationAddress) ?? true;
  }

  static open(options: FileRobotOptions): FileRobot | LibraryProblem {
    const state = loadLibraryState(options.directory, options.hand === undefined);
    if ("kind" in state) return state;
    return new FileRobot(
      options,
      options.mailSlots === undefined ? state : withMailSlots(state, options.mailSlots),
    );
  }

  // --- what there is ---

  inventory(): Inventory {
    const { drives, slots, cartridges, mailSlots = [] } = this.#state;
    const where = new Map<string, number>();
    for (const element of [...drives, ...slots, ...mailSlots]) {
      if (element.barcode !== null) where.set(element.barcode, element.address);
    }
    return {
      drives: drives.map((drive) => ({ kind: "drive", ...drive })),
      slots: slots.map((slot) => ({ kind: "slot", ...slot })),
      mailSlots: mailSlots.map((slot) => ({ kind: "mailSlot", ...slot })),
      cartridges: cartridges.map(
        (entry): CartridgeEntry => ({
          barcode: entry.barcode,
          serial: entry.serial,
          capacityBytes: entry.capacityBytes,
          homeAddress: entry.homeAddress,
          isSpare: entry.isSpare,
          shown: shownAs(entry),
          hasFailed: (entry.failure ?? null) !== null,
          isReserve: isReserve(entry),
          address: where.get(entry.barcode) ?? entry.homeAddress,
        }),
      ),
    };
  }

  element(address: number): LibraryElement | null {
    const { drives, slots, mailSlots } = this.inventory();
    return [...drives, ...slots, ...mailSlots].find((element) => element.address === address) ?? null;
  }

  drive(id: DriveId): DriveElement | null {
    return this.inventory().drives.find((drive) => drive.id === id) ?? null;
  }

  pathOf(barcode: Barcode): string {
    return cartridgePath(this.directory, barcode);
  }

  health(): LibraryHealth {
    return healthOf(this.#state);
  }

  // --- marks ---

  #commit(state: LibraryState): void {
    this.#state = state;
    try {
      saveLibraryState(this.directory, state);
    } catch (error) {
      // What was moved was moved; the next one writes the whole map again.
      log.error("the library's map could not be written", { error });
    }
  }

  failDrive(id: DriveId, reason: string): void {
    this.#commit(withDriveFailed(this.#state, id, reason, this.#clock.wallMs()));
  }

  returnDrive(id: DriveId): void {
    this.#commit(withDriveReturned(this.#state, id));
  }

  /** A spare cartridge takes place and name of a failed one. */
  standIn(failed: Barcode, replacement: Barcode, reason: string): void {
    this.#commit(withStandIn(this.#state, failed, replacement, reason, this.#clock.wallMs()));
  }

  standIns(): readonly StandIn[] {
    return standInsOf(this.#state);
  }

  noteError(error: Omit<LibraryError, "atMs">): void {
    this.#commit(withError(this.#state, { ...error, atMs: this.#clock.wallMs() }));
  }

  // --- cartridges by hand: between two moves, never during one ---

  addCartridge(wanted: NewStock): Promise<StockOutcome> {
    return this.#byHand((state) => added(state, wanted, this.directory, this.#options.makeCartridge));
  }

  exportCartridge(barcode: Barcode): Promise<StockOutcome> {
    return this.#byHand((state) => exportedTogether(state, barcode));
  }

  importCartridge(barcode: Barcode): Promise<StockOutcome> {
    return this.#byHand((state) => imported(state, barcode));
  }

  #byHand(work: (state: LibraryState) => StockChange): Promise<StockOutcome> {
    return this.#inTurn(async () => {
      if (this.#options.hand !== undefined)
        return { kind: "conflict", text: "cartridges of this library go in and out by its own mail slots" };
      const { outcome, state } = work(this.#state);
      if (state !== null) this.#commit(state);
      return outcome;
    });
  }

  // --- faults ---

  arm(fault: RobotFault): void {
    this.#jamInMoves = fault.onMove;
  }

  clearFaults(): void {
    this.#jamInMoves = 0;
    this.#isJammed = false;
  }

  #moveJams(): boolean {
    if (this.#jamInMoves > 0 && --this.#jamInMoves === 0) this.#isJammed = true;
    return this.#isJammed;
  }

  // --- moving ---

  /** After a restart: drives get the cartridges that lay in them. Returns what a drive did not take, in words. */
  reseat(): Promise<readonly string[]> {
    return this.#inTurn(async () => {
      const problems: string[] = [];
      for (const drive of this.#state.drives) {
        if (drive.barcode === null) continue;
        const why = await this.#options.bay(drive.id)?.insert(this.pathOf(drive.barcode));
        if (why) problems.push(`drive ${drive.id} does not take ${drive.barcode}: ${why}`);
      }
      return problems;
    });
  }

  /** Somebody else may have moved something: the map is made anew. null: done; else why not, and the map is as before. */
  lookAgain(): Promise<string | null> {
    return this.#inTurn(async () => {
      const found = (await this.#options.look?.(this.#state)) ?? null;
      if (found !== null && typeof found !== "string") this.#commit(found);
      return typeof found === "string" ? found : null;
    });
  }

  moveMedium(sourceAddress: number, destinationAddress: number): Promise<MoveOutcome> {
    return this.#inTurn(() => this.#move(sourceAddress, destinationAddress));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #move(sourceAddress: number, destinationAddress: number): Promise<MoveOutcome> {
    const source = this.element(sourceAddress);
    const destination = this.element(destinationAddress);
    if (source === null) return refused("noSuchElement", `there is no element ${sourceAddress}`);
    if (destination === null) return refused("noSuchElement", `there is no element ${destinationAddress}`);
    const barcode = source.barcode;
    if (barcode === null) return refused("sourceEmpty", `element ${sourceAddress} is empty`);
    if (source.address === destination.address) return { kind: "moved", barcode };
    if (destination.barcode !== null) {
      return refused("destinationFull", `element ${destinationAddress} holds ${destination.barcode}`);
    }
    if (this.#moveJams()) return refused("jam", "the robot is jammed");

    if (source.kind === "drive") {
      const ejected = (await this.#options.bay(source.id)?.eject()) ?? "empty";
      if (ejected === "stuck") return refused("stuck", `${barcode} is stuck in drive ${source.id}`);
      if (ejected === "prevented") {
        return refused("removalPrevented", `drive ${source.id} was told to keep ${barcode}`);
      }
    }
    if (this.#moveMs > 0) await this.#sleep(this.#moveMs);
    const { hand } = this.#options;
    if (hand !== undefined) {
      const refusal = await hand(sourceAddress, destinationAddress);
      if (refusal !== null) return refusal;
      this.#commit(moved(this.#state, barcode, destinationAddress)); // it lies there, whatever the drive says
    }
    if (destination.kind === "drive") {
      const why = await this.#options.bay(destination.id)?.insert(this.pathOf(barcode));
      if (why && hand !== undefined)
        return refused("loadFailed", `drive ${destination.id} does not take ${barcode}: ${why}`);
      if (why) await this.#options.bay(destination.id)?.eject();
      if (why)
        return this.#putBack(source, barcode, `drive ${destination.id} does not take ${barcode}: ${why}`);
    }
    this.#commit(moved(this.#state, barcode, destinationAddress));
    return { kind: "moved", barcode };
  }

  /** A load failed. A cartridge from a slot is in its slot still; one from another drive goes to its own slot. */
  #putBack(source: LibraryElement, barcode: Barcode, text: string): MoveOutcome {
    if (source.kind === "drive") {
      const home = this.#state.cartridges.find((entry) => entry.barcode === barcode)?.homeAddress;
      const free = this.#state.slots.find((slot) => slot.address === home && slot.barcode === null);
      const other = free ?? this.#state.slots.find((slot) => slot.barcode === null);
      if (other !== undefined) this.#commit(moved(this.#state, barcode, other.address));
    }
    return refused("loadFailed", text);
  }
}

function moved(state: LibraryState, barcode: Barcode, destinationAddress: number): LibraryState {
  const place = <T extends { address: number; barcode: Barcode | null }>(element: T): T => {
    if (element.address === destinationAddress) return { ...element, barcode };
    return element.barcode === barcode ? { ...element, barcode: null } : element;
  };
  const mailSlots = state.mailSlots === undefined ? {} : { mailSlots: state.mailSlots.map(place) };
  return { ...state, drives: state.drives.map(place), slots: state.slots.map(place), ...mailSlots };
}
