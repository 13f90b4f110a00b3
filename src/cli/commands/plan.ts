/** @module `understudy plan simulate`: what a store of a given size would keep, played through in seconds. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { formatBytes } from "../../base/units.ts";
import { FULL_INTERVALS, type FullInterval } from "../../plan/schedule.ts";
import {
  type SimulatedLine,
  type SimulationSettings,
  simulate,
  simulationFault,
} from "../../plan/simulate.ts";
import { LEVELS, type Level } from "../../plan/tree.ts";
import { CommandFailure, EXIT } from "../exit.ts";
import type { CliConsole, CliPorts } from "../ports.ts";

interface SimulateOptions {
  days: number;
  capacity: number;
  fullBytes: number;
  changePerMicro: number;
  fullInterval: FullInterval;
  keepWeeklies?: number;
  json?: true;
}

const DAYS_MAX = 3653;
/** Day 0: the first of a month and of a quarter. */
const START_MS = Date.UTC(2026, 0, 1);
/** Written at once: a year of lines is hundreds of megabytes. */
const WRITE_CHARACTERS = 1 << 18;

const UNITS = ["", "K", "M", "G", "T", "P"];
const BYTES = /^(\d+(?:\.\d+)?)(?:([KMGTP])(i?)B?|B)?$/i;

/** Whole bytes: "1500000", "1.5M" and "1.5MB" (powers of 1000), "1.5MiB" (of 1024). */
export function bytesArgument(text: string): number {
  const [, digits = "", unit = "", binary = ""] = BYTES.exec(text) ?? [];
  const power = UNITS.indexOf(unit.toUpperCase());
  const value = Math.round(Number(digits) * (binary === "" ? 1000 : 1024) ** power);
  const isWhole = unit !== "" || !digits.includes(".");
  if (digits === "" || !isWhole || !Number.isSafeInteger(value)) {
    throw new InvalidArgumentError("expected bytes, as 1500000, 1.5G (powers of 1000) or 2GiB (of 1024)");
  }
  return value;
}

function someBytesArgument(text: string): number {
  const value = bytesArgument(text);
  if (value === 0) throw new InvalidArgumentError("expected more than 0 bytes");
  return value;
}

function countArgument(max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : 0;
    if (value < 1 || value > max) throw new InvalidArgumentError(`expected a whole number from 1 to ${max}`);
    return value;
  };
}

export function addPlan(program: Command, ports: CliPorts, finish: (exitCode: number) => void): void {
  const plan = program.command("plan").description("what is backed up when, and what is kept");
  plan
    .command("simulate")
    .description("play a plan through: every backup made and pared, and what it stores and frees")
    .addOption(
      new Option("--days <count>", "how long").argParser(countArgument(DAYS_MAX)).makeOptionMandatory(),
    )
    .addOption(
      new Option("--capacity <bytes>", "of the device, as 2T or 500GiB")
        .argParser(someBytesArgument)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option("--full-bytes <bytes>", "of a full backup")
        .argParser(someBytesArgument)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option("--change-per-micro <bytes>", "changed in a quarter of an hour, at new places in turn")
        .argParser(bytesArgument)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option("--full-interval <interval>", "between fulls").choices(FULL_INTERVALS).default("28days"),
    )
    .addOption(
      new Option("--keep-weeklies <count>", "drop dailies older than the newest so many weeklies").argParser(
        countArgument(1000),
      ),
    )
    .option("--json", "one JSON object a line")
    .addHelpText(
      "after",
      `
Day 0 is 2026-01-01 00:00 UTC. An incremental stores what changed since its parent, at most a full; a pared backup
frees what none that is left needs. Alarms (no room, a larger device is wanted) go to standard error.`,
    )
    .action((options: SimulateOptions) => finish(run(ports, options)));
}

function run(ports: CliPorts, options: SimulateOptions): number {
  const settings: SimulationSettings = {
    days: options.days,
    capacityBytes: options.capacity,
    fullBytes: options.fullBytes,
    changePerMicroBytes: options.changePerMicro,
    fullInterval: options.fullInterval,
    keepWeeklies: options.keepWeeklies ?? null,
    startMs: START_MS,
  };
  const fault = simulationFault(settings);
  if (fault !== null) throw new CommandFailure(EXIT.misused, `plan simulate: ${fault}`);
  const { console: io } = ports;
  const writer = new LineWriter(io);
  const alarms = new Map<string, number>();
  const json = options.json === true;
  if (!json) writer.write(HEADING);
  let last: SimulatedLine | null = null;
  const levels = new Map<number, Level>();
  for (const one of simulate(settings)) {
    if (one.kind === "alarm") {
      const count = (alarms.get(one.text) ?? 0) + 1;
      alarms.set(one.text, count);
      if (count === 1) io.err(`understudy: ${one.at}: ${one.text}\n`);
      continue;
    }
    last = one.line;
    if (last.event === "make") levels.set(last.number, last.type);
    if (!writer.write(json ? `${JSON.stringify(last)}\n` : lineText(last, one.reason))) return EXIT.done;
  }
  if (!json) writer.write(endText(last, levels));
  writer.flush();
  for (const [text, count] of alarms) {
    if (count > 1) io.err(`understudy: ${count} times in all: ${text}\n`);
  }
  return EXIT.done;
}

/** Gathers lines; false: the reader is gone. */
class LineWriter {
  readonly #console: CliConsole;
  readonly #encoder = new TextEncoder();
  #text = "";

  constructor(io: CliConsole) {
    this.#console = io;
  }

  write(text: string): boolean {
    this.#text += text;
    return this.#text.length < WRITE_CHARACTERS || this.flush();
  }

  flush(): boolean {
    const text = this.#text;
    this.#text = "";
    return this.#console.outBytes(this.#encoder.encode(text));
  }
}

/** Columns of fixed width: the lines are too many to be held for measuring. */
function columns(cells: readonly [string, string, string, string, string, string, string, string]): string {
  const [at, what, number, parent, bytes, used, kept, why] = cells;
  const left = `${at.padEnd(16)}  ${what.padEnd(12)}  ${number.padStart(7)}  ${parent.padStart(7)}`;
  const right = `${bytes.padStart(9)}  ${used.padStart(8)}  ${kept.padStart(6)}  ${why}`;
  return `${left}  ${right}`.trimEnd().concat("\n");
}

const HEADING = columns(["at (UTC)", "what", "number", "parent", "bytes", "used", "kept", "why"]);

function lineText(line: SimulatedLine, reason: string): string {
  const isPare = line.event === "pare";
  return columns([
    line.at.slice(0, 16).replace("T", " "),
    `${isPare ? "- " : "+ "}${line.type}`,
    String(line.number),
    line.parent === null ? "-" : String(line.parent),
    isPare ? formatBytes(-line.freed || 0) : formatBytes(line.bytes),
    formatBytes(line.used),
    String(line.kept.length),
    line.step === null ? "" : `${line.step}: ${reason}`,
  ]);
}

function endText(last: SimulatedLine | null, levels: ReadonlyMap<number, Level>): string {
  if (last === null) return "Nothing was made.\n";
  const counts = LEVELS.map((level) => {
    const count = last.kept.filter((number) => levels.get(number) === level).length;
    return `${count} ${level}`;
  });
  return `Kept at the end: ${counts.join(", ")}; ${formatBytes(last.used)} used.\n`;
}
