/** @module `understudy find PATTERN`: paths in any backup, also those that are gone from the source. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { pathLine } from "../../backup/archive/names.ts";
import { type Facts, KIND_NAMES } from "../../backup/queries/facts.ts";
import { type Finding, findPaths } from "../../backup/queries/find.ts";
import { parsePattern } from "../../backup/queries/glob.ts";
import { isMalformed } from "../../base/brands.ts";
import { formatBytes, formatCount } from "../../base/units.ts";
import { type BackupSurroundings, surroundings } from "../backup-ports.ts";
import { CommandFailure, EXIT } from "../exit.ts";
import type { CliPorts } from "../ports.ts";
import { withStore } from "../reading-store.ts";
import { STORE_OPTION, type StoreOptions } from "../store-door.ts";
import { bold } from "../table.ts";
import { backupsText, mtimeText, pathJson, versionsJson } from "../tree-text.ts";

interface FindOptions extends StoreOptions {
  ignoreCase?: true;
  kind?: Facts["kind"];
  max: number;
  json?: true;
}

const PATHS_MAX = 10_000;

function countArgument(text: string): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (value < 1) throw new InvalidArgumentError("expected a whole number from 1");
  return value;
}

export function addFind(
  program: Command,
  ports: CliPorts,
  finish: (exitCode: number) => void,
  around: BackupSurroundings = surroundings,
): void {
  program
    .command("find")
    .description("find paths in all backups: '*.conf' by name, '/etc/**/host*' by path, '{a,b}', '[a-z]'")
    .argument("<pattern>", "in quotes, or the shell takes it")
    .requiredOption(...STORE_OPTION)
    .option("-i, --ignore-case", "a to z are the same as A to Z")
    .addOption(new Option("--kind <kind>", "only these").choices(Object.values(KIND_NAMES)))
    .option("--max <number>", "stop at so many paths", countArgument, PATHS_MAX)
    .option("--json", "one JSON object")
    .action((text: string, options: FindOptions) => {
      const pattern = parsePattern(text, { ignoreCase: options.ignoreCase === true });
      if (isMalformed(pattern))
        throw new CommandFailure(EXIT.misused, `${text}: expected ${pattern.expected}`);
      const { findings, faults, more } = withStore(ports, options, around, (source) => {
        const answer = findPaths(source, { pattern, kind: options.kind ?? null, pathsMax: options.max });
        return { ...answer, findings: [...answer.findings] };
      });
      const damaged = faults.map(({ number, fault }) => ({ number, text: fault.text }));
      const { out, err, terminal } = ports.console;
      for (const fault of damaged) err(`understudy: ${fault.text}\n`);
      if (options.json === true) out(jsonOf(text, findings, more, damaged));
      else if (findings.length > 0) out(textOf(findings, terminal));
      if (more)
        err(`understudy: more than ${formatCount(options.max)} paths: a narrower pattern, or --max\n`);
      if (findings.length === 0) {
        throw new CommandFailure(EXIT.failed, `${text}: nothing in ${options.store} matches`);
      }
      finish(damaged.length > 0 || more ? EXIT.partial : EXIT.done);
    });
}

/** One line a version, however many there are. */
function textOf(findings: readonly Finding[], terminal: boolean): string {
  const heading = lineOf("BACKUPS", "SIZE", "MODIFIED", "PATH");
  const lines = [terminal ? bold(heading) : heading];
  for (const { path, versions } of findings) {
    for (const { facts, backups } of versions) {
      if (facts === null) continue;
      const size = facts.kind === "file" ? formatBytes(facts.sizeBytes) : facts.kind;
      lines.push(lineOf(backupsText(backups), size, mtimeText(facts), pathLine(path)));
    }
  }
  return `${lines.join("\n")}\n`;
}

function lineOf(backups: string, size: string, modified: string, path: string): string {
  return `${backups.padStart(9)}  ${size.padStart(9)}  ${modified.padEnd(19)}  ${path}`;
}

function jsonOf(
  pattern: string,
  findings: readonly Finding[],
  more: boolean,
  damaged: readonly { number: number; text: string }[],
): string {
  const paths = findings.map(({ path, versions }) => ({
    path: pathJson(path),
    versions: versionsJson(versions),
  }));
  return `${JSON.stringify({ pattern, paths, more, damaged })}\n`;
}
