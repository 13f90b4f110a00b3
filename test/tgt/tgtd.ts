/** @module Debian's tgtd as a tape library made by others: a network drive that really dies, and a peer for the bench.
 *
 *  Each instance has its own IPC socket, port and directory. Traps that this module stands for: with its port taken,
 *  tgtd silently listens on every address at 3260, so what it listens on is checked; it ignores SIGTERM, so it is
 *  killed; drives start empty by way of a dummy cartridge set offline. */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const START_DEADLINE_MS = 10_000;
const POLL_MS = 50;
const CHANGER_FILE_BYTES = 1024;

/** Where the changer's elements start, as on common libraries. */
export const FIRST_DRIVE = 256;
export const FIRST_SLOT = 4096;
export const FIRST_MAIL_SLOT = 768;
const MAIL_SLOTS = 2;

export const TGTD_TARGET = "iqn.2026-01.test:vtl";

export interface TgtdOptions {
  /** On loopback; must be free. */
  readonly port: number;
  readonly drives?: number;
  readonly cartridges?: number;
  readonly cartridgeMegabytes?: number;
  /** No file of it grows beyond this: its file system is full, for all that it can tell. */
  readonly fileBytesMax?: number;
  /** Two letters, so that the barcodes of two libraries differ. */
  readonly barcodePrefix?: string;
  /** Holds the cartridges (files named by barcode, sparse) and is kept; default: a temporary one, deleted by `stop`. */
  readonly directory?: string;
}

export interface Tgtd {
  readonly port: number;
  readonly target: string;
  readonly pid: number;
  readonly directory: string;
  /** LUNs 1..drives are the drives, the next one is the changer. */
  readonly changerLun: number;
  readonly barcodes: readonly string[];
  /** SIGSTOP hangs it, SIGCONT wakes it, SIGKILL kills it. */
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Runs tgtadm against it, such as `["--mode", "logicalunit", "--op", "delete", "--tid", "1", "--lun", "1"]`. */
  readonly admin: (argv: readonly string[]) => Promise<string>;
  /** Kills it and deletes what it made; safe to call twice. */
  readonly stop: () => Promise<void>;
}

/** Why tgtd cannot run here, for a test's skip condition; undefined when it can. */
export function tgtdObstacle(): string | undefined {
  const missing = ["tgtd", "tgtadm", "tgtimg"].filter((name) => findProgram(name) === undefined);
  return missing.length === 0 ? undefined : `${missing.join(", ")} not found (Debian package tgt)`;
}

export async function startTgtd(options: TgtdOptions): Promise<Tgtd> {
  const { port, drives = 1, cartridges = 4, cartridgeMegabytes = 1024, barcodePrefix = "VT" } = options;
  await assertPortFree(port);
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), "understudy-tgtd-"));
  mkdirSync(directory, { recursive: true });
  // A socket's path must be short, whatever the cartridges' directory is.
  const socketDirectory = mkdtempSync(join(tmpdir(), "understudy-ipc-"));
  const env = { ...process.env, TGT_IPC_SOCKET: join(socketDirectory, "ipc") };
  const daemon = Bun.spawn(
    [
      ...["setpriv", "--pdeathsig", "KILL", "--"],
      ...(options.fileBytesMax === undefined
        ? []
        : ["sh", "-c", `trap "" XFSZ; ulimit -f ${options.fileBytesMax / 512}; exec "$@"`, "sh"]),
      program("tgtd"),
      ...["--foreground", "--control-port", "1", "--iscsi", `portal=127.0.0.1:${port}`],
    ],
    { env, stdin: "ignore", stdout: "ignore", stderr: Bun.file(join(socketDirectory, "log")) },
  );

  const stop = async () => {
    daemon.kill("SIGKILL");
    await daemon.exited;
    rmSync(socketDirectory, { recursive: true, force: true });
    if (options.directory === undefined) rmSync(directory, { recursive: true, force: true });
  };
  const admin = (argv: readonly string[]) =>
    runTool([program("tgtadm"), "--control-port", "1", "--lld", "iscsi", ...argv], env);

  try {
    await awaitListening(daemon.pid, port, () => daemon.exitCode, join(socketDirectory, "log"));
    const barcodes = Array.from({ length: cartridges }, (_, index) => barcode(barcodePrefix, index + 1));
    await makeMedia(directory, barcodes, cartridgeMegabytes, env);
    await describeLibrary(admin, directory, drives, barcodes);
    return {
      port,
      target: TGTD_TARGET,
      pid: daemon.pid,
      directory,
      changerLun: drives + 1,
      barcodes,
      signal: (signal) => daemon.kill(signal),
      admin,
      stop,
    };
  } catch (cause) {
    await stop();
    throw cause;
  }
}

/** A loopback port that is free now. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

function barcode(prefix: string, number: number): string {
  return `${prefix}${String(number).padStart(4, "0")}L8`;
}

/** Debian puts tgt's programs in /usr/sbin, which is not on every PATH. */
function findProgram(name: string): string | undefined {
  return Bun.which(name) ?? Bun.which(name, { PATH: "/usr/sbin:/sbin" }) ?? undefined;
}

