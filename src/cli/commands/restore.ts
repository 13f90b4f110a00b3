/** @module `understudy restore`: brings a backup back, whole or in part, in place or elsewhere; with nothing but a store
 *  and a directory, the newest one. Needs no server, no settings and no catalog. */
import { readFileSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type Choice, chooseBackup, parseAsOf } from "../../backup/restore/as-of.ts";
import { OVERWRITE_POLICIES, type OverwritePolicy } from "../../backup/restore/policy.ts";
import { openSource, type RestoreSource } from "../../backup/restore/source.ts";
import type { BackupNode, ReadableStore } from "../../backup/store/contract.ts";
import { formatCount } from "../../base/units.ts";
import { named, place, rawArguments } from "../arguments.ts";
import { surroundings } from "../backup-ports.ts";
import { CommandFailure, EXIT } from "../exit.ts";
import type { CliPorts } from "../ports.ts";
import { carryOut, show } from "../restoring.ts";
import { openToRead, STORE_OPTION } from "../store-door.ts";
import { timeText } from "../table.ts";
import { defaultWorkers, workersArgument } from "./backup.ts";

export interface RestoreCommandOptions {
  store: string;
  asOf?: number;
  inPlace?: true;
  pathsFrom?: string;
  overwrite: OverwritePolicy;
  paranoid?: true;
  delete?: true;
  dryRun?: true;
  numericIds?: true;
  workers: number;
  json?: true;
}

function asOfArgument(text: string): number {
  const atMs = parseAsOf(text);
  if (atMs === null) {
    throw new InvalidArgumentError(
      "expected a time, as 2026-11-20T13:15:00Z or '2026-11-20 13:15' (local time)",
    );
  }
  return atMs;
}

export function addRestore(program: Command, ports: CliPorts, finish: (exitCode: number) => void): void {
  program
    .command("restore")
    .description("bring a backup back: restore [ID|latest] DEST [PATH...], or with --in-place, without DEST")
    .argument(
      "[args...]",
      "a backup's number or 'latest' (default), where to, and paths of the backup (default: all)",
    )
    .requiredOption(...STORE_OPTION)
    .option("--as-of <time>", "the newest backup at or before a time", asOfArgument)
    .option("--in-place", "where it came from")
    .option("--paths-from <file>", "paths from a file, ended by NUL or newline ('-': standard input)")
    .addOption(
      new Option("--overwrite <policy>", "what becomes of files that are there and differ")
        .choices([...OVERWRITE_POLICIES])
        .default("never"),
    )
    .option("--paranoid", "compare bytes where size and time are equal")
    .option("--delete", "remove what is not in the backup, within what is restored")
    .option("--dry-run", "say what would be done, and do nothing")
    .option("--numeric-ids", "owners by number, not by name")
    .option(
      "--workers <number>",
      "threads (default: one a processor, at most 8)",
      workersArgument,
      defaultWorkers(),
    )
    .option("--json", "one JSON object")
    .action(async (args: string[], options: RestoreCommandOptions) => {
      finish(await run(ports, args, options));
    });
}

async function run(
  ports: CliPorts,
  args: readonly string[],
  options: RestoreCommandOptions,
): Promise<number> {
  const meant = meaningOf(args, options);
  const store = openToRead(ports.console, options, surroundings);
  try {
    const node = nodeMeant(store, meant.which, options.asOf ?? null);
    const source = openSource(store, node.number, options.numericIds === true);
    if (source.kind !== "source") {
      throw new CommandFailure(EXIT.failed, `backup ${node.number}: ${source.text}`);
    }
    const directory = meant.directory === null ? null : resolve(meant.directory);
    if (directory !== null) refuseStore(store.directory, directory);
    for (const note of source.notes) ports.console.err(`understudy: ${note}\n`);
    const paths = [...meant.paths, ...(options.pathsFrom === undefined ? [] : pathsFrom(options.pathsFrom))];
    const task = { source, node, directory, paths: selected(source, paths, node), options };
    return options.dryRun === true ? show(ports, task) : await carryOut(ports, task);
  } finally {
    store.close();
  }
}

interface Meaning {
  readonly which: string;
  /** null: in place. */
  readonly directory: string | null;
  readonly paths: readonly Uint8Array[];
}

/** [ID|latest] DEST [PATH...], without DEST in place. */
function meaningOf(args: readonly string[], options: RestoreCommandOptions): Meaning {
  const [first] = args;
  const isNamed = first !== undefined && /^(?:\d+|latest)$/.test(first);
  const which = isNamed ? first : "latest";
  const rest = isNamed ? args.slice(1) : args;
  if (options.asOf !== undefined && which !== "latest") {
    throw new CommandFailure(EXIT.misused, "--as-of chooses the backup: leave the number out");
  }
  if (options.inPlace === true) return { which, directory: null, paths: rawArguments(rest) };
  const [directory, ...paths] = rest;
  if (directory === undefined) {
    throw new CommandFailure(EXIT.misused, "restore where to? Name a directory, or say --in-place");
  }
  return {
    which,
    directory: place(named(directory, "a directory to restore to")),
    paths: rawArguments(paths),
  };
}

function pathsFrom(file: string): Uint8Array[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file === "-" ? 0 : file);
  } catch (error) {
    throw new CommandFailure(
      EXIT.misused,
      `${file}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  const end = bytes.includes(0) ? 0 : 0x0a;
  const paths: Uint8Array[] = [];
  for (let from = 0; from < bytes.length; ) {
    const at = bytes.indexOf(end, from);
    const to = at < 0 ? bytes.length : at;
    if (to > from) paths.push(bytes.subarray(from, to));
    from = to + 1;
  }
  if (paths.length > 0) return paths;
  throw new CommandFailure(EXIT.misused, `${file}: holds no path`);
}

function nodeMeant(store: ReadableStore, which: string, asOfMs: number | null): BackupNode {
  const backups = store.tree().map((node) => ({ number: node.number, startedMs: node.atMs, node }));
  const choice: Choice<(typeof backups)[number]> = chooseBackup(backups, which, asOfMs);
  if (choice.kind === "chosen") return choice.backup.node;
  throw new CommandFailure(EXIT.failed, `${store.directory}: ${choice.text}`);
}

/** The index's paths; null: all. */
function selected(
  source: RestoreSource,
  paths: readonly Uint8Array[],
  node: BackupNode,
): readonly Uint8Array[] | null {
  if (paths.length === 0) return null;
  const found = source.select(paths);
  if (found.kind === "malformed")
    throw new CommandFailure(EXIT.misused, `${found.given}: expected ${found.expected}`);
  if (found.kind === "damaged") throw new CommandFailure(EXIT.failed, `backup ${node.number}: ${found.text}`);
  const [first] = found.missing;
  if (first === undefined) return found.paths;
  const others = found.missing.length === 1 ? "" : ` (and ${formatCount(found.missing.length - 1)} more)`;
  const of = `backup ${node.number} of ${timeText(node.atMs)}`;
  throw new CommandFailure(
    EXIT.failed,
    `${Buffer.from(first)}${others}: not in ${of}; \`understudy find\` and \`versions\` look through all of them`,
  );
}

/** Backups are not to be buried under what they bring back. */
function refuseStore(store: string, directory: string): void {
  const real = (path: string): string => {
    try {
      return realpathSync(path);
    } catch {
      return path;
    }
  };
  const [top, below] = [real(store), real(directory)];
  if (below !== top && !below.startsWith(`${top}/`)) return;
  throw new CommandFailure(
    EXIT.misused,
    `${directory}: lies in the store itself; name a directory elsewhere`,
  );
}
