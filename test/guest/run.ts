/** @module Runs one bash job in a fresh guest: Debian's kernel and tools as the unmodified backup server.
 *
 *  Every run starts from the same disk and leaves nothing: its changes go to a deleted file, its share is a temporary
 *  directory, and QEMU is killed with the process that started it. What the job prints arrives line by line over a
 *  serial port of its own, so a test can act at the right moment of the job; `signal` tells the job something back. */

import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { ensureGuestImage, type GuestImage } from "./image.ts";

/** The host's loopback, as the guest reaches it. */
export const HOST_FROM_GUEST = "10.0.2.2";

const DEFAULT_TIMEOUT_SECONDS = 300;
const DEFAULT_MEMORY_MEGABYTES = 1024;
const JOBS = join(import.meta.dir, "jobs");

export interface GuestJob {
  /** The bash script to run: a path, or the name of one in `jobs/`. */
  readonly script: string;
  /** Files and directories copied to /host beside the job; `jobs/lib.sh` always is. */
  readonly files?: readonly string[];
  readonly env?: Readonly<Record<string, string | number>>;
  readonly timeoutSeconds?: number;
  readonly memoryMegabytes?: number;
  readonly cpus?: number;
  /** Hears each line of output at once. */
  readonly onLine?: (line: string, guest: RunningGuest) => void;
}

export interface RunningGuest {
  /** Lets the job's `await_host NAME` go on. */
  readonly signal: (name: string) => void;
  /** Cuts the guest's power. */
  readonly kill: () => void;
}

export interface GuestResult {
  /** The job's own status; undefined when the guest died or ran out of time. */
  readonly exitCode: number | undefined;
  readonly end: "finished" | "died" | "timeout";
  readonly output: string;
  /** The kernel's messages at the job's end; the console's when the guest did not get that far. */
  readonly dmesg: string;
  readonly wallSeconds: number;
}

export async function runGuest(job: GuestJob): Promise<GuestResult> {
  const image = await ensureGuestImage();
  const work = mkdtempSync(join(tmpdir(), "understudy-guest-"));
  try {
    const share = join(work, "share");
    await fillShare(share, job);
    return await boot(image, work, share, job);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** `result` as a test failure's message: how it ended, and the last lines of output and kernel messages. */
export function describeResult(result: GuestResult): string {
  const last = (text: string) => text.trimEnd().split("\n").slice(-30).join("\n");
  const ending = `guest ${result.end}, status ${result.exitCode}, ${result.wallSeconds.toFixed(1)} s`;
  return `${ending}\n--- output\n${last(result.output)}\n--- dmesg\n${last(result.dmesg)}`;
}

async function fillShare(share: string, job: GuestJob): Promise<void> {
  mkdirSync(share);
  const script = existsSync(join(JOBS, job.script)) ? join(JOBS, job.script) : job.script;
  copyFileSync(script, join(share, "job"));
  copyFileSync(join(JOBS, "lib.sh"), join(share, "lib.sh"));
  copyFileSync(join(import.meta.dir, "init"), join(share, "init"));
  for (const file of job.files ?? []) cpSync(file, join(share, basename(file)), { recursive: true });
  const env = { HOST: HOST_FROM_GUEST, ...job.env };
  const lines = Object.entries(env).map(([name, value]) => `${name}=${shellQuoted(String(value))}\n`);
  await Bun.write(join(share, "env"), lines.join(""));
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

async function boot(image: GuestImage, work: string, share: string, job: GuestJob): Promise<GuestResult> {
  const startedMs = performance.now();
  const child = Bun.spawn(qemuCommand(image, work, share, job), {
    stdin: "ignore",
    stdout: "pipe",
    stderr: Bun.file(join(work, "qemu.log")),
    env: { ...process.env, TMPDIR: work },
  });
  let timedOut = false;
  const timer = setTimeout(
    () => {
      timedOut = true;
      child.kill("SIGKILL");
    },
    (job.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS) * 1000,
  );
  const guest: RunningGuest = {
    signal: (name) => void Bun.write(join(share, `signal-${name}`), ""),
    kill: () => child.kill("SIGKILL"),
  };
  try {
    const output = await readLines(child.stdout, (line) => job.onLine?.(line, guest));
    await child.exited;
    const exitCode = await readIfThere(join(share, "rc"));
    const dmesg = await readIfThere(join(share, "dmesg"));
    return {
      exitCode: exitCode === undefined ? undefined : Number(exitCode),
      end: exitCode !== undefined ? "finished" : timedOut ? "timeout" : "died",
      output,
      dmesg: dmesg ?? (await consoleText(work)),
      wallSeconds: (performance.now() - startedMs) / 1000,
    };
  } finally {
    clearTimeout(timer);
    // A callback that threw ends here with the guest still up.
    child.kill("SIGKILL");
    await child.exited;
  }
}

function qemuCommand(image: GuestImage, work: string, share: string, job: GuestJob): string[] {
  const kernelArguments = [
    ...["console=ttyS0", "quiet", "loglevel=3", "panic=-1", "mitigations=off", "nokaslr", "audit=0"],
    ...["tsc=reliable", "no_timer_check", "random.trust_cpu=on", "cryptomgr.notests"],
  ];
  return [
    // The guest dies with the test that wanted it, however that test dies.
    ...["setpriv", "--pdeathsig", "KILL", "--"],
    ...["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-machine", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"],
    ...["-smp", String(job.cpus ?? 2), "-m", String(job.memoryMegabytes ?? DEFAULT_MEMORY_MEGABYTES)],
    ...["-kernel", image.kernel, "-initrd", image.initrd, "-append", kernelArguments.join(" ")],
    ...["-drive", `if=none,id=root,file=${image.rootDisk},format=raw,snapshot=on,cache=unsafe`],
    ...["-device", "virtio-blk-pci,drive=root"],
    ...["-netdev", "user,id=net,ipv6=off", "-device", "virtio-net-pci,netdev=net,romfile="],
    ...["-fsdev", `local,id=host,path=${share},security_model=none`],
    ...["-device", "virtio-9p-pci,fsdev=host,mount_tag=host", "-device", "virtio-rng-pci"],
    // First port: the kernel's console. Second: what the job prints.
    ...["-serial", `file:${join(work, "console.log")}`, "-serial", "stdio"],
  ];
}

async function readLines(
  stream: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
): Promise<string> {
  const decoder = new TextDecoder();
  let output = "";
  let lineStart = 0;
  for await (const chunk of stream) {
    output += decoder.decode(chunk, { stream: true });
    for (let end = output.indexOf("\n", lineStart); end >= 0; end = output.indexOf("\n", lineStart)) {
      onLine(output.slice(lineStart, end));
      lineStart = end + 1;
    }
  }
  return output;
}

async function readIfThere(path: string): Promise<string | undefined> {
  const file = Bun.file(path);
  return (await file.exists()) ? file.text() : undefined;
}

async function consoleText(work: string): Promise<string> {
  const texts = await Promise.all(["qemu.log", "console.log"].map((name) => readIfThere(join(work, name))));
  return texts.join("");
}
