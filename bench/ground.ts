/** @module The memory that all sides of a bench write to: a tmpfs of its own, in a mount namespace of its own, so that
 *  nothing is left behind however the bench ends. It has huge pages where the kernel gives them: on 4 KiB pages the
 *  kernel's page accounting costs more than all that is measured, on every side.
 *  Who may not mount gets a directory on /dev/shm. */
import { mkdtempSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must } from "./process.ts";

export interface Ground {
  readonly directory: string;
  /** What it is, for the report. */
  readonly describe: string;
}

const ENV = "UNDERSTUDY_BENCH_GROUND";
/** Left to everything else on the machine. */
const SPARE_BYTES = 1e9;

/** Runs `bench` on ground of `bytes`; where that takes a mount namespace, in a child process with these arguments. */
export async function onGround(
  bytes: number,
  argv: readonly string[],
  bench: (ground: Ground) => Promise<number>,
): Promise<number> {
  const mounted = process.env[ENV];
  if (mounted !== undefined)
    return await bench({ directory: mounted, describe: "tmpfs with huge pages, mounted for the bench" });
  const free = availableBytes();
  if (free < bytes + SPARE_BYTES) {
    const [need, have] = [bytes + SPARE_BYTES, free].map((size) => (size / 1e9).toFixed(1));
    throw new Error(`the bench needs ${need} GB of free memory, there are ${have}`);
  }
  if (mayMount()) return await inNamespace(bytes, argv);
  const directory = mkdtempSync(join("/dev/shm", "understudy-bench-"));
  try {
    return await bench({ directory, describe: "tmpfs at /dev/shm (no right to mount one with huge pages)" });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function availableBytes(): number {
  const line = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8"));
  return Number(must(line)[1]) * 1024;
}

function mayMount(): boolean {
  const probe = Bun.spawnSync(
    ["unshare", "--mount", "sh", "-c", "mount -t tmpfs -o huge=always,size=4m tmpfs /mnt"],
    { stdout: "ignore", stderr: "ignore" },
  );
  return probe.exitCode === 0;
}

async function inNamespace(bytes: number, argv: readonly string[]): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "understudy-bench-"));
  const mount = `mount -t tmpfs -o huge=always,size=${bytes} tmpfs "$0" && exec "$@"`;
  const child = Bun.spawn(
    [
      ...["setpriv", "--pdeathsig", "KILL", "--"],
      ...["unshare", "--mount", "sh", "-c", mount, directory],
      ...[process.execPath, must(process.argv[1]), ...argv],
    ],
    { env: { ...process.env, [ENV]: directory }, stdin: "ignore", stdout: "inherit", stderr: "inherit" },
  );
  try {
    return await child.exited;
  } finally {
    rmdirSync(directory);
  }
}
