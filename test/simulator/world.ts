/** @module One run: the models of a schedule, from the first command until nothing more will happen, or a promise breaks. */
import type { Barcode, DeviceName } from "../../src/base/brands.ts";
import { isMalformed, parseBarcode, parseDeviceName, parseDriveId } from "../../src/base/brands.ts";
import { mayAcknowledge } from "../../src/director/acknowledge.ts";
import { choose, type Pool, returnDrive, setHolds } from "../../src/director/choose.ts";
import { type FailureHistory, forgetDrive } from "../../src/director/score.ts";
import { step } from "../../src/director/step.ts";
import { Device } from "./device.ts";
import { checkEnd } from "./ends.ts";
import { Cartridge, ModelDrive, Robot } from "./library.ts";
import { PromiseBroken } from "./promises.ts";
import { Random } from "./random.ts";
import { planOf, type Schedule } from "./schedule.ts";
import { Timeline } from "./timeline.ts";

/** The pure parts under test; a mutation replaces one. */
export interface Rules {
  readonly acknowledge: typeof mayAcknowledge;
  readonly step: typeof step;
  readonly choose: typeof choose;
}

export const RULES: Rules = { acknowledge: mayAcknowledge, step, choose };

function ok<T>(value: T): Exclude<T, { kind: "malformed" }> {
  if (isMalformed(value)) throw new Error(`bad name in the model: ${JSON.stringify(value)}`);
  return value as Exclude<T, { kind: "malformed" }>;
}

/** What some spare cartridge holds already. */
const FOREIGN = 1_000_000;
const LIFE_MS_MAX = 600_000;
const LOOK_EVERY_MS = 60;

export class World {
  readonly timeline = new Timeline();
  readonly random: Random;
  readonly drives: ModelDrive[];
  readonly devices: Device[];
  readonly robot: Robot;
  /** Cartridges in reserve that were not chosen yet. */
  readonly reserve: Cartridge[];
  /** What lies in slots. */
  readonly slots = new Set<Cartridge>();
  pool: Pool;
  history: FailureHistory = [];
  readonly faultsSeen = new Set<string>();
  crashes = 0;
  /** Things that people, or a kill, will still do. */
  private planned = 0;
  private quiet = 0;
  private over = false;

  constructor(
    readonly schedule: Schedule,
    readonly rules: Rules,
    private readonly print: ((line: string) => void) | null,
  ) {
    this.random = new Random(schedule.seed ^ 0x5bd1e995);
    this.robot = new Robot(schedule.robotFaults);
    this.drives = schedule.drives.map(
      (plan, i) => new ModelDrive(ok(parseDriveId(i + 1)), plan, this.random),
    );
    const { devices } = schedule;
    this.pool = this.drives.map(({ id, plan }) => ({
      id,
      role: plan.role,
      condition: "good",
      usedBy: id <= devices.length ? this.deviceName(id) : null,
      holds: null,
    }));
    this.reserve = schedule.reserve.map(({ bad, empty }, i) => {
      const cartridge = new Cartridge(ok(parseBarcode(`SPA00${i + 1}L8`)), bad);
      if (!empty) cartridge.content.push(FOREIGN);
      this.slots.add(cartridge);
      return cartridge;
    });
    this.devices = [];
    devices.forEach((plan, i) => {
      const cartridge = new Cartridge(ok(parseBarcode(`UND00${i + 1}L8`)), plan.cartridgeBad);
      cartridge.spoiled = plan.cartridgeLosesData;
      this.devices.push(new Device(this, this.deviceName(i + 1), plan, cartridge, i + 1));
      this.pool = setHolds(this.pool, this.drive(i + 1).id, cartridge.barcode);
    });
    this.plan();
  }

  private deviceName(number: number): DeviceName {
    return ok(parseDeviceName(`drive-${number}`));
  }

  drive(id: number): ModelDrive {
    return this.drives[id - 1]!;
  }

  driveWith(barcode: Barcode): ModelDrive | undefined {
    return this.drives.find((drive) => drive.cartridge?.barcode === barcode);
  }

