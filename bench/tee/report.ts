/** @module The tee bench's figures for people. */
import type { Figure } from "../statistics.ts";
import type { Paced } from "./paced.ts";
import type { Resident } from "./resident.ts";
import type { TeeResult } from "./tee.ts";
import type { Unpaced } from "./unpaced.ts";

const mega = (bytes: number) => (bytes / 1e6).toFixed(0);
const verdict = (reached: boolean) => (reached ? "reached" : "NOT REACHED");

function speed({ median, least, most }: Figure): string {
  return `${median.toFixed(0).padStart(5)} MB/s (${least.toFixed(0)} to ${most.toFixed(0)})`;
}

export function reportTee(result: TeeResult): string {
  const { machine, sizes, loadBefore } = result;
  const lines = [
    `${machine.cores} cores of ${machine.cpu}, ${mega(machine.memoryBytes)} MB, Linux ${machine.kernel}, bun ${machine.bun}`,
    `${result.ground}; load before ${loadBefore.toFixed(2)}; medians of ${sizes.rounds} rounds (least to most)`,
    ...(result.paced === undefined ? [] : pacedLines(result.paced)),
    ...(result.unpaced === undefined ? [] : unpacedLines(result.unpaced)),
    ...(result.resident === undefined ? [] : residentLines(result.resident)),
  ];
  return `${lines.join("\n")}\n`;
}

function pacedLines(paced: Paced): string[] {
  const idle = (side: Paced["withCache"]) =>
    `idle while data waited ${side.idleWhileWaitingMs.median.toFixed(1)} ms`;
  return [
    "",
    `(a) ${mega(paced.bytes)} MB to a drive paced at ${paced.paceMBps} MB/s: ${verdict(paced.reached)}`,
    `    with cache     ${speed(paced.withCache.MBps)}  ${idle(paced.withCache)}`,
    `    without cache  ${speed(paced.withoutCache.MBps)}  ${idle(paced.withoutCache)}`,
    `    ratio ${paced.ratio.toFixed(4)} (at least 0.98); ${paced.comparedBlocks} blocks read back identical`,
  ];
}

function unpacedLines(unpaced: Unpaced): string[] {
  const volume = `${mega(unpaced.bytes)} MB, ${(unpaced.bytes / unpaced.ringBytes).toFixed(0)} times the ring`;
  const lines = ["", `(b) unpaced, ${volume}: ${verdict(unpaced.reached)}`];
  if (unpaced.obstacle !== "") lines.push(`    ${unpaced.obstacle}`);
  for (const one of unpaced.depths) {
    const threads = Object.entries(one.cpuSecondsPerGB).map(
      ([name, seconds]) => `${name} ${seconds.toFixed(3)}`,
    );
    lines.push(
      `    queue depth ${one.depth}: understudy      ${speed(one.understudyMBps)}`,
      `                   tgtd, no tee    ${speed(one.tgtdMBps)}  ratio ${one.ratio.toFixed(2)} (at least 1.5)`,
      `                   client's ceiling${speed(one.ceilingMBps)}  (a target that receives, forgets and answers)`,
      `(c)                CPU s/GB: ${threads.join(", ")}; together ${one.cpuSecondsPerGBTotal.toFixed(3)}`,
      `                   tgtd ${one.tgtdCpuSecondsPerGB.toFixed(3)}; the client ${one.clientCpuSecondsPerGB.toFixed(3)}`,
    );
  }
  return lines;
}

function residentLines(resident: Resident): string[] {
  const { writtenBytes, afterFirstBytes, afterRewritesBytes, rewrites, besideRingBytes } = resident;
  return [
    "",
    `(d) resident memory: ${verdict(resident.reached)}`,
    `    after ${mega(writtenBytes)} MB: ${mega(afterFirstBytes)} MB; after ${rewrites} rewrites: ${mega(afterRewritesBytes)} MB`,
    `    ring ${mega(resident.ringBytes)} MB, beside it ${mega(besideRingBytes)} MB (at most 250)`,
  ];
}
