/** @module What a seed stands for: sizes, the host's program, and the faults that will happen. Plain data, printed
 *  whole by `run.ts --trace`. */
import type { Spares } from "../../src/director/choose.ts";
import type { BadCartridge, NoSpare } from "../../src/director/states.ts";
import { Random } from "./random.ts";

export const WRITE_FAULTS = [
  "hardware",
  "vanish",
  "hang",
  "deferredHardware",
  "deferredMedium",
  "mediumError",
  "reset",
] as const;
export type WriteFault = (typeof WRITE_FAULTS)[number];

export interface DrivePlan {
  readonly role: "primary" | "spare";
  /** The drive's n-th write ends so. */
  readonly writeFaults: ReadonlyMap<number, WriteFault>;
  readonly deadOnArrival: boolean;
  readonly failsVerify: boolean;
  readonly failsCoupling: boolean;
  /** Its cartridge cannot be unloaded once it failed. */
  readonly sticks: boolean;
  /** Blocks that it takes before they are on the medium. */
  readonly bufferBlocks: number;
}

export type HostOperation =
  | { readonly kind: "write" | "unbuffered"; readonly bytes: number }
  | { readonly kind: "filemark" | "filemarkImmediate" | "barrier" };

export interface DevicePlan {
  readonly program: readonly HostOperation[];
  readonly queueDepth: number;
  readonly thinkMs: number;
  readonly ringBytes: number;
  readonly cacheBytes: number;
  readonly cartridgeBytes: number;
  readonly beyondCartridge: boolean;
  readonly noSpare: NoSpare;
  readonly badCartridge: BadCartridge;
  /** Every drive finds it hard to write. */
  readonly cartridgeBad: boolean;
  /** Loses blocks that were confirmed, when it is moved. */
  readonly cartridgeLosesData: boolean;
}

export type RobotFault = "source" | "destination" | "unknown";

export interface Schedule {
  readonly seed: number;
  readonly devices: readonly DevicePlan[];
  readonly drives: readonly DrivePlan[];
  readonly spares: Spares;
  /** Cartridges in reserve; some are bad themselves, or not empty. */
  readonly reserve: readonly { readonly bad: boolean; readonly empty: boolean }[];
  /** The robot's n-th move fails, with the cartridge found there. */
  readonly robotFaults: ReadonlyMap<number, RobotFault>;
  readonly crashesAtMs: readonly number[];
  readonly stopAtMs: number | null;
  /** Failed drives are repaired and returned at these times. */
  readonly returnsAtMs: readonly number[];
  readonly retriesAtMs: readonly number[];
  /** Part of all answers that arrive twice, the second time late. */
  readonly echo: number;
}

export const STRIPE_BYTES = 32768;
export const BLOCK_BYTES_MAX = 32768;

function planProgram(random: Random): HostOperation[] {
  const program: HostOperation[] = [];
  const blockBytes = random.pick([512, 10240, 16384, 32768]);
  const varied = random.chance(0.5);
  const markEvery = random.pick([3, 10, 30, 1000]);
  const unbuffered = random.chance(0.1);
  for (let left = random.between(20, 160); left > 0; left--) {
    if (random.chance(1 / markEvery))
      program.push({ kind: random.pick(["filemark", "filemark", "filemarkImmediate", "barrier"]) });
    const bytes = varied ? random.between(1, BLOCK_BYTES_MAX) : blockBytes;
    program.push({ kind: unbuffered && random.chance(0.2) ? "unbuffered" : "write", bytes });
  }
  program.push({ kind: "filemark" });
  return program;
}

function planDevice(random: Random): DevicePlan {
  const ringBytes = STRIPE_BYTES * random.pick([8, 8, 16, 32]);
  return {
    program: planProgram(random),
    queueDepth: random.pick([1, 1, 2, 8]),
    thinkMs: random.pick([0, 0, 0.5, 5]),
    ringBytes,
    cacheBytes: ringBytes * random.pick([1, 2, 4, 16]),
    cartridgeBytes: STRIPE_BYTES * random.pick([8, 32, 1024]),
    beyondCartridge: random.chance(0.2),
    noSpare: random.pick(["report", "hold"]),
    badCartridge: random.pick(["swap", "otherDrive"]),
    cartridgeBad: random.chance(0.06),
    cartridgeLosesData: random.chance(0.02),
  };
}

function planDrive(random: Random, role: "primary" | "spare"): DrivePlan {
  const writeFaults = new Map<number, WriteFault>();
  const faults = role === "primary" ? random.between(0, 2) : random.chance(0.35) ? 1 : 0;
  for (let i = 0; i < faults; i++) writeFaults.set(random.between(1, 140), random.pick(WRITE_FAULTS));
  const spare = role === "spare";
  return {
    role,
    writeFaults,
    deadOnArrival: spare && random.chance(0.12),
    failsVerify: spare && random.chance(0.08),
    failsCoupling: spare && random.chance(0.05),
    sticks: random.chance(0.06),
    bufferBlocks: random.between(0, 10),
  };
}

export function planOf(seed: number): Schedule {
  const random = new Random(seed);
  const devices = Array.from({ length: random.pick([1, 1, 1, 2]) }, () => planDevice(random));
  const drives = [
    ...devices.map(() => planDrive(random, "primary")),
    ...Array.from({ length: random.pick([0, 1, 1, 2, 2, 3]) }, () => planDrive(random, "spare")),
  ];
  if (random.chance(0.2)) drives.push(planDrive(random, "primary"));
  const robotFaults = new Map<number, RobotFault>();
  if (random.chance(0.25)) {
    const first = random.between(1, 2);
    robotFaults.set(first, random.pick(["source", "source", "destination", "unknown"]));
    if (random.chance(0.3)) robotFaults.set(first + 1, "source");
  }
  const times = (probability: number, max: number) =>
    random.chance(probability)
      ? Array.from({ length: random.between(1, 2) }, () => random.between(1, max))
      : [];
  const schedule: Schedule = {
    seed,
    devices,
    drives,
    spares: random.pick(["dedicated", "any"]),
    reserve: Array.from({ length: random.pick([0, 1, 1, 2, 3]) }, () => ({
      bad: random.chance(0.1),
      empty: random.chance(0.95),
    })),
    robotFaults,
    crashesAtMs: times(0.3, 1500),
    stopAtMs: random.chance(0.1) ? random.between(1, 1500) : null,
    returnsAtMs: times(0.3, 6000),
    retriesAtMs: times(0.3, 6000),
    echo: random.pick([0, 0.2, 0.5]),
  };
  // A crash before a spare cartridge was found not to be empty, and before anything was promised, leaves what it held: there
  // is nothing then to tell it from an append.
  if (schedule.crashesAtMs.length === 0) return schedule;
  return { ...schedule, reserve: schedule.reserve.map((spare) => ({ ...spare, empty: true })) };
}
