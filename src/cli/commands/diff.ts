/** @module `understudy diff A B`: what came, went and changed from one backup to another. */
import type { Command } from "commander";
import { pathLine } from "../../backup/archive/names.ts";
import { Entry } from "../../backup/entry.ts";
import type { Index } from "../../backup/index/lookup.ts";
import {
  addTo,
  changeOf,
  type Difference,
  type DiffTotals,
  differencesOf,
  noTotals,
} from "../../backup/queries/diff.ts";
import { guarded, type QueryBackup, type QuerySource } from "../../backup/queries/source.ts";
import { chooseBackup, parseAsOf } from "../../backup/restore/as-of.ts";
import { isFault } from "../../backup/store/contract.ts";
import { formatBytes } from "../../base/units.ts";
import { type BackupSurroundings, surroundings } from "../backup-ports.ts";
import { CommandFailure, EXIT } from "../exit.ts";
import type { CliPorts } from "../ports.ts";
import { pathsMeant, withStore } from "../reading-store.ts";
import { STORE_OPTION, type StoreOptions } from "../store-door.ts";
import { backupJson, factsJson, pathJson } from "../tree-text.ts";

interface DiffOptions extends StoreOptions {
  attributes?: true;
  json?: true;
}

const SIGNS = { added: "+", removed: "-", changed: "M", touched: "t" } as const;
/** Written at once. */
const WRITE_CHARACTERS = 1 << 18;

export function addDiff(
  program: Command,
  ports: CliPorts,
  finish: (exitCode: number) => void,
  around: BackupSurroundings = surroundings,
): void {
  program
    .command("diff")
    .description("what differs between two backups: + added, - removed, M changed, t attributes only")
    .argument("<a>", "a backup's number, latest, or a time, as '2026-11-20 13:15'")
    .argument("<b>", "another one")
    .argument("[path]", "only this path and what is below it")
    .requiredOption(...STORE_OPTION)
    .option("--attributes", "list those of which only attributes changed")
    .option("--json", "one JSON object; all differences are in it")
    .action((a: string, b: string, path: string | undefined, options: DiffOptions) => {
      withStore(ports, options, around, (source) => {
        const [first, second] = [chosen(source, a), chosen(source, b)];
        const [before, after] = [indexOf(source, first), indexOf(source, second)];
        const top = path === undefined ? new Uint8Array(0) : topOf(source, path, [before, after]);
        const differences = differencesOf(before.under(top), after.under(top));
        const write = options.json === true ? writeJson : writeText;
        const fault = guarded(second.number, () => {
          write(ports.console.out, first, second, differences, options.attributes === true);
          return null;
        });
        if (fault !== null) throw new CommandFailure(EXIT.failed, fault.text);
      });
      finish(EXIT.done);
    });
}

function chosen(source: QuerySource, which: string): QueryBackup {
  const dated = source.backups.map((backup) => ({ ...backup, startedMs: backup.atMs }));
  const asOfMs = parseAsOf(which);
  const choice = chooseBackup(dated, asOfMs === null ? which : "latest", asOfMs);
  if (choice.kind === "none") throw new CommandFailure(EXIT.failed, choice.text);
  return choice.backup;
}

function indexOf(source: QuerySource, { number }: QueryBackup): Index {
  const index = source.indexOf(number);
  if (isFault(index)) throw new CommandFailure(EXIT.failed, index.text);
  return index;
}

/** The first meaning of the path that either backup has. */
function topOf(source: QuerySource, given: string, indexes: readonly Index[]): Uint8Array {
  const meant = pathsMeant(source, given, process.cwd());
  // Above the sources there are paths that no entry has.
  const found = meant.find((path) => indexes.some((index) => index.under(path).next(new Entry())));
  if (found === undefined) throw new CommandFailure(EXIT.failed, `${given}: neither backup has it`);
  return found;
}

type Write = (
  out: (text: string) => void,
  a: QueryBackup,
  b: QueryBackup,
  differences: Iterable<Difference>,
  attributes: boolean,
) => void;

const writeText: Write = (out, a, b, differences, attributes) => {
  const totals = noTotals();
  const buffer = new TextBuffer(out);
  for (const difference of differences) {
    addTo(totals, difference);
    if (changeOf(difference) !== "touched" || attributes) buffer.add(`${lineOf(difference)}\n`);
  }
  buffer.add(`from backup ${a.number} to ${b.number}: ${totalsText(totals)}\n`);
  buffer.end();
};

function lineOf(difference: Difference): string {
  const { path, before, after, aspects } = difference;
  const change = changeOf(difference);
  const line = `${SIGNS[change]} ${pathLine(path)}`;
  if (before === null || after === null) return line;
  const sizes =
    before.kind === "file" && after.kind === "file" && before.sizeBytes !== after.sizeBytes
      ? `, ${formatBytes(before.sizeBytes)} to ${formatBytes(after.sizeBytes)}`
      : "";
  return `${line}  (${aspects.join(", ")}${sizes})`;
}

function totalsText(totals: DiffTotals): string {
  const { added, removed, changed, touched } = totals;
  return `${added} added (${formatBytes(totals.addedBytes)}), ${removed} removed (${formatBytes(totals.removedBytes)}), ${changed} changed (${formatBytes(totals.changedBytes)}), ${touched} with other attributes only`;
}

const writeJson: Write = (out, a, b, differences) => {
  const totals = noTotals();
  const buffer = new TextBuffer(out);
  buffer.add(`{"a":${JSON.stringify(backupJson(a))},"b":${JSON.stringify(backupJson(b))},"differences":[`);
  let comma = "";
  for (const difference of differences) {
    addTo(totals, difference);
    const { path, before, after, aspects } = difference;
    const one = {
      path: pathJson(path),
      change: changeOf(difference),
      ...(aspects.length === 0 ? {} : { aspects }),
      ...(before === null ? {} : { before: factsJson(before) }),
      ...(after === null ? {} : { after: factsJson(after) }),
    };
    buffer.add(`${comma}${JSON.stringify(one)}`);
    comma = ",";
  }
  buffer.add(`],"totals":${JSON.stringify(totals)}}\n`);
  buffer.end();
};

/** Text on its way out, a large piece at a time. */
class TextBuffer {
  readonly #out: (text: string) => void;
  #text = "";

  constructor(out: (text: string) => void) {
    this.#out = out;
  }

  add(text: string): void {
    this.#text += text;
    if (this.#text.length >= WRITE_CHARACTERS) this.end();
  }

  end(): void {
    if (this.#text !== "") this.#out(this.#text);
    this.#text = "";
  }
}
