/** @module The tree bench's figures, for people. */
import type { Line, Ratio } from "./ratios.ts";
import type { TreeResult } from "./tree.ts";

export function reportTree(result: TreeResult): string {
  const { programs, sizes, machine, lines, ratios, fidelity, leftOut } = result;
  const starts = programs.map(({ kind, startSeconds }) => `${kind} ${(startSeconds * 1000).toFixed(0)} ms`);
  return `${[
    `tree, ${sizes.rounds} rounds on ${machine.cores} cores (${machine.cpu}), medians; measured: the ${programs[0]?.kind}`,
    `start-up: ${starts.join(", ")}`,
    "",
    "part   step           tool                     wall s    CPU s  peak MB   store MB     grown MB",
    ...lines.map(lineText),
    "",
    "what                              ours       peer                    ratio  limit",
    ...ratios.map((ratio) => ratioText(ratio, sizes.tiny)),
    "",
    ...Object.entries(fidelity).map(([part, text]) => `${part}: restored after all changes: ${text}`),
    ...Object.entries(leftOut).map(([tool, text]) => `left out: ${tool}: ${text.split("\n")[0]}`),
  ].join("\n")}\n`;
}

function lineText({
  part,
  step,
  tool,
  wallSeconds,
  cpuSeconds,
  peakBytes,
  storedBytes,
  grownBytes,
}: Line): string {
  return [
    part.padEnd(6),
    step.padEnd(14),
    tool.padEnd(22),
    wallSeconds.median.toFixed(2).padStart(8),
    cpuSeconds.median.toFixed(2).padStart(8),
    megabytes(peakBytes, 0).padStart(8),
    megabytes(storedBytes, 2).padStart(10),
    megabytes(grownBytes.median, 3).padStart(12),
  ].join(" ");
}

function ratioText({ name, unit, ours, peer, peerName, ratio, limit, ok }: Ratio, isTiny: boolean): string {
  const figure = (value: number) => (unit === "s" ? `${value.toFixed(2)} s` : `${megabytes(value, 2)} MB`);
  const verdict = isTiny ? "" : ok ? "reached" : "NOT REACHED";
  const sides = [figure(ours).padStart(11), figure(peer).padStart(11), peerName.padEnd(9)];
  return [name.padEnd(28), ...sides, ratio.toFixed(2).padStart(7), limit.toFixed(2).padStart(6), verdict]
    .join(" ")
    .trimEnd();
}

function megabytes(bytes: number, digits: number): string {
  return (bytes / 1e6).toFixed(digits);
}
