/** @module `understudy backup`: makes one backup into a store, without a server and without settings. */
import { availableParallelism } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import { pathLine } from "../../backup/archive/names.ts";
import { CODEC_IDS, type CodecName } from "../../backup/codec/codec.ts";
import type { Entry } from "../../backup/entry.ts";
import { type BackupDone, makeBackup } from "../../backup/run/backup.ts";
import type { Reason } from "../../backup/run/judge.ts";
import { emptyProgress } from "../../backup/run/run.ts";
import { defaultSelection, type Selection } from "../../backup/scan/selection.ts";
import { systemClock } from "../../base/clock.ts";
import { formatBytes, formatCount } from "../../base/units.ts";
import { DEFAULT_SCHEDULE } from "../../plan/schedule.ts";
import { LEVELS, type Level } from "../../plan/tree.ts";
import { rawArguments } from "../arguments.ts";
import { type BackupSurroundings, surroundings } from "../backup-ports.ts";
import { CommandFailure, EXIT } from "../exit.ts";
import type { CliPorts } from "../ports.ts";
import { showProgress } from "../progress.ts";
import { ACCEPT_OPTION, openToWrite, type StoreOptions } from "../store-door.ts";
import { pathJson } from "../tree-text.ts";
import { bytesArgument } from "./plan.ts";

interface BackupCommandOptions extends StoreOptions {
  level: Level | "auto";
  codec: CodecName;
  exclude: string[];
  excludeCaches?: true;
  maxSize?: number;
  nodump?: true;
  oneFileSystem?: true;
  paranoid?: true;
  inode: boolean;
  ctime: boolean;
  verify: false | "quick" | "full";
  keepWeeklies?: number;
  explain?: true;
  workers?: number;
  json?: true;
}

const WORKERS_MAX = 64;
const WORKERS_DEFAULT_MAX = 8;
/** Files named one by one; the others are in the backup's own list. */
const TOLD_MAX = 20;

/** What --workers is when nothing is said. */
export function defaultWorkers(): number {
  return Math.min(availableParallelism(), WORKERS_DEFAULT_MAX);
}

export function workersArgument(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > WORKERS_MAX)
    throw new InvalidArgumentError(`expected a whole number from 1 to ${WORKERS_MAX}`);
  return value;
}

const append = (value: string, list: string[]): string[] => [...list, value];

export function addBackup(
  program: Command,
  ports: CliPorts,
  finish: (exitCode: number) => void,
  around: BackupSurroundings = surroundings,
): void {
  program
    .command("backup")
    .description("make a backup into a store; without SRC: the system's configuration and what people keep")
    .argument("[SRC...]", "directories and files")
    .requiredOption("--store <dir>", "the store (understudy store init DIR makes one)")
    .addOption(
      new Option("--level <level>", "auto: what the plan says is due; a full on first use")
        .choices([...LEVELS, "auto"])
        .default("auto"),
    )
    .addOption(
      new Option("--codec <codec>", "how chunks are packed").choices(Object.keys(CODEC_IDS)).default("lz4"),
    )
    .option("--exclude <pattern>", "leave out, as in .gitignore; may be given again", append, [])
    .option("--exclude-caches", "leave out directories with a CACHEDIR.TAG")
    .option("--max-size <bytes>", "leave out larger files", bytesArgument)
    .option("--nodump", "leave out what has the nodump flag")
    .option("-x, --one-file-system", "do not enter other file systems")
    .option("--paranoid", "read every file, and tell of bytes that changed by themselves")
    .option("--no-inode", "for file systems that make up inode numbers: they prove nothing")
    .option("--no-ctime", "for file systems whose change times prove nothing")
    .addOption(
      new Option("--verify <level>", "read back afterwards").choices(["full", "quick"]).default("full"),
    )
    .option("--no-verify", "do not: the backup is nobody's parent until `verify` has read it")
    .addOption(
      new Option("--keep-weeklies <number>", "drop dailies older than so many weeklies").argParser(
        workersArgument,
      ),
    )
    .option("--explain", "say for each file why it was read")
    .option("--workers <number>", "threads (default: one a processor, at most 8)", workersArgument)
    .option(...ACCEPT_OPTION)
    .option("--json", "one JSON object")
    .action(async (sources: string[], options: BackupCommandOptions) =>
      finish(await backup(ports, sources, options, around)),
    );
}

