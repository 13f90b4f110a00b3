/** @module What a bench asks the kernel about a process: CPU time by thread, resident memory. */
import { readdirSync, readFileSync } from "node:fs";

const TICK_SECONDS = 0.01;
const USER_TICKS_AT = 11;

/** CPU seconds (user and system) by the name of the thread. */
export type ThreadSeconds = Readonly<Record<string, number>>;

export function must<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error("missing");
  return value;
}

/** Threads that the runtime keeps for itself (compiler, collector, pool) count as one. */
export function threadSeconds(pid: number): ThreadSeconds {
  const seconds: Record<string, number> = {};
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    let stat: string;
    try {
      stat = readFileSync(`/proc/${pid}/task/${tid}/stat`, "utf8");
    } catch {
      continue; // Ended while we looked.
    }
    const end = stat.lastIndexOf(")");
    const name = threadName(stat.slice(stat.indexOf("(") + 1, end), Number(tid) === pid);
    const fields = stat.slice(end + 2).split(" ");
    const ticks = Number(fields[USER_TICKS_AT]) + Number(fields[USER_TICKS_AT + 1]);
    seconds[name] = (seconds[name] ?? 0) + ticks * TICK_SECONDS;
  }
  return seconds;
}

function threadName(name: string, isMain: boolean): string {
  if (isMain) return "main";
  if (name === "front" || name.startsWith("drive ")) return name;
  return name.startsWith("cache ") ? "cache" : "runtime's helpers";
}

/** What each thread used between the two, divided by `by`; threads that used nothing are left out. */
export function usedBetween(before: ThreadSeconds, after: ThreadSeconds, by: number): ThreadSeconds {
  const used: Record<string, number> = {};
  for (const [name, seconds] of Object.entries(after)) {
    const more = seconds - (before[name] ?? 0);
    if (more > 0) used[name] = more / by;
  }
  return used;
}

export function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(must(line)[1]) * 1024;
}
