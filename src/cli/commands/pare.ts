/** @module `understudy pare`: deletes what the plan says may go; --dry-run says what and why. */
import { type Command, InvalidArgumentError } from "commander";
import { carryOut, type PlannedPare, type PrunePlan, planPrune } from "../../backup/prune/prune.ts";
import { isFault, type PrunableStore, type ReadableStore } from "../../backup/store/contract.ts";
import { formatBytes } from "../../base/units.ts";
import { type BackupSurroundings, surroundings } from "../backup-ports.ts";
import { CommandFailure, EXIT } from "../exit.ts";
import type { CliPorts } from "../ports.ts";
import {
  ACCEPT_OPTION,
  done,
  openToRead,
  openToWrite,
  STORE_OPTION,
  type StoreOptions,
} from "../store-door.ts";
import { type Column, table, timeText } from "../table.ts";
import { bytesArgument } from "./plan.ts";

interface PareOptions extends StoreOptions {
  dryRun?: true;
  free: number;
  beforeFull?: true;
  keepWeeklies?: number;
  json?: true;
}

function weekliesArgument(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : 0;
  if (value < 1) throw new InvalidArgumentError("expected a whole number from 1 on");
  return value;
}

export function addPare(
  program: Command,
  ports: CliPorts,
  finish: (exitCode: number) => void,
  around: BackupSurroundings = surroundings,
): void {
  program
    .command("pare")
    .description("delete backups as the plan says: by age, and for space where it is short")
    .requiredOption(...STORE_OPTION)
    .option("--dry-run", "say what would go, and why; delete nothing")
    .option("--free <bytes>", "make so much room", bytesArgument, 0)
    .option(
      "--before-full",
      "the room is for a full: the last full may go for it, with all that depends on it",
    )
    .option("--keep-weeklies <number>", "dailies older than so many weeklies go by age", weekliesArgument)
    .option(...ACCEPT_OPTION)
    .option("--json", "one JSON object")
    .action((options: PareOptions) => finish(pare(ports, options, around)));
}

function pare(ports: CliPorts, options: PareOptions, around: BackupSurroundings): number {
  const { console } = ports;
  if (options.dryRun === true) {
    const store = openToRead(console, options, around);
    try {
      return told(ports, options, planOf(store, options, around), null);
    } finally {
      store.close();
    }
  }
  const store = openToWrite(console, options, around);
  try {
    const plan = planOf(store, options, around);
    return told(ports, options, plan, carriedOut(store, plan));
  } finally {
    store.close();
  }
}

function planOf(store: ReadableStore, options: PareOptions, around: BackupSurroundings): PrunePlan {
  return done(
    planPrune(store, {
      nowMs: around.wallMs(),
      beforeFull: options.beforeFull === true,
      keepWeeklies: options.keepWeeklies ?? null,
      neededBytes: () => options.free,
    }),
  );
}

/** Bytes that came free. */
function carriedOut(store: PrunableStore, plan: PrunePlan): number {
  const report = carryOut(store, plan);
  if (!isFault(report)) return report.freedBytes;
  throw new CommandFailure(EXIT.failed, `${report.text}; what is left is whole: start it again`);
}

const COLUMNS: readonly Column[] = [
  { heading: "Backup", align: "right" },
  { heading: "Level" },
  { heading: "Time" },
  { heading: "Step" },
  { heading: "Frees", align: "right" },
  { heading: "Reason" },
];

/** `freedBytes`: null for a dry run. */
function told(ports: CliPorts, options: PareOptions, plan: PrunePlan, freedBytes: number | null): number {
  const { console } = ports;
  for (const note of plan.notes) console.err(`understudy: ${note}\n`);
  const exitCode = plan.enough ? EXIT.done : EXIT.failed;
  if (!plan.enough) {
    console.err(
      `understudy: ${options.store}: not even all that may go would make ${formatBytes(options.free)} free: nothing goes for space; a larger disk is wanted\n`,
    );
  }
  if (options.json === true) {
    const { residueBytes, enough, freeBytes } = plan;
    const pares = plan.pares.map(pareJson);
    const object = { dryRun: freedBytes === null, enough, pares, residueBytes, freedBytes, freeBytes };
    console.out(`${JSON.stringify(object)}\n`);
    return exitCode;
  }
  const rows = plan.pares.map(({ number, level, atMs, step, reason, dependants, freedBytes: bytes }) => [
    String(number),
    level,
    timeText(atMs),
    step,
    formatBytes(bytes),
    dependants.length === 0 ? reason : `${reason} (with ${dependants.toReversed().join(", ")})`,
  ]);
  if (rows.length > 0) console.out(table(COLUMNS, rows, console.terminal));
  console.out(`${summaryOf(plan, freedBytes)}\n`);
  return exitCode;
}

function summaryOf({ pares, residueBytes }: PrunePlan, freedBytes: number | null): string {
  const count = pares.reduce((sum, { dependants }) => sum + 1 + dependants.length, 0);
  const planned = pares.reduce((sum, pare) => sum + pare.freedBytes, residueBytes);
  if (freedBytes === null) return `${count} would go, ${formatBytes(planned)} would come free`;
  return `${count} gone, ${formatBytes(freedBytes)} came free`;
}

function pareJson(pare: PlannedPare) {
  const { number, level, atMs, step, reason, dependants, byAge, freedBytes } = pare;
  return { number, level, at: new Date(atMs).toISOString(), step, reason, dependants, byAge, freedBytes };
}
