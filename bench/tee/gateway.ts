/** @module `understudy serve` as a process of its own, on the bench's ground. */
import { mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Status } from "../../src/base/status.ts";
import { freePort } from "../../test/tgt/tgtd.ts";
import type { Ground } from "../ground.ts";
import { must } from "../process.ts";
import type { Sizes } from "./sizes.ts";

const MAIN = join(dirname(dirname(import.meta.dir)), "src", "main.ts");
const MIB = 1024 * 1024;
/** A paced drive's own: 160 ms at 400 MB/s. Drives of that speed have sixteen times as much. */
const DRIVE_BUFFER_BYTES = 64 * MIB;
const START_WITHIN_MS = 60_000;
const STOP_WITHIN_MS = 20_000;
const POLL_MS = 100;

export interface GatewayOptions {
  readonly withCache: boolean;
  readonly paceBytesPerSecond: number;
  readonly capacityBytes: number;
  /** What the mechanism of a real library takes, in milliseconds; default: nothing. */
  readonly mechanismMs?: number;
}

export interface Gateway {
  readonly portal: string;
  readonly url: string;
  readonly pid: number;
  readonly ringBytes: number;
  status(): Promise<Status>;
  /** Time that the tape stood still while data waited, since the start. */
  idleWhileWaitingMs(): Promise<number>;
  /** Stops it and deletes all that it wrote. */
  stop(): Promise<void>;
}

export async function startGateway(ground: Ground, sizes: Sizes, options: GatewayOptions): Promise<Gateway> {
  const directory = join(ground.directory, "understudy");
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  const file = join(directory, "understudy.toml");
  await Bun.write(file, configuration(sizes, options));
  const [iscsi, http] = [freePort(), freePort()];
  const log = join(directory, "log");
  const child = Bun.spawn(
    [
      ...["setpriv", "--pdeathsig", "KILL", "--", process.execPath, MAIN, "serve", "-c", file],
      ...["--state", join(directory, "state")],
      ...["--iscsi", `127.0.0.1:${iscsi}`, "--http", `127.0.0.1:${http}`],
    ],
    { stdin: "ignore", stdout: Bun.file(log), stderr: Bun.file(log) },
  );
  const status = async (): Promise<Status> => {
    const answer = await fetch(`http://127.0.0.1:${http}/api/v1/status`);
    return (await answer.json()) as Status;
  };
  const stop = async () => {
    child.kill("SIGTERM");
    const late = setTimeout(() => child.kill("SIGKILL"), STOP_WITHIN_MS);
    await child.exited;
    clearTimeout(late);
    rmSync(directory, { recursive: true, force: true });
  };
  const deadlineMs = performance.now() + START_WITHIN_MS;
  for (;;) {
    const state = await status().then(
      (now) => now.state,
      () => "starting",
    );
    if (state === "running") break;
    if (child.exitCode !== null || performance.now() > deadlineMs) {
      const said = await Bun.file(log).text();
      await stop();
      throw new Error(`understudy did not start: ${said}`);
    }
    await Bun.sleep(POLL_MS);
  }
  return {
    portal: `127.0.0.1:${iscsi}`,
    url: `http://127.0.0.1:${http}`,
    pid: child.pid,
    ringBytes: sizes.ringBytes,
    status,
    idleWhileWaitingMs: async () => must((await status()).devices[0]).driveIdleWhileWaitingMs,
    stop,
  };
}

function configuration(sizes: Sizes, options: GatewayOptions): string {
  const cache = options.withCache ? `megabytes = ${sizes.cacheBytes / MIB}` : "members = 0";
  const ms = options.mechanismMs ?? 0;
  return `
[library]
drives = 1
spares = 1
slots = 2
capacityMegabytes = ${Math.ceil(options.capacityBytes / MIB)}
paceMegabytesPerSecond = ${options.paceBytesPerSecond / 1e6}
bufferMegabytes = ${DRIVE_BUFFER_BYTES / MIB}
latencies = { loadMs = ${ms}, unloadMs = ${ms}, moveMs = ${ms}, locateMs = ${ms / 2} }
[device]
ringMegabytes = ${sizes.ringBytes / MIB}
maxBlockKilobytes = ${sizes.maxBlockBytes / 1024}
[device.cache]
${cache}
`;
}
