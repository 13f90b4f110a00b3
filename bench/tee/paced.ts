/** @module (a) The cache costs a streaming drive nothing: a drive with a pace of its own and no catch-up credit, the
 *  same client with the cache and without, by turns. Every stream is read back and compared. */
import { onWarmGround } from "../ballast.ts";
import type { Ground } from "../ground.ts";
import { type Figure, figureOf } from "../statistics.ts";
import { stream } from "./client.ts";
import { startGateway } from "./gateway.ts";
import type { Sizes } from "./sizes.ts";

const RATIO_LEAST = 0.98;

export interface PacedSide {
  readonly MBps: Figure;
  /** Each round's time that the tape stood still while data for it lay in the ring. */
  readonly idleWhileWaitingMs: Figure;
  readonly longestStallMs: Figure;
}

export interface Paced {
  readonly bytes: number;
  readonly paceMBps: number;
  readonly withCache: PacedSide;
  readonly withoutCache: PacedSide;
  readonly ratio: number;
  /** Blocks read back and found identical, both sides together. */
  readonly comparedBlocks: number;
  readonly reached: boolean;
}

interface Round {
  readonly MBps: number;
  readonly idleWhileWaitingMs: number;
  readonly longestStallMs: number;
  readonly comparedBlocks: number;
}

export async function benchPaced(ground: Ground, sizes: Sizes, say: (text: string) => void): Promise<Paced> {
  const rounds: Record<"with" | "without", Round[]> = { with: [], without: [] };
  for (let round = 0; round < sizes.rounds; round++) {
    for (const side of ["with", "without"] as const) {
      const one = await runRound(ground, sizes, side === "with");
      rounds[side].push(one);
      say(
        `(a) ${side} cache: ${one.MBps.toFixed(1)} MB/s, idle while data waited ${one.idleWhileWaitingMs.toFixed(1)} ms`,
      );
    }
  }
  const sideOf = (list: readonly Round[]): PacedSide => ({
    MBps: figureOf(list.map((one) => one.MBps)),
    idleWhileWaitingMs: figureOf(list.map((one) => one.idleWhileWaitingMs)),
    longestStallMs: figureOf(list.map((one) => one.longestStallMs)),
  });
  const [withCache, withoutCache] = [sideOf(rounds.with), sideOf(rounds.without)];
  const ratio = withCache.MBps.median / withoutCache.MBps.median;
  return {
    bytes: sizes.pacedBytes,
    paceMBps: sizes.paceBytesPerSecond / 1e6,
    withCache,
    withoutCache,
    ratio,
    comparedBlocks: [...rounds.with, ...rounds.without].reduce((sum, one) => sum + one.comparedBlocks, 0),
    reached: ratio >= RATIO_LEAST && withCache.idleWhileWaitingMs.median === 0,
  };
}

/** A gateway of its own each time: there is room for one such cartridge. */
async function runRound(ground: Ground, sizes: Sizes, withCache: boolean): Promise<Round> {
  const { blockBytes, pacedBytes, paceBytesPerSecond } = sizes;
  const capacityBytes = pacedBytes * 1.05 + 4 * sizes.ringBytes;
  const gateway = await startGateway(ground, sizes, { withCache, paceBytesPerSecond, capacityBytes });
  try {
    const drive = { portal: gateway.portal, lun: 1, changerLun: 0 };
    await stream({ ...drive, load: "2" }, { bytes: sizes.warmUpBytes, blockBytes, depth: 1, unload: true });
    const idleBeforeMs = await gateway.idleWhileWaitingMs();
    const result = await onWarmGround(ground, pacedBytes, () =>
      stream({ ...drive, load: "1" }, { bytes: pacedBytes, blockBytes, depth: 1, verify: true }),
    );
    return {
      MBps: result.MBps,
      idleWhileWaitingMs: (await gateway.idleWhileWaitingMs()) - idleBeforeMs,
      longestStallMs: result.longestStallMs,
      comparedBlocks: result.verified?.blocks ?? 0,
    };
  } finally {
    await gateway.stop();
  }
}
