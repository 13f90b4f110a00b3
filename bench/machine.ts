/** @module The machine that a figure belongs to. */
import { cpus, release, totalmem } from "node:os";

export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly bun: string;
}

export function thisMachine(): Machine {
  const list = cpus();
  const cpu = list[0]?.model ?? "unknown";
  return { cores: list.length, cpu, memoryBytes: totalmem(), kernel: release(), bun: Bun.version };
}
