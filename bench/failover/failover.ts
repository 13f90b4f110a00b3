/** @module `bun run bench failover`: a drive dies while a host streams. How long until the tape streams again, how long did
 *  the host wait at most for one command, and how fast is the replay beside the drive's own rate while the host goes on?
 *
 *  The drives are paced, and the mechanism takes its time, so that there is something to replay. Every stream is read
 *  back through the device and compared. */
import type { HouseEvent } from "../../src/base/events.ts";
import { onWarmGround } from "../ballast.ts";
import type { Ground } from "../ground.ts";
import { type Machine, thisMachine } from "../machine.ts";
import { must } from "../process.ts";
import { type Figure, figureOf } from "../statistics.ts";
import { stream } from "../tee/client.ts";
import { type Gateway, startGateway } from "../tee/gateway.ts";
import { FULL as TEE_FULL, TINY as TEE_TINY, type Sizes as TeeSizes } from "../tee/sizes.ts";

const MIB = 1024 * 1024;
const POLL_MS = 20;

export interface FailoverSizes extends TeeSizes {
  readonly streamBytes: number;
  /** Part of the stream after which the drive dies. */
  readonly faultAt: number;
  readonly mechanismMs: number;
}

export const FAILOVER_FULL: FailoverSizes = {
  ...TEE_FULL,
  paceBytesPerSecond: 200e6,
  cacheBytes: 2048 * MIB,
  streamBytes: 4e9,
  faultAt: 0.3,
  mechanismMs: 1000,
  groundBytes: 10e9,
};

export const FAILOVER_TINY: FailoverSizes = {
  ...TEE_TINY,
  paceBytesPerSecond: 40e6,
  cacheBytes: 64 * MIB,
  streamBytes: 120e6,
  faultAt: 0.4,
  mechanismMs: 50,
};

interface Round {
  readonly faultToStreamingMs: number;
  readonly longestHostStallMs: number;
  readonly replayBytes: number;
  readonly replayMBps: number;
  readonly hostMBpsInRecovery: number;
  readonly comparedBlocks: number;
}

export interface FailoverResult {
  readonly bench: "failover";
  readonly sizes: FailoverSizes;
  readonly machine: Machine;
  readonly driveMBps: number;
  readonly faultToStreamingMs: Figure;
  readonly longestHostStallMs: Figure;
  readonly replayMBps: Figure;
  /** Replay beside the drive's own rate; 1: it never waits for the replay. */
  readonly replayOverDrive: number;
  /** What the host sent meanwhile: it was never stopped. */
  readonly hostMBpsInRecovery: Figure;
  readonly comparedBlocks: number;
  readonly reached: { readonly replay: boolean; readonly host: boolean };
}

const REPLAY_LEAST = 0.9;
const HOST_TIMER_MS = 900_000;

export async function runFailover(
  sizes: FailoverSizes,
  ground: Ground,
  say: (text: string) => void,
): Promise<FailoverResult> {
  const rounds: Round[] = [];
  for (let n = 0; n < sizes.rounds; n++) {
    const round = await runRound(ground, sizes);
    rounds.push(round);
    say(
      `fault to streaming ${round.faultToStreamingMs.toFixed(0)} ms, host waited at most ${round.longestHostStallMs.toFixed(0)} ms, replay ${round.replayMBps.toFixed(0)} MB/s while the host sent ${round.hostMBpsInRecovery.toFixed(0)} MB/s`,
    );
  }
  const figure = (of: (round: Round) => number) => figureOf(rounds.map(of));
  const driveMBps = sizes.paceBytesPerSecond / 1e6;
  const replayMBps = figure((round) => round.replayMBps);
  const longestHostStallMs = figure((round) => round.longestHostStallMs);
  const replayOverDrive = replayMBps.median / driveMBps;
  return {
    bench: "failover",
    sizes,
    machine: thisMachine(),
    driveMBps,
    faultToStreamingMs: figure((round) => round.faultToStreamingMs),
    longestHostStallMs,
    replayMBps,
    replayOverDrive,
    hostMBpsInRecovery: figure((round) => round.hostMBpsInRecovery),
    comparedBlocks: rounds.reduce((sum, round) => sum + round.comparedBlocks, 0),
    reached: { replay: replayOverDrive >= REPLAY_LEAST, host: longestHostStallMs.most < HOST_TIMER_MS },
  };
}

