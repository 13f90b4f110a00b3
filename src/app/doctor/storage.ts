/** @module What the doctor asks of disks: the state directory, the cartridges, the members of each cache, their speed.
 *  (1) Nothing that is there is written to: what is measured is a file of the doctor's own beside a member, and goes
 *      away again. Block devices are read only. */
import { ptr } from "bun:ffi";
import { accessSync, constants, existsSync, rmSync, statfsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { checked, errorText, libc, O_CREAT, O_DIRECT, O_EXCL, O_RDWR, openFile } from "../../base/ffi.ts";
import { formatBytes, formatDuration, formatRate } from "../../base/units.ts";
import { planGeometry } from "../../cache/geometry.ts";
import { inspectMember } from "../../cache/member.ts";
import type { DeviceSettings, Settings } from "../../config.ts";
import type { Findings } from "./finding.ts";

const CHUNK_BYTES = 1024 * 1024;
const ALIGN_BYTES = 4096;
const SYNCS = 5;
const SYNC_SLOW_MS = 100;
/** Where a drive's own speed is not set: what an LTO-8 or -9 drive takes at least without stopping (bytes a second). */
const STREAMING_BYTES_PER_SECOND = 177e6;
const SPARE_PART = 0.02;

/** The nearest directory that is there. */
function standing(path: string): string {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return at;
}

function fileSystemOf(path: string): number {
  return statSync(standing(path)).dev;
}

function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(standing(path));
  return bavail * bsize;
}

