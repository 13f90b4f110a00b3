/** @module What the doctor asks of the machine: the kernel's calls, memory for the rings, files, ports, time limits. */
import { readFileSync } from "node:fs";
import * as at from "../../../wasm/ring/layout.ts";
import { libc } from "../../base/ffi.ts";
import { formatBytes, formatDuration } from "../../base/units.ts";
import { AsyncWrites } from "../../cache/aio.ts";
import type { Settings } from "../../config.ts";
import { openPortal } from "../../target/portal.ts";
import type { Findings } from "./finding.ts";

/** Beside the rings: the program itself, its Workers, SQLite. */
const PROGRAM_BYTES = 512 * 1024 * 1024;
/** Of the fixed areas before a ring so much is touched in ordinary work. */
const MEMORY_WARNING_PART = 0.8;
const FILES_MIN = 256;
/** Linux' st gives a write so long (FACTS of the tape drivers: 900 s); a margin for everything that is not waiting. */
const HOST_TIMER_MS = 900_000;
const SWITCH_MARGIN_MS = 60_000;

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

export function checkKernel(findings: Findings): void {
  const release = textOf("/proc/sys/kernel/osrelease").trim();
  findings.good("system calls", `the C library has all of them (Linux ${release || "?"}, ${process.arch})`);
  if (process.platform !== "linux")
    findings.fault("system calls", `this is ${process.platform}`, "understudy runs on Linux");
  if (AsyncWrites.open() === null) {
    findings.warning(
      "system calls",
      "the kernel gives no asynchronous disk writes (io_setup): an array is as slow as its disks one by one",
      "raise fs.aio-max-nr (sysctl), or let the container use io_setup",
    );
  }
}

export function checkMemory(settings: Settings, findings: Findings): void {
  const rings = settings.devices.reduce((sum, device) => sum + device.ringBytes + at.RING, 0);
  const needed = rings + PROGRAM_BYTES;
  const field = (name: string) => {
    const match = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(textOf("/proc/meminfo"));
    return match === null ? Number.POSITIVE_INFINITY : Number(match[1]) * 1024;
  };
  const limitText = textOf("/sys/fs/cgroup/memory.max").trim();
  const limit = /^\d+$/.test(limitText) ? Number(limitText) : Number.POSITIVE_INFINITY;
  const total = Math.min(field("MemTotal"), limit);
  const free = Math.min(field("MemAvailable"), limit);
  const text = `rings of ${settings.devices.length} devices and the program need up to ${formatBytes(needed)}`;
  const todo = "set device.ringMegabytes lower, or give the machine more memory";
  if (needed > total) findings.fault("memory", `${text}; there are ${formatBytes(total)} in all`, todo);
  else if (needed > free * MEMORY_WARNING_PART)
    findings.warning("memory", `${text}; ${formatBytes(free)} are free now`, todo);
  else findings.good("memory", Number.isFinite(free) ? `${text}; ${formatBytes(free)} are free` : text);
}

export function checkFiles(settings: Settings, findings: Findings): void {
  const match = /^Max open files\s+(\d+)/m.exec(textOf("/proc/self/limits"));
  const limit = match === null ? Number.POSITIVE_INFINITY : Number(match[1]);
  const members = settings.devices.reduce((sum, device) => sum + device.cache.memberPaths.length, 0);
  const drives = settings.library.driveCount + settings.library.spareCount;
  // Twice for the writer, once for each drive's reader; connections, mailboxes, cartridges.
  const needed = FILES_MIN + members * (2 + drives) + drives * 4;
  if (limit >= needed) findings.good("open files", `${limit} are allowed`);
  else
    findings.warning(
      "open files",
      `${limit} are allowed, ${needed} may be needed`,
      "raise the limit (LimitNOFILE= in systemd, ulimit -n)",
    );
}

/** `running`: a server has this state directory, so the ports are its own. */
export function checkPorts(settings: Settings, running: boolean, findings: Findings): void {
  const ports = [
    { area: "iSCSI port", key: "iscsi.port", ...settings.iscsi },
    { area: "HTTP port", key: "http.port", ...settings.http },
  ];
  for (const { area, key, host, port } of ports) {
    const where = `${host}:${port}`;
    if (running) findings.good(area, `${where}: not tried, the running server has it`);
    else if (port === 0) findings.good(area, `${host}: any free port will be taken`);
    else {
      const opened = openPortal(host, port);
      if (opened.kind === "failed") {
        const cause = opened.cause.replace(/^iSCSI portal /, "");
        findings.fault(area, cause, `stop what listens there, or set ${key}`);
      } else {
        libc.close(opened.portal.fd);
        findings.good(area, `${where} is free`);
      }
    }
  }
}

export function checkTimeLimits(settings: Settings, findings: Findings): void {
  const { loadMs, unloadMs, moveMs, locateMs, rewindMs } = settings.library.latencies;
  const switchMs = unloadMs + 2 * moveMs + loadMs + rewindMs + 2 * locateMs + SWITCH_MARGIN_MS;
  for (const { name, driveAnswerMs } of settings.devices) {
    const wholeMs = driveAnswerMs + switchMs;
    const text = `${name}: a hanging drive is given up after ${formatDuration(driveAnswerMs)}, switched within about ${formatDuration(wholeMs)}`;
    if (wholeMs < HOST_TIMER_MS) findings.good("time limits", text);
    else
      findings.warning(
        "time limits",
        `${text}; a Linux host gives up after ${formatDuration(HOST_TIMER_MS)}`,
        "set driveAnswerSeconds lower, or raise the host's timer (sg_timeout, st_timeout)",
      );
  }
}
