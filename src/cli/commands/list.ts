/** @module `understudy list`: the backups of a store. */
import type { Command } from "commander";
import type { BackupNode } from "../../backup/store/contract.ts";
import { formatBytes, formatCount } from "../../base/units.ts";
import { LEVELS } from "../../plan/tree.ts";
import { type BackupSurroundings, surroundings } from "../backup-ports.ts";
import { EXIT } from "../exit.ts";
import type { CliPorts } from "../ports.ts";
import { openToRead, STORE_OPTION } from "../store-door.ts";
import { type Column, table, timeText, toned } from "../table.ts";

interface ListOptions {
  store: string;
  json?: true;
}

export function addList(
  program: Command,
  ports: CliPorts,
  finish: (exitCode: number) => void,
  around: BackupSurroundings = surroundings,
): void {
  program
    .command("list")
    .description("the backups of a store, oldest first")
    .requiredOption(...STORE_OPTION)
    .option("--json", "one JSON object")
    .action((options: ListOptions) => {
      const store = openToRead(ports.console, options, around);
      try {
        const tree = store.tree();
        const { terminal } = ports.console;
        ports.console.out(options.json === true ? jsonOf(store.identity.id, tree) : textOf(tree, terminal));
      } finally {
        store.close();
      }
      finish(EXIT.done);
    });
}

function jsonOf(id: string, tree: readonly BackupNode[]): string {
  return `${JSON.stringify({ store: id, backups: tree.map(backupJson) })}\n`;
}

/** A backup as every command's --json shows it. */
export function backupJson(node: BackupNode) {
  const { number, level, parent, marks, plainBytes, storedBytes, entries } = node;
  return {
    number,
    level,
    parent,
    at: new Date(node.atMs).toISOString(),
    finished: new Date(node.finishedMs).toISOString(),
    newBytes: plainBytes,
    storedBytes,
    entries,
    verified: marks.verified?.level ?? null,
    verifiedAt: marks.verified === null ? null : new Date(marks.verified.atMs).toISOString(),
    pinned: marks.pinned,
  };
}

const COLUMNS: readonly Column[] = [
  { heading: "Backup", align: "right" },
  { heading: "Level" },
  { heading: "Parent", align: "right" },
  { heading: "Time" },
  { heading: "New", align: "right" },
  { heading: "On disk", align: "right" },
  { heading: "Entries", align: "right" },
  { heading: "Verified" },
  { heading: "Pinned" },
];

function textOf(tree: readonly BackupNode[], terminal: boolean): string {
  if (tree.length === 0) return "no backups yet\n";
  return table(
    COLUMNS,
    tree.map(({ number, level, parent, atMs, plainBytes, storedBytes, entries, marks }) => [
      String(number),
      // The tree, one step to the right a level.
      `${" ".repeat(LEVELS.indexOf(level))}${level}`,
      parent === null ? "-" : String(parent),
      timeText(atMs),
      formatBytes(plainBytes),
      formatBytes(storedBytes),
      formatCount(entries),
      marks.verified === null ? toned("no", "warning", terminal) : marks.verified.level,
      marks.pinned ? "pinned" : "",
    ]),
    terminal,
  );
}
