/** @module A gateway of its own for tests that kill it: configuration, process, readiness, SIGKILL.
 *  Each runs in a process group of its own, with somebody beside it who ends it when the test does not. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";

export const ROOT = join(import.meta.dir, "..", "..");
const LIFE_MAX_S = 120;
const READY_WITHIN_MS = 40_000;
const POLL_MS = 4;

export interface GatewayFacts {
  readonly iscsi: { readonly host: string; readonly port: number };
  readonly targetName: string;
  readonly httpUrl: string;
  readonly units: readonly { readonly lun: number; readonly kind: string; readonly serial: string }[];
  readonly notes: readonly string[];
}

export interface LibraryShape {
  readonly barcodes: readonly string[];
  readonly spares: number;
  readonly capacityMegabytes: number;
  paceMegabytesPerSecond: number;
  readonly cacheMegabytes: number;
  readonly switchMs: number;
}

export const SMALL_LIBRARY: LibraryShape = {
  barcodes: ["CRA001L8", "CRA002L8", "CRA003L8"],
  spares: 1,
  capacityMegabytes: 2048,
  paceMegabytesPerSecond: 60,
  cacheMegabytes: 32,
  switchMs: 120,
};

/** Memory-backed where there is such a place: what is tested is the order of things, not a disk. */
export function temporaryDirectory(name: string): string {
  let base = tmpdir();
  try {
    if (statSync("/dev/shm").isDirectory()) base = "/dev/shm";
  } catch {
    // No such place here.
  }
  return mkdtempSync(join(base, `understudy-${name}-`));
}

export class Gateway {
  readonly state: string;
  /** Lines for the table [device]. */
  moreDeviceSettings = "";
  private readonly config: string;
  private process: Subprocess | null = null;
  private readonly output: string;
  private readonly errors: string;

  constructor(
    readonly directory: string,
    readonly shape: LibraryShape = SMALL_LIBRARY,
  ) {
    this.state = join(directory, "state");
    this.config = join(directory, "understudy.toml");
    this.output = join(directory, "stdout");
    this.errors = join(directory, "stderr");
    writeFileSync(this.errors, "");
  }

  cartridgePath(barcode: string): string {
    return join(this.state, "library", "cartridges", `${barcode}.tape`);
  }

  memberPaths(): string[] {
    return [1, 2, 3].map((member) => join(this.state, "cache", "drive-1", `member-${member}`));
  }

  configure(faults: readonly string[] = []): void {
    const { shape } = this;
    writeFileSync(
      this.config,
      `[iscsi]
port = 0
[http]
port = 0
[device]
ringMegabytes = 8
maxBlockKilobytes = 2048
${this.moreDeviceSettings}[device.cache]
members = 3
megabytes = ${shape.cacheMegabytes}
stripKilobytes = 64
parity = "one"
[library]
drives = 1
spares = ${shape.spares}
slots = ${shape.barcodes.length}
barcodes = ${JSON.stringify(shape.barcodes)}
capacityMegabytes = ${shape.capacityMegabytes}
paceMegabytesPerSecond = ${shape.paceMegabytesPerSecond}
bufferMegabytes = 4
faults = ${JSON.stringify(faults)}
[library.latencies]
loadMs = ${shape.switchMs}
moveMs = ${shape.switchMs}
`,
    );
  }

  /** Begins a start; the process's end is its own matter. */
  spawn(faults: readonly string[] = []): Subprocess {
    this.configure(faults);
    writeFileSync(this.output, "");
    const child = Bun.spawn(
      [process.execPath, join(ROOT, "src", "main.ts"), "serve", "--json", "-c", this.config].concat([
        "--state",
        this.state,
      ]),
      {
        cwd: ROOT,
        stdin: "ignore",
        stdout: Bun.file(this.output),
        stderr: Bun.file(this.errors),
        detached: true,
      },
    );
    this.process = child;
    const guard = killLater(child.pid, LIFE_MAX_S * 1000);
    void child.exited.then(() => endGroup(guard.pid));
    return this.process;
  }

  /** Starts it and waits until it lets hosts in; throws with its own words. */
  async start(faults: readonly string[] = []): Promise<GatewayFacts> {
    const child = this.spawn(faults);
    const untilMs = performance.now() + READY_WITHIN_MS;
    while (performance.now() < untilMs) {
      for (const line of readFileSync(this.output, "utf8").split("\n")) {
        if (line.startsWith('{"event":"ready"')) return JSON.parse(line) as GatewayFacts;
      }
      if (child.exitCode !== null) break;
      await Bun.sleep(POLL_MS);
    }
    const text = this.words();
    await this.kill();
    throw new Error(`the gateway does not start (exit ${child.exitCode}): ${text}`);
  }

  words(): string {
    return readFileSync(this.errors, "utf8").slice(-4000);
  }

  printed(): string {
    return readFileSync(this.output, "utf8");
  }

  get pid(): number {
    return this.process?.pid ?? -1;
  }

  /** Someone else will kill it after so long, whatever this thread is doing then. */
  killIn(delayMs: number): void {
    if (this.process !== null) killLater(this.process.pid, delayMs);
  }

  async ended(): Promise<number> {
    const code = (await this.process?.exited) ?? -1;
    this.process = null;
    return code;
  }

  async kill(): Promise<void> {
    if (this.process === null) return;
    if (this.process.exitCode === null && this.process.signalCode === null) endGroup(this.process.pid);
    await this.ended();
  }

  terminate(): void {
    if (this.process !== null) process.kill(this.process.pid, "SIGTERM");
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** In a process of its own: this thread may be waiting in a call then. */
function killLater(pid: number, delayMs: number): Subprocess {
  const command = `sleep ${(delayMs / 1000).toFixed(3)}; kill -s KILL -- -${pid}`;
  return Bun.spawn(["sh", "-c", command], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
    detached: true,
  });
}

function endGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It was quicker.
  }
}