function writable(path: string): boolean {
  try {
    accessSync(standing(path), constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

export function checkLibrary(settings: Settings, findings: Findings): void {
  const { library } = settings;
  const cartridges = join(library.directory, "cartridges");
  if (!writable(cartridges)) {
    findings.fault(
      "library",
      `${cartridges} cannot be written to`,
      "give it to the user that runs the server",
    );
    return;
  }
  const wanted = library.capacityBytes * library.barcodes.length;
  const free = freeBytes(cartridges);
  const text = `${library.barcodes.length} cartridges of ${formatBytes(library.capacityBytes)} in ${cartridges}`;
  if (free >= wanted) findings.good("library", `${text}; ${formatBytes(free)} are free`);
  else
    findings.warning(
      "library",
      `${text} need ${formatBytes(wanted)} when full; ${formatBytes(free)} are free`,
      "set library.capacityMegabytes or library.slots lower, or a larger disk: a full disk fails drives",
    );
}

export interface Measured {
  readonly bytesPerSecond: number;
  readonly syncMs: number;
  readonly direct: boolean;
}

/** Writes a file of the doctor's own for `forMs`, syncs it, deletes it. Words where it cannot. */
export function measure(directory: string, forMs: number): Measured | string {
  const path = join(directory, `.doctor-${process.pid}`);
  let fd = openFile(path, O_RDWR | O_CREAT | O_EXCL | O_DIRECT);
  const direct = fd >= 0;
  if (!direct) {
    rmSync(path, { force: true });
    fd = openFile(path, O_RDWR | O_CREAT | O_EXCL);
  }
  if (fd < 0) return errorText(fd);
  try {
    const buffer = new Uint8Array(new ArrayBuffer(CHUNK_BYTES + ALIGN_BYTES)).fill(0x5a);
    const address = Math.ceil(Number(ptr(buffer)) / ALIGN_BYTES) * ALIGN_BYTES;
    const startMs = performance.now();
    let bytes = 0;
    while (performance.now() - startMs < forMs) {
      const put = checked(libc.pwrite(fd, address, CHUNK_BYTES, bytes));
      if (put < CHUNK_BYTES) return put < 0 ? errorText(put) : "a short write";
      bytes += put;
    }
    const synced = checked(libc.fdatasync(fd));
    if (synced < 0) return errorText(synced);
    const bytesPerSecond = (bytes / (performance.now() - startMs)) * 1000;
    const times: number[] = [];
    for (let n = 0; n < SYNCS; n++) {
      const fromMs = performance.now();
      const put = checked(libc.pwrite(fd, address, ALIGN_BYTES, n * ALIGN_BYTES));
      if (put < 0 || checked(libc.fdatasync(fd)) < 0) return "cannot be synchronised";
      times.push(performance.now() - fromMs);
    }
    times.sort((a, b) => a - b);
    return { bytesPerSecond, syncMs: times[SYNCS >> 1] ?? 0, direct };
  } finally {
    libc.close(fd);
    rmSync(path, { force: true });
  }
}

export function checkCaches(settings: Settings, running: boolean, findings: Findings): void {
  const { foreign, directory } = settings.library;
  const cartridges = foreign === null ? fileSystemOf(join(directory, "cartridges")) : -1;
  for (const device of settings.devices) {
    const area = `cache of ${device.name}`;
    const { memberPaths, parity } = device.cache;
    if (memberPaths.length === 0) {
      findings.warning(area, "there is none: a drive that fails takes the job with it", "set device.cache");
      continue;
    }
    if (parity === "none")
      findings.warning(area, "no parity: one lost disk loses the cache", 'set cache.parity = "one"');
    for (const path of memberPaths) checkMember(device, path, running, findings);
    const systems = memberPaths.map(fileSystemOf);
    if (parity === "one" && new Set(systems).size < systems.length) {
      findings.warning(
        area,
        "several members lie on one file system: parity does not help when that disk fails",
        "give each member a disk of its own (cache.members = [paths])",
      );
    }
    if (systems.includes(cartridges)) {
      findings.warning(
        area,
        "it shares a file system with the cartridges: one failure takes both copies, and both halve its speed",
        "put the cache on disks of its own (cache.members = [paths])",
      );
    }
  }
}

function checkMember(device: DeviceSettings, path: string, running: boolean, findings: Findings): void {
  const area = `cache of ${device.name}`;
  const found = inspectMember(path);
  switch (found.kind) {
    case "foreign":
      findings.fault(area, `${path}: ${found.cause}`, "the start would be refused: name another path");
      return;
    case "damaged":
      findings.fault(area, `${path}: ${found.cause}`, `replace the disk, then: understudy cache replace`);
      return;
    case "member":
      if (found.superblock.owner !== device.name)
        findings.fault(
          area,
          `${path} belongs to ${found.superblock.owner}`,
          "the start would be refused: give each device its own members",
        );
      else if (!writable(path))
        findings.fault(area, `${path} cannot be written to`, "give it to the user that runs the server");
      else findings.good(area, `${path}: a member, ${formatBytes(found.sizeBytes)}`);
      return;
    case "new":
      if (!running) checkRoom(device, path, findings);
  }
}

function checkRoom(device: DeviceSettings, path: string, findings: Findings): void {
  const area = `cache of ${device.name}`;
  if (!writable(path)) {
    findings.fault(area, `${path} cannot be made`, "give its directory to the user that runs the server");
    return;
  }
  const { cache, ringBytes } = device;
  const plan = planGeometry({ ...cache, members: cache.memberPaths.length, ringBytes });
  if (plan.kind === "impossible") {
    findings.fault(area, `${plan.key}: expected ${plan.expected}`, "correct the setting");
    return;
  }
  const system = fileSystemOf(path);
  const siblings = cache.memberPaths.filter((other) => !existsSync(other) && fileSystemOf(other) === system);
  const needed = plan.geometry.memberBytes * siblings.length;
  const free = freeBytes(path);
  if (free * (1 - SPARE_PART) < needed)
    findings.fault(
      area,
      `${path}: ${siblings.length} new members need ${formatBytes(needed)} there, ${formatBytes(free)} are free`,
      "set cache.megabytes lower, or another path",
    );
  else findings.good(area, `${path} will be made, ${formatBytes(plan.geometry.memberBytes)}`);
}

/** What all members on one file system together must take while every drive streams. */
function needs(settings: Settings): Map<number, { directory: string; bytesPerSecond: number }> {
  const pace = settings.library.paceBytesPerSecond || STREAMING_BYTES_PER_SECOND;
  const found = new Map<number, { directory: string; bytesPerSecond: number }>();
  for (const { cache } of settings.devices) {
    const data = Math.max(1, cache.memberPaths.length - (cache.parity === "one" ? 1 : 0));
    for (const path of cache.memberPaths) {
      if (existsSync(path) && statSync(path).isBlockDevice()) continue;
      const directory = standing(dirname(path));
      const system = fileSystemOf(directory);
      const before = found.get(system)?.bytesPerSecond ?? 0;
      found.set(system, { directory, bytesPerSecond: before + pace / data });
    }
  }
  return found;
}

export function checkSpeed(settings: Settings, forMs: number, findings: Findings): void {
  const isPaced = settings.library.paceBytesPerSecond > 0;
  const drive = isPaced ? "its drives' own speed" : "an LTO drive's lowest streaming rate";
  for (const { directory, bytesPerSecond } of needs(settings).values()) {
    const measured = measure(directory, forMs);
    if (typeof measured === "string") {
      findings.fault("cache speed", `${directory}: ${measured}`, "a cache member could not be written there");
      continue;
    }
    const text = `${directory}: ${formatRate(measured.bytesPerSecond)} written${measured.direct ? " past the page cache" : ""}, a synchronised write takes ${formatDuration(measured.syncMs)}`;
    const wanted = `${formatRate(bytesPerSecond)} are wanted for all devices at ${drive}`;
    if (!measured.direct)
      findings.warning(
        "cache speed",
        `${directory}: O_DIRECT is refused: what is measured is the page cache`,
        "use a file system that has it (ext4, xfs)",
      );
    if (measured.bytesPerSecond < bytesPerSecond)
      findings.warning("cache speed", `${text}; ${wanted}`, "faster disks, more members, or fewer devices");
    else findings.good("cache speed", `${text}; ${wanted}`);
    if (measured.syncMs > SYNC_SLOW_MS)
      findings.warning(
        "cache speed",
        `${directory}: each filemark waits ${formatDuration(measured.syncMs)} for the disk`,
        "disks with a protected write cache",
      );
  }
}