  /** A drive came free after this device had asked in vain: only a person's retry would find it. */
  freedLater(name: DeviceName): boolean {
    return this.devices.some((device) => device.name !== name && device.transitions > 0);
  }

  trace(text: () => string): void {
    this.print?.(`${this.timeline.nowMs.toFixed(2).padStart(10)} ${text()}`);
  }

  run(): void {
    for (const device of this.devices) device.kick();
    this.look();
    while (!this.over && this.timeline.advance())
      if (this.timeline.nowMs > LIFE_MS_MAX)
        throw new PromiseBroken(`no end: ${this.devices.map((device) => device.state.name).join(", ")}`);
    for (const device of this.devices) checkEnd(device);
  }

  private look(): void {
    this.timeline.after(LOOK_EVERY_MS, () => {
      const settled = this.planned === 0 && this.devices.every((device) => device.alive && device.settled());
      this.quiet = settled ? this.quiet + 1 : 0;
      this.over = this.quiet >= 6;
      if (!this.over) this.look();
    });
  }

  private at(timeMs: number, run: () => void): void {
    this.planned++;
    this.timeline.after(timeMs, () => {
      this.planned--;
      run();
    });
  }

  private plan(): void {
    const { crashesAtMs, stopAtMs, returnsAtMs, retriesAtMs } = this.schedule;
    for (const atMs of crashesAtMs) this.at(atMs, () => this.crash());
    for (const atMs of returnsAtMs) this.at(atMs, () => this.returnDrives());
    for (const atMs of retriesAtMs)
      this.at(atMs, () => {
        for (const device of this.alive()) device.send({ kind: "operatorRetry", drive: null });
      });
    if (stopAtMs !== null)
      this.at(stopAtMs, () => {
        for (const device of this.alive()) device.send({ kind: "stopRequested" });
      });
  }

  private alive(): Device[] {
    return this.devices.filter((device) => device.alive);
  }

  private crash(): void {
    if (this.alive().length === 0) return;
    this.crashes++;
    for (const device of this.devices) device.crash();
    this.at(300, () => {
      for (const device of this.devices) device.restart();
    });
  }

  private returnDrives(): void {
    if (this.alive().length === 0) return;
    for (const { id, condition } of this.pool) {
      if (condition !== "failed") continue;
      this.drive(id).repair();
      this.pool = returnDrive(this.pool, id);
      this.history = forgetDrive(this.history, id);
      for (const device of this.devices) device.send({ kind: "driveReturned", drive: id });
    }
  }
}

export interface Outcome {
  readonly seed: number;
  readonly broken: string | null;
  readonly ends: readonly string[];
  readonly hostErrors: number;
  readonly acknowledgements: number;
  readonly transitions: number;
  readonly drivesFailed: number;
  readonly crashes: number;
  /** Cartridges that another one stood in for. */
  readonly replacements: number;
}

export function runSeed(
  seed: number,
  rules: Rules = RULES,
  print: ((line: string) => void) | null = null,
): Outcome {
  const schedule = planOf(seed);
  const world = new World(schedule, rules, print);
  let broken: string | null = null;
  try {
    world.run();
  } catch (error) {
    if (!(error instanceof PromiseBroken)) throw error;
    broken = error.message;
  }
  const sum = (of: (device: Device) => number) =>
    world.devices.reduce((total, device) => total + of(device), 0);
  return {
    seed,
    broken,
    ends: world.devices.map(({ state }) =>
      state.name === "Halted" ? `Halted: ${state.reason}` : state.name,
    ),
    hostErrors: sum(({ front }) => (front.failed ? 1 : 0)),
    acknowledgements: sum(({ front }) => front.acknowledgements),
    transitions: sum(({ transitions }) => transitions),
    drivesFailed: world.drives.filter((drive) => drive.faultsHit > 0).length,
    crashes: world.crashes,
    replacements: sum(({ replacements }) => replacements),
  };
}