async function backup(
  ports: CliPorts,
  sources: string[],
  options: BackupCommandOptions,
  around: BackupSurroundings,
): Promise<number> {
  const { console } = ports;
  const tell = (note: string) => console.err(`understudy: ${note}\n`);
  const store = openToWrite(console, options, around);
  const startedMs = performance.now();
  const progress = emptyProgress();
  const stopping = new AbortController();
  const forget = console.onStopSignal(() => stopping.abort());
  const shown = showProgress(console, options.json === true, progress);
  try {
    const outcome = await makeBackup(
      store,
      {
        level: options.level,
        schedule: { ...DEFAULT_SCHEDULE, timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone },
        selection: selectionOf(sources, options),
        codec: options.codec,
        paranoid: options.paranoid === true,
        trustInode: options.inode,
        trustCtime: options.ctime,
        verify: options.verify === false ? null : options.verify,
        keepWeeklies: options.keepWeeklies ?? null,
        workers: options.workers ?? defaultWorkers(),
        software: `understudy ${ports.version}`,
        computer: around.computer(),
      },
      {
        spawn: (name) => ports.spawnWorker(name),
        clock: systemClock,
        progress,
        explain: options.explain === true ? explainTo(console.err) : null,
        tell,
        signal: stopping.signal,
      },
    );
    shown.end();
    if (outcome.kind === "failed") throw new CommandFailure(EXIT.failed, outcome.text);
    const seconds = (performance.now() - startedMs) / 1000;
    const { complaints } = outcome.written;
    for (const { path, text } of complaints.slice(0, TOLD_MAX)) tell(`${pathLine(path)}: ${text}`);
    if (complaints.length > TOLD_MAX)
      tell(`and ${formatCount(complaints.length - TOLD_MAX)} more (--json names them all)`);
    console.out(options.json === true ? jsonOf(outcome, seconds) : summaryOf(outcome, seconds));
    const verified = tellVerification(outcome, tell);
    return verified && outcome.written.complaints.length === 0 ? EXIT.done : EXIT.partial;
  } finally {
    forget();
    shown.end();
    store.close();
  }
}

function selectionOf(sources: readonly string[], options: BackupCommandOptions): Selection {
  const base = defaultSelection();
  const named = sources.length > 0;
  return {
    sources: named ? rawArguments(sources) : base.sources,
    exclude: named ? options.exclude : [...base.exclude, ...options.exclude],
    excludeCaches: options.excludeCaches ?? (named ? false : base.excludeCaches),
    sizeMaxBytes: options.maxSize ?? null,
    honourNodump: options.nodump ?? (named ? false : base.honourNodump),
    oneFileSystem: options.oneFileSystem ?? false,
  };
}

function explainTo(write: (text: string) => void): (entry: Entry, reason: Reason) => void {
  return (entry, reason) => write(`${pathLine(entry.path.subarray(0, entry.pathBytes))}: ${reason}\n`);
}

/** Returns whether the backup is what was to be written, as far as anybody looked. */
function tellVerification({ node, verification }: BackupDone, tell: (note: string) => void): boolean {
  if (verification === null) return true;
  if (verification.kind === "verified") {
    for (const text of verification.damage.slice(0, TOLD_MAX)) tell(text);
    for (const { path, text } of verification.damagedFiles.slice(0, TOLD_MAX))
      tell(`${pathLine(path)}: ${text}`);
    if (verification.ok) return true;
  } else tell(verification.text);
  tell(`backup ${node.number} did not pass its verification: it is kept, and nothing is built on it`);
  return false;
}

function summaryOf({ node, written }: BackupDone, seconds: number): string {
  const { counts, finished, readBytes, complaints } = written;
  const of = node.parent === null ? "full" : `of ${node.parent}`;
  return `backup ${node.number} (${node.level}, ${of}): ${counts.fresh} new, ${counts.changed} changed, ${counts.deleted} deleted, ${counts.unchanged} unchanged, ${complaints.length} errors; ${formatBytes(readBytes)} read, ${formatBytes(finished.bytes)} stored in ${seconds.toFixed(1)} s\n`;
}

function jsonOf({ node, written, verification, resumed, pares }: BackupDone, seconds: number): string {
  const { counts, finished, readBytes, complaints } = written;
  return `${JSON.stringify({
    number: node.number,
    level: node.level,
    parent: node.parent,
    at: new Date(node.atMs).toISOString(),
    seconds: Number(seconds.toFixed(3)),
    entries: counts.entries,
    files: counts.files,
    bytes: counts.bytes,
    new: counts.fresh,
    changed: counts.changed,
    deleted: counts.deleted,
    moved: counts.moved,
    unchanged: counts.unchanged,
    vanished: counts.vanished,
    inconsistent: counts.inconsistent,
    unreadable: counts.unreadable,
    rotten: counts.rotten,
    errors: complaints.length,
    issues: complaints.map(({ path, text }) => ({ path: pathJson(path), text })),
    readBytes,
    plainBytes: finished.plainBytes,
    storedBytes: finished.bytes,
    verified: verification === null ? null : verification.kind === "verified" && verification.ok,
    resumed,
    pared: pares.map(({ number, step, dependants, freedBytes }) => ({
      number,
      step,
      dependants,
      freedBytes,
    })),
  })}\n`;
}