async function runRound(ground: Ground, sizes: FailoverSizes): Promise<Round> {
  const { blockBytes, streamBytes, paceBytesPerSecond, mechanismMs } = sizes;
  const capacityBytes = streamBytes * 1.5 + 4 * sizes.ringBytes;
  const gateway = await startGateway(ground, sizes, {
    withCache: true,
    paceBytesPerSecond,
    capacityBytes,
    mechanismMs,
  });
  try {
    return await onWarmGround(ground, streamBytes, async () => {
      const client = stream(
        { portal: gateway.portal, lun: 1, changerLun: 0, load: "1" },
        { bytes: streamBytes, blockBytes, depth: 1, verify: true },
      );
      const watched = await Promise.race([watch(gateway, sizes), client.then(() => null)]);
      const result = await client;
      if (watched === null) throw new Error("the stream ended before the drive had recovered");
      return {
        ...watched,
        longestHostStallMs: result.longestStallMs,
        comparedBlocks: result.verified?.blocks ?? 0,
      };
    });
  } finally {
    await gateway.stop();
  }
}

interface Sample {
  readonly atMs: number;
  readonly onTapeBytes: number;
  readonly receivedBytes: number;
}

/** Breaks drive 1 in the middle and looks on until the tape streams again. */
async function watch(
  gateway: Gateway,
  sizes: FailoverSizes,
): Promise<Omit<Round, "longestHostStallMs" | "comparedBlocks">> {
  let faultMs = -1;
  let fault: Sample | null = null;
  let replayFrom: Sample | null = null;
  let last: Sample | null = null;
  let replaying = false;
  let seenBytes = 0;
  for (;;) {
    const device = must((await gateway.status()).devices[0]);
    const { received, onTape } = device.marks;
    const now: Sample = { atMs: performance.now(), onTapeBytes: onTape.bytes, receivedBytes: received.bytes };
    if (faultMs < 0 && received.bytes >= sizes.streamBytes * sizes.faultAt) {
      await breakDrive(gateway.url);
      faultMs = performance.now();
      fault = now;
    } else if (device.state === "Replaying") {
      // The mark moves whenever the drive was asked: from one of its steps to another there is no doubt.
      if (replaying && now.onTapeBytes !== seenBytes) {
        replayFrom ??= now;
        last = now;
      }
      replaying = true;
      seenBytes = now.onTapeBytes;
    } else if (
      faultMs >= 0 &&
      device.state === "Streaming" &&
      (replaying || (await recovered(gateway.url)))
    ) {
      const end = last ?? now;
      const from = replayFrom ?? now;
      const replaySeconds = Math.max(1, end.atMs - from.atMs) / 1000;
      const recoverySeconds = Math.max(1, now.atMs - must(fault).atMs) / 1000;
      return {
        faultToStreamingMs: await recoveryMs(gateway.url),
        replayBytes: end.onTapeBytes - from.onTapeBytes,
        replayMBps: (end.onTapeBytes - from.onTapeBytes) / 1e6 / replaySeconds,
        hostMBpsInRecovery: (now.receivedBytes - must(fault).receivedBytes) / 1e6 / recoverySeconds,
      };
    }
    await Bun.sleep(POLL_MS);
  }
}

async function breakDrive(url: string): Promise<void> {
  const answer = await fetch(`${url}/api/v1/drives/1/fault`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ rule: "on write 1: hardware error" }),
  });
  if (!answer.ok) throw new Error(`the fault was refused: ${await answer.text()}`);
}

async function events(url: string): Promise<readonly HouseEvent[]> {
  const answer = await fetch(`${url}/api/v1/events?limit=1000`);
  return ((await answer.json()) as { events: HouseEvent[] }).events;
}

async function recovered(url: string): Promise<boolean> {
  return (await events(url)).some((event) => event.transition === "Replaying -> Streaming");
}

async function recoveryMs(url: string): Promise<number> {
  const list = await events(url);
  const failed = must(list.find((event) => event.transition === "operationFailed"));
  const streaming = must(list.find((event) => event.transition === "Replaying -> Streaming"));
  return streaming.atMs - failed.atMs;
}

/** For people. */
export function reportFailover(result: FailoverResult): string {
  const { faultToStreamingMs, longestHostStallMs, replayMBps, hostMBpsInRecovery } = result;
  const yes = (good: boolean) => (good ? "reached" : "NOT REACHED");
  return `${[
    `failover, ${result.sizes.rounds} rounds, drives of ${result.driveMBps} MB/s, medians (least to most)`,
    `  fault until the tape streams again   ${span(faultToStreamingMs)} ms`,
    `  longest wait of one host command     ${span(longestHostStallMs)} ms   ${yes(result.reached.host)} (< ${HOST_TIMER_MS} ms)`,
    `  replay                               ${span(replayMBps)} MB/s = ${result.replayOverDrive.toFixed(2)} of the drive's rate   ${yes(result.reached.replay)} (>= ${REPLAY_LEAST})`,
    `  host meanwhile                       ${span(hostMBpsInRecovery)} MB/s`,
    `  read back and identical              ${result.comparedBlocks} blocks`,
  ].join("\n")}\n`;
}

function span(figure: Figure): string {
  return `${figure.median.toFixed(0)} (${figure.least.toFixed(0)} to ${figure.most.toFixed(0)})`;
}