function program(name: string): string {
  const path = findProgram(name);
  if (path === undefined) throw new Error(`${name} not found (Debian package tgt)`);
  return path;
}

async function runTool(argv: readonly string[], env: Record<string, string | undefined>): Promise<string> {
  const child = Bun.spawn([...argv], { env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [output, errors, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode !== 0) throw new Error(`${argv.join(" ")} ended with ${exitCode}: ${output}${errors}`);
  return output;
}

async function makeMedia(
  directory: string,
  barcodes: readonly string[],
  megabytes: number,
  env: Record<string, string | undefined>,
): Promise<void> {
  const make = async (file: string, label: string, type: string, size: number) => {
    const path = join(directory, file);
    if (existsSync(path)) return;
    const medium = ["--barcode", label, "--size", String(size), "--type", type, "--file", path];
    await runTool([program("tgtimg"), "--op", "new", "--device-type", "tape", ...medium], env);
  };
  for (const label of barcodes) await make(label, label, "data", megabytes);
  await make("notape", "", "clean", 1);
  if (!existsSync(join(directory, "smc"))) {
    await Bun.write(join(directory, "smc"), new Uint8Array(CHANGER_FILE_BYTES));
  }
}

async function describeLibrary(
  admin: Tgtd["admin"],
  directory: string,
  drives: number,
  barcodes: readonly string[],
): Promise<void> {
  const unit = (op: string, lun: number, ...rest: string[]) =>
    admin(["--mode", "logicalunit", "--op", op, "--tid", "1", "--lun", String(lun), ...rest]);
  await admin(["--op", "new", "--mode", "target", "--tid", "1", "--targetname", TGTD_TARGET]);
  for (let lun = 1; lun <= drives; lun++) {
    const names = `vendor_id=IBM,product_id=ULT3580-TD8,product_rev=N9M1,scsi_sn=DRV000000${lun}`;
    await unit(
      "new",
      lun,
      "--backing-store",
      join(directory, "notape"),
      "--device-type=tape",
      "--bstype=ssc",
    );
    await unit("update", lun, "--params", `${names},removable=1`);
    await unit("update", lun, "--params", "online=0");
  }
  const changer = drives + 1;
  const set = (params: string) => unit("update", changer, "--params", params);
  await unit("new", changer, "--backing-store", join(directory, "smc"), "--device-type=changer");
  await set(`media_home=${directory}`);
  await set(`element_type=4,start_address=${FIRST_DRIVE},quantity=${drives}`);
  for (let lun = 1; lun <= drives; lun++) {
    await set(`element_type=4,address=${FIRST_DRIVE + lun - 1},tid=1,lun=${lun}`);
  }
  await set("element_type=1,start_address=1,quantity=1");
  await set(`element_type=2,start_address=${FIRST_SLOT},quantity=${barcodes.length}`);
  for (const [index, label] of barcodes.entries()) {
    await set(`element_type=2,address=${FIRST_SLOT + index},barcode=${label},sides=1`);
  }
  await set(`element_type=3,start_address=${FIRST_MAIL_SLOT},quantity=${MAIL_SLOTS}`);
  await admin(["--op", "bind", "--mode", "target", "--tid", "1", "--initiator-address", "ALL"]);
}

async function assertPortFree(port: number): Promise<void> {
  try {
    Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
  } catch (cause) {
    throw new Error(`port ${port} is taken: tgtd would listen elsewhere`, { cause });
  }
}

async function awaitListening(
  pid: number,
  port: number,
  exitCode: () => number | null,
  logPath: string,
): Promise<void> {
  const deadlineMs = performance.now() + START_DEADLINE_MS;
  for (;;) {
    const places = listeningPlaces(pid);
    if (places.includes(`127.0.0.1:${port}`) && places.length === 1) return;
    if (places.length > 0) throw new Error(`tgtd listens on ${places.join(", ")} instead of port ${port}`);
    if (exitCode() !== null || performance.now() > deadlineMs) {
      throw new Error(`tgtd did not start: ${await Bun.file(logPath).text()}`);
    }
    await Bun.sleep(POLL_MS);
  }
}

/** The TCP addresses that a process listens on, from /proc. */
function listeningPlaces(pid: number): string[] {
  const inodes = new Set<string>();
  try {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      if (inode !== undefined) inodes.add(inode);
    }
  } catch {
    return []; // Gone, or a descriptor closed while we looked: the caller asks again.
  }
  const LISTEN = "0A";
  const places: string[] = [];
  for (const table of ["tcp", "tcp6"]) {
    for (const line of readFileSync(`/proc/net/${table}`, "utf8").trim().split("\n").slice(1)) {
      const fields = line.trim().split(/\s+/);
      const [address, port] = (fields[1] ?? "").split(":");
      if (fields[3] !== LISTEN || !inodes.has(fields[9] ?? "")) continue;
      const host = address === "0100007F" ? "127.0.0.1" : `[${address}]`;
      places.push(`${host}:${Number.parseInt(port ?? "0", 16)}`);
    }
  }
  return places;
}
