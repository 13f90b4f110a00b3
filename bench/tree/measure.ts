/** @module One command, timed until what it wrote is durable: wall and CPU seconds, and the peak of its memory.
 *
 *  Memory is the sum, over the processes that live at one moment, of each one's own peak so far: exact for a program of
 *  one process, a little too much for a pipeline. */
import { readdirSync, readFileSync } from "node:fs";

export interface Measured {
  /** The command and, where it writes, the `sync -f` after it. */
  readonly wallSeconds: number;
  /** How much of it was the `sync -f`. */
  readonly syncSeconds: number;
  /** User and system, of all processes of the command. */
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}

export interface Run {
  /** For bash; a pipeline fails when any part of it does. */
  readonly command: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Its file system is made durable within the time; null: nothing is written. */
  readonly syncPath: string | null;
}

/** A command that did not end with 0 (peers: GNU tar's 1 is "a file changed", which does not happen here). */
export class CommandFailed extends Error {
  override readonly name = "CommandFailed";
}

const LOOK_EVERY_MS = 40;
const TAIL_CHARACTERS = 2000;
const MICROSECONDS = 1e6;

export async function measure(run: Run): Promise<Measured> {
  const begun = performance.now();
  const child = Bun.spawn(["bash", "-c", `set -o pipefail; ${run.command}`], {
    env: run.env,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let peakBytes = 0;
  const look = () => {
    peakBytes = Math.max(peakBytes, peakOfTree(child.pid));
  };
  const ticker = setInterval(look, LOOK_EVERY_MS);
  const output = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const exitCode = await child.exited;
  const wallSeconds = (performance.now() - begun) / 1000;
  clearInterval(ticker);
  if (exitCode !== 0) {
    const said = (await output).join("").slice(-TAIL_CHARACTERS);
    throw new CommandFailed(`exit code ${exitCode}: ${run.command}\n${said}`);
  }
  const syncSeconds = run.syncPath === null ? 0 : await syncOf(run.syncPath);
  const usage = child.resourceUsage();
  return {
    wallSeconds: wallSeconds + syncSeconds,
    syncSeconds,
    cpuSeconds: Number(usage?.cpuTime.total ?? 0) / MICROSECONDS,
    peakBytes,
  };
}

async function syncOf(path: string): Promise<number> {
  const begun = performance.now();
  const exitCode = await Bun.spawn(["sync", "-f", path]).exited;
  if (exitCode !== 0) throw new CommandFailed(`sync -f ${path}: exit code ${exitCode}`);
  return (performance.now() - begun) / 1000;
}

/** Only processes younger than the root are looked at (pids ascend): looking at all of them would show in the figures. */
function peakOfTree(root: number): number {
  const inTree = new Set([root]);
  let bytes = peakOf(root);
  const pids = readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > root)
    .sort((left, right) => left - right);
  for (const pid of pids) {
    const parent = parentOf(pid);
    if (parent === null || !inTree.has(parent)) continue;
    inTree.add(pid);
    bytes += peakOf(pid);
  }
  return bytes;
}

function parentOf(pid: number): number | null {
  const stat = readProc(pid, "stat");
  if (stat === null) return null;
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
}

function peakOf(pid: number): number {
  const found = /^VmHWM:\s+(\d+) kB$/m.exec(readProc(pid, "status") ?? "");
  return found === null ? 0 : Number(found[1]) * 1024;
}

/** Null: it ended while we looked. */
function readProc(pid: number, name: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return null;
  }
}
