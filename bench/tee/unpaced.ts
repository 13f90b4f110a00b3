/** @module (b) How fast the tee is with nothing to wait for, against tgtd without any tee, and (c) what it costs.
 *
 *  The same client writes to each by turns, to a cartridge in memory that was touched before: tgtd writes its own again
 *  in place, ours is cut first and grows into warm ground. The first round is not counted. The client's ceiling is what it reaches against a target that
 *  receives every block, throws it away and answers GOOD (bench/peers/null-target.ts). */
import { mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { freePort, startTgtd, type Tgtd, tgtdObstacle } from "../../test/tgt/tgtd.ts";
import { onWarmGround } from "../ballast.ts";
import type { Ground } from "../ground.ts";
import { type ThreadSeconds, threadSeconds, usedBetween } from "../process.ts";
import { type Figure, figureOf } from "../statistics.ts";
import { type StreamTo, stream } from "./client.ts";
import { type Gateway, startGateway } from "./gateway.ts";
import type { Sizes } from "./sizes.ts";

const RATIO_LEAST = 1.5;
const DEPTHS = [1, 8] as const;
const NULL_TARGET = join(dirname(import.meta.dir), "peers", "null-target.ts");

export interface AtDepth {
  readonly depth: number;
  readonly understudyMBps: Figure;
  readonly tgtdMBps: Figure;
  readonly ratio: number;
  readonly ceilingMBps: Figure;
  /** Of the gateway's threads, a GB that the host wrote; medians. */
  readonly cpuSecondsPerGB: ThreadSeconds;
  readonly cpuSecondsPerGBTotal: number;
  readonly tgtdCpuSecondsPerGB: number;
  /** The client's own, with understudy. */
  readonly clientCpuSecondsPerGB: number;
}

export interface Unpaced {
  readonly bytes: number;
  readonly ringBytes: number;
  readonly depths: readonly AtDepth[];
  /** Why there is nothing to compare with; "": there is. */
  readonly obstacle: string;
  readonly reached: boolean;
}

interface Round {
  readonly MBps: number;
  readonly threads: ThreadSeconds;
  readonly clientSeconds: number;
}

interface Side {
  readonly name: "understudy" | "tgtd" | "ceiling";
  readonly to: StreamTo;
  readonly pid: number;
}

export async function benchUnpaced(
  ground: Ground,
  sizes: Sizes,
  say: (text: string) => void,
): Promise<Unpaced> {
  const obstacle = tgtdObstacle();
  const { ringBytes, unpacedBytes: bytes } = sizes;
  if (obstacle !== undefined) return { bytes, ringBytes, depths: [], obstacle, reached: false };
  const peers = await startPeers(ground, sizes);
  try {
    const depths: AtDepth[] = [];
    const rounds = new Map<string, Round[]>();
    for (let round = 0; round <= sizes.rounds; round++) {
      for (const depth of DEPTHS) {
        for (const side of peers.sides) {
          const one = await runRound(ground, side, sizes, depth);
          say(
            `(b) queue depth ${depth}, ${side.name}: ${one.MBps.toFixed(0)} MB/s${round === 0 ? " (not counted)" : ""}`,
          );
          const key = `${side.name} ${depth}`;
          if (round > 0) rounds.set(key, [...(rounds.get(key) ?? []), one]);
        }
      }
    }
    for (const depth of DEPTHS) {
      const of = (name: Side["name"]) => rounds.get(`${name} ${depth}`) ?? [];
      depths.push(summarise(depth, of("understudy"), of("tgtd"), of("ceiling")));
    }
    return {
      bytes,
      ringBytes,
      depths,
      obstacle: "",
      reached: depths.every((one) => one.ratio >= RATIO_LEAST),
    };
  } finally {
    await peers.stop();
  }
}

async function runRound(ground: Ground, side: Side, sizes: Sizes, depth: number): Promise<Round> {
  const { blockBytes, unpacedBytes: bytes } = sizes;
  const of = { bytes, blockBytes, depth };
  // A tape ends where it is written: this frees the last round's memory, which must not grow cold before it is used.
  if (side.name === "understudy") await stream(side.to, { ...of, bytes: blockBytes });
  const before = threadSeconds(side.pid);
  const result =
    side.name === "understudy"
      ? await onWarmGround(ground, bytes, () => stream(side.to, of))
      : await stream(side.to, of);
  const gigabytes = result.bytes / 1e9;
  return {
    MBps: result.MBps,
    threads: usedBetween(before, threadSeconds(side.pid), gigabytes),
    clientSeconds: result.cpuSeconds / gigabytes,
  };
}

function summarise(
  depth: number,
  understudy: readonly Round[],
  tgtd: readonly Round[],
  ceiling: readonly Round[],
): AtDepth {
  const speed = (rounds: readonly Round[]) => figureOf(rounds.map((round) => round.MBps));
  const total = (round: Round) => Object.values(round.threads).reduce((sum, seconds) => sum + seconds, 0);
  const names = [...new Set(understudy.flatMap((round) => Object.keys(round.threads)))].sort();
  const median = (name: string) => figureOf(understudy.map((round) => round.threads[name] ?? 0)).median;
  const [understudyMBps, tgtdMBps] = [speed(understudy), speed(tgtd)];
  return {
    depth,
    understudyMBps,
    tgtdMBps,
    ratio: understudyMBps.median / tgtdMBps.median,
    ceilingMBps: speed(ceiling),
    cpuSecondsPerGB: Object.fromEntries(names.map((name) => [name, median(name)])),
    cpuSecondsPerGBTotal: figureOf(understudy.map(total)).median,
    tgtdCpuSecondsPerGB: figureOf(tgtd.map(total)).median,
    clientCpuSecondsPerGB: figureOf(understudy.map((round) => round.clientSeconds)).median,
  };
}

interface Peers {
  readonly sides: readonly Side[];
  stop(): Promise<void>;
}

async function startPeers(ground: Ground, sizes: Sizes): Promise<Peers> {
  const capacityBytes = sizes.unpacedBytes * 1.05 + 4 * sizes.ringBytes;
  const tapes = join(ground.directory, "tgtd");
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const each of stops.splice(0).reverse()) await each();
    rmSync(tapes, { recursive: true, force: true });
  };
  try {
    const gateway = await startGateway(ground, sizes, {
      withCache: true,
      paceBytesPerSecond: 0,
      capacityBytes,
    });
    stops.push(gateway.stop);
    mkdirSync(tapes);
    const cartridgeMegabytes = Math.ceil(capacityBytes / 1e6);
    const tgtd = await startTgtd({ port: freePort(), cartridges: 1, cartridgeMegabytes, directory: tapes });
    stops.push(tgtd.stop);
    const ceiling = await startNullTarget();
    stops.push(ceiling.stop);
    return { sides: [sideOf(gateway), sideOfTgtd(tgtd), ceiling.side], stop };
  } catch (cause) {
    await stop();
    throw cause;
  }
}

function sideOf(gateway: Gateway): Side {
  const to = { portal: gateway.portal, lun: 1, changerLun: 0, load: "1" };
  return { name: "understudy", to, pid: gateway.pid };
}

function sideOfTgtd(tgtd: Tgtd): Side {
  const load = tgtd.barcodes[0] as string;
  const to = { portal: `127.0.0.1:${tgtd.port}`, lun: 1, changerLun: tgtd.changerLun, load };
  return { name: "tgtd", to, pid: tgtd.pid };
}

async function startNullTarget(): Promise<{ side: Side; stop: () => Promise<unknown> }> {
  const child = Bun.spawn(["setpriv", "--pdeathsig", "KILL", "--", process.execPath, NULL_TARGET], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const first = await child.stdout.getReader().read();
  const port = Number(new TextDecoder().decode(first.value).trim());
  const side: Side = {
    name: "ceiling",
    to: { portal: `127.0.0.1:${port}`, lun: 1, changerLun: null },
    pid: child.pid,
  };
  const stop = () => {
    child.kill("SIGKILL");
    return child.exited;
  };
  return { side, stop };
}
