/** @module `understudy serve` as a process of its own for the guest to talk to: on loopback, free ports, a temporary
 *  state directory; stopped by its process id. */

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePort } from "../tgt/tgtd.ts";

const PROJECT = resolve(import.meta.dir, "../..");
const MAIN = join(PROJECT, "src/main.ts");
const START_DEADLINE_MS = 30_000;
const STOP_DEADLINE_MS = 30_000;
const POLL_MS = 50;

export interface Gateway {
  readonly iscsiPort: number;
  readonly httpUrl: string;
  readonly stateDirectory: string;
  /** Everything it has printed so far. */
  readonly log: () => Promise<string>;
  /** SIGTERM; throws with its log where it does not end with `status` (default 0: drained). */
  readonly stop: (status?: number) => Promise<void>;
}

/** Whether the project has the command yet. */
export function serveExists(): boolean {
  if (!existsSync(MAIN)) return false;
  return Bun.spawnSync([process.execPath, MAIN, "serve", "--help"], { cwd: PROJECT }).exitCode === 0;
}

/** Starts it and waits for the line that contains `ready`. `configuration` is the text of an understudy.toml. */
export async function startGateway(configuration?: string): Promise<Gateway> {
  const directory = mkdtempSync(join(tmpdir(), "understudy-gateway-"));
  const stateDirectory = join(directory, "state");
  const logPath = join(directory, "log");
  const iscsiPort = freePort();
  const httpPort = freePort();
  const config: string[] = [];
  if (configuration !== undefined) {
    const file = join(directory, "understudy.toml");
    await Bun.write(file, configuration);
    config.push("--config", file);
  }
  const child = Bun.spawn(
    [
      ...["setpriv", "--pdeathsig", "KILL", "--", process.execPath, MAIN, "serve", ...config],
      ...["--state", stateDirectory, "--iscsi", `127.0.0.1:${iscsiPort}`, "--http", `127.0.0.1:${httpPort}`],
    ],
    // Files, not pipes: nobody reads while a test waits for the guest.
    { cwd: PROJECT, stdin: "ignore", stdout: Bun.file(logPath), stderr: Bun.file(`${logPath}.errors`) },
  );
  const log = async () => {
    const texts = await Promise.all([logPath, `${logPath}.errors`].map((path) => textOf(path)));
    return texts.join("");
  };
  const end = async () => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_DEADLINE_MS);
    await child.exited;
    clearTimeout(timer);
    const said = await log();
    rmSync(directory, { recursive: true, force: true });
    return said;
  };
  const stop = async (status = 0) => {
    const said = await end();
    if (child.exitCode !== status) throw new Error(`understudy serve ended with ${endOf(child)}: ${said}`);
  };
  const deadlineMs = performance.now() + START_DEADLINE_MS;
  while (!/\bready\b/.test(await log())) {
    if (child.exitCode !== null || performance.now() > deadlineMs) {
      const said = await end();
      throw new Error(`understudy serve did not get ready: ${said}`);
    }
    await Bun.sleep(POLL_MS);
  }
  return { iscsiPort, httpUrl: `http://127.0.0.1:${httpPort}`, stateDirectory, log, stop };
}

function endOf({ exitCode, signalCode }: Bun.Subprocess): string {
  return exitCode === null ? String(signalCode) : `status ${exitCode}`;
}

async function textOf(path: string): Promise<string> {
  const file = Bun.file(path);
  return (await file.exists()) ? file.text() : "";
}
