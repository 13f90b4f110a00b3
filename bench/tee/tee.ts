/** @module The tee bench: what the cache costs, how fast the tee is, what it uses. */
import { loadavg } from "node:os";
import { libiscsiObstacle } from "../client/libiscsi.ts";
import type { Ground } from "../ground.ts";
import { type Machine, thisMachine } from "../machine.ts";
import { benchPaced, type Paced } from "./paced.ts";
import { benchResident, type Resident } from "./resident.ts";
import type { Sizes } from "./sizes.ts";
import { benchUnpaced, type Unpaced } from "./unpaced.ts";

export const PARTS = ["paced", "unpaced", "resident"] as const;
export type Part = (typeof PARTS)[number];

export interface TeeOptions {
  readonly sizes: Sizes;
  readonly parts: readonly Part[];
  readonly ground: Ground;
  readonly say: (text: string) => void;
}

export interface TeeResult {
  readonly bench: "tee";
  readonly sizes: Sizes;
  readonly machine: Machine;
  readonly ground: string;
  /** The machine's load (1 minute) before: more than about 0.5 means that others ran beside the bench. */
  readonly loadBefore: number;
  readonly paced?: Paced;
  readonly unpaced?: Unpaced;
  readonly resident?: Resident;
  /** By the letters: (a) paced, (b) unpaced, (d) resident; (c) is a figure with no limit to reach. */
  readonly reached: Readonly<Record<string, boolean>>;
}

export async function runTee({ sizes, parts, ground, say }: TeeOptions): Promise<TeeResult> {
  const obstacle = libiscsiObstacle();
  if (obstacle !== undefined) throw new Error(obstacle);
  const loadBefore = loadavg()[0] ?? 0;
  const paced = parts.includes("paced") ? await benchPaced(ground, sizes, say) : undefined;
  const unpaced = parts.includes("unpaced") ? await benchUnpaced(ground, sizes, say) : undefined;
  const resident = parts.includes("resident") ? await benchResident(ground, sizes, say) : undefined;
  return {
    bench: "tee",
    sizes,
    machine: thisMachine(),
    ground: ground.describe,
    loadBefore,
    ...(paced === undefined ? {} : { paced }),
    ...(unpaced === undefined ? {} : { unpaced }),
    ...(resident === undefined ? {} : { resident }),
    reached: {
      ...(paced === undefined ? {} : { a: paced.reached }),
      ...(unpaced === undefined ? {} : { b: unpaced.reached }),
      ...(resident === undefined ? {} : { d: resident.reached }),
    },
  };
}
