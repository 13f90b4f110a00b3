/** @module What is to be reached, as ratios of one run: understudy over its peers. */
import { type Figure, figureOf } from "../statistics.ts";
import type { Row, StepName } from "./rounds.ts";
import type { Part } from "./sizes.ts";

export const OURS = "understudy";
export const OURS_VERIFIED = "understudy, verified";
export const OURS_ZSTD = "understudy zstd";

/** Medians of one step of one tool. */
export interface Line {
  readonly part: Part;
  readonly step: StepName;
  readonly tool: string;
  readonly wallSeconds: Figure;
  readonly cpuSeconds: Figure;
  readonly peakBytes: number;
  /** After the last round. */
  readonly storedBytes: number;
  readonly grownBytes: Figure;
}

export interface Ratio {
  readonly name: string;
  readonly unit: "s" | "bytes";
  readonly ours: number;
  /** The peer's figure, or the bound itself where there is no peer. */
  readonly peer: number;
  readonly peerName: string;
  readonly ratio: number;
  readonly limit: number;
  readonly ok: boolean;
}

const FULL_MOST = 1.0;
const INCREMENTAL_MOST = 2.0;
const RESTORE_MOST = 1.0;
const VERIFY_MOST = 1.5;
const SIZE_MOST = 1.02;
const BIG_GROWTH_BYTES = 110 * 1024 * 1024;
const PEAK_BYTES = 250e6;
const MANY_PEAK_BYTES = 600e6;
const MANY_GROWTH_BYTES = 64 * 1024;

export function linesOf(rows: readonly Row[]): readonly Line[] {
  const groups = Map.groupBy(rows, (row) => `${row.part}/${row.step}/${row.tool}`);
  return [...groups.values()].flatMap((group) => {
    const last = group.at(-1);
    if (last === undefined) return [];
    const { part, step, tool, storedBytes } = last;
    return {
      part,
      step,
      tool,
      wallSeconds: figureOf(group.map((row) => row.wallSeconds)),
      cpuSeconds: figureOf(group.map((row) => row.cpuSeconds)),
      peakBytes: Math.max(...group.map((row) => row.peakBytes)),
      storedBytes,
      grownBytes: figureOf(group.map((row) => row.grownBytes)),
    };
  });
}

/** Only those whose both sides were measured. */
export function ratiosOf(lines: readonly Line[]): readonly Ratio[] {
  const ratios: Ratio[] = [];
  const find = (part: Part, step: StepName, tool: string) =>
    lines.find((line) => line.part === part && line.step === step && line.tool === tool);
  const against = (
    name: string,
    [ours, peers]: readonly [Line | undefined, readonly (Line | undefined)[]],
    figure: (line: Line) => number,
    [unit, limit]: readonly [Ratio["unit"], number],
  ) => {
    const best = peers
      .filter((line) => line !== undefined)
      .sort((left, right) => figure(left) - figure(right))[0];
    if (ours === undefined || best === undefined) return;
    ratios.push(ratio(name, unit, figure(ours), [figure(best), best.tool], limit));
  };
  const bound = (name: string, unit: Ratio["unit"], ours: number | undefined, most: number) => {
    if (ours !== undefined) ratios.push(ratio(name, unit, ours, [most, "the bound"], 1));
  };
  const wall = (line: Line) => line.wallSeconds.median;
  const stored = (line: Line) => line.storedBytes;
  for (const part of ["small", "mixed"] as const) {
    const pair = (step: StepName, peers: readonly string[], tool = OURS) =>
      [find(part, step, tool), peers.map((peer) => find(part, step, peer))] as const;
    const tar = ["tar+lz4"];
    const three = ["tar+lz4", "restic", "borg"];
    against(`${part}: full`, pair("full", tar), wall, ["s", FULL_MOST]);
    against(`${part}: nothing changed`, pair("nochange", tar), wall, ["s", INCREMENTAL_MOST]);
    against(`${part}: 1 % changed`, pair("incr", tar), wall, ["s", INCREMENTAL_MOST]);
    against(`${part}: restore to tmpfs`, pair("restore-tmpfs", three), wall, ["s", RESTORE_MOST]);
    against(`${part}: restore to disk`, pair("restore-disk", three), wall, ["s", RESTORE_MOST]);
    against(`${part}: verify against lz4 -t`, pair("verify", tar), wall, ["s", VERIFY_MOST]);
    against(`${part}: size with lz4`, pair("full", tar), stored, ["bytes", SIZE_MOST]);
    const zstd = pair("full", ["tar+zstd"], OURS_ZSTD);
    against(`${part}: size with zstd`, zstd, stored, ["bytes", SIZE_MOST]);
  }
  bound(
    "big: 1 % overwritten, growth",
    "bytes",
    find("big", "incr", OURS)?.grownBytes.most,
    BIG_GROWTH_BYTES,
  );
  const many = lines.filter((line) => line.part === "many" && line.tool === OURS);
  const rest = lines.filter((line) => line.part !== "many" && line.tool.startsWith(OURS));
  bound("peak memory", "bytes", peakOf(rest), PEAK_BYTES);
  bound("many: peak memory", "bytes", peakOf(many), MANY_PEAK_BYTES);
  const grown = find("many", "nochange", OURS)?.grownBytes.most;
  bound("many: growth by no change", "bytes", grown, MANY_GROWTH_BYTES);
  return ratios;
}

function peakOf(lines: readonly Line[]): number | undefined {
  return lines.length === 0 ? undefined : Math.max(...lines.map((line) => line.peakBytes));
}

function ratio(
  name: string,
  unit: Ratio["unit"],
  ours: number,
  [peer, peerName]: readonly [number, string],
  limit: number,
): Ratio {
  const value = ours / peer;
  return { name, unit, ours, peer, peerName, ratio: value, limit, ok: value <= limit };
}
