/** @module `understudy versions PATH`: what a path was, backup by backup (TREE-18). */
import type { Command } from "commander";
import { pathLine } from "../../backup/archive/names.ts";
import { differences } from "../../backup/queries/facts.ts";
import { type VersionsAnswer, versionsOf } from "../../backup/queries/versions.ts";
import { formatBytes } from "../../base/units.ts";
import { type BackupSurroundings, surroundings } from "../backup-ports.ts";
import { CommandFailure, EXIT } from "../exit.ts";
import type { CliPorts } from "../ports.ts";
import { pathsMeant, withStore } from "../reading-store.ts";
import { STORE_OPTION, type StoreOptions } from "../store-door.ts";
import { table, timeText } from "../table.ts";
import { backupsText, doubtWords, mtimeText, pathJson, versionsJson } from "../tree-text.ts";

interface VersionsOptions extends StoreOptions {
  json?: true;
}

const COLUMNS = [
  { heading: "BACKUPS", align: "right" },
  { heading: "LEVEL" },
  { heading: "FIRST" },
  { heading: "LAST" },
  { heading: "SIZE", align: "right" },
  { heading: "MODIFIED" },
  { heading: "CHANGED" },
] as const;

export function addVersions(
  program: Command,
  ports: CliPorts,
  finish: (exitCode: number) => void,
  around: BackupSurroundings = surroundings,
): void {
  program
    .command("versions")
    .description("the versions of one path over time, and which backups hold them")
    .argument("<path>", "as it stood on the source; one without a leading slash: below the source")
    .requiredOption(...STORE_OPTION)
    .option("--json", "one JSON object")
    .action((given: string, options: VersionsOptions) => {
      const { path, answer } = withStore(ports, options, around, (source) => {
        const meant = pathsMeant(source, given, process.cwd());
        let first: { path: Uint8Array; answer: VersionsAnswer } | null = null;
        for (const path of meant) {
          const answer = versionsOf(source, path);
          if (answer.versions.length > 0) return { path, answer };
          first ??= { path, answer };
        }
        return first ?? { path: new Uint8Array(0), answer: { versions: [], faults: [], opened: 0 } };
      });
      const damaged = answer.faults.map(({ backup, fault }) => ({ number: backup.number, text: fault.text }));
      const { out, err, terminal } = ports.console;
      for (const { text } of damaged) err(`understudy: ${text}\n`);
      if (options.json === true) {
        const versions = versionsJson(answer.versions);
        out(`${JSON.stringify({ path: pathJson(path), versions, damaged })}\n`);
      } else if (answer.versions.length > 0) out(textOf(path, answer, options.store, terminal));
      if (answer.versions.length === 0) {
        throw new CommandFailure(EXIT.failed, `${given}: no backup in ${options.store} has it`);
      }
      finish(damaged.length > 0 ? EXIT.partial : EXIT.done);
    });
}

function textOf(path: Uint8Array, { versions }: VersionsAnswer, store: string, terminal: boolean): string {
  const rows = versions.map(({ facts, backups }, at) => {
    const before = versions[at - 1]?.facts ?? null;
    const changed = facts === null ? [] : [...(before === null ? [] : differences(before, facts))];
    return [
      backupsText(backups),
      backups.at(-1)?.level ?? "",
      timeText(backups[0]?.atMs ?? 0),
      timeText(backups.at(-1)?.atMs ?? 0),
      facts === null ? "gone" : facts.kind === "file" ? formatBytes(facts.sizeBytes) : facts.kind,
      facts === null ? "" : mtimeText(facts),
      [...changed, ...(facts === null ? [] : doubtWords(facts))].join(", "),
    ];
  });
  const last = versions.findLast(({ facts }) => facts !== null)?.backups.at(-1);
  const [what, where] = [pathLine(path), pathLine(Buffer.from(store)).slice(1)].map(shellWord);
  const hint = `restore it: understudy restore ${last?.number} DEST ${what} --store ${where}`;
  return `${pathLine(path)}\n${table(COLUMNS, rows, terminal)}${hint}\n`;
}

/** What pathLine() says, as a shell takes it: what a terminal must not see stays written out, for bash, zsh and ksh. */
export function shellWord(line: string): string {
  if (/^[\w@%+=:,./-]+$/.test(line)) return line;
  // A backslash begins an escape of the line's, or is one itself, doubled.
  return line.includes("\\") ? `$'${line.replaceAll("'", "\\'")}'` : `'${line.replaceAll("'", `'\\''`)}'`;
}
