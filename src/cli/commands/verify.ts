/** @module `understudy verify`: reads backups again and says what is damaged. */
import type { Command } from "commander";
import { pathLine } from "../../backup/archive/names.ts";
import { verifyAndMark, verifyNumber } from "../../backup/run/verification.ts";
import type { BackupNode, ReadableStore } from "../../backup/store/contract.ts";
import type { VerifyReport } from "../../backup/verify/types.ts";
import { formatBytes } from "../../base/units.ts";
import { type BackupSurroundings, surroundings } from "../backup-ports.ts";
import { EXIT } from "../exit.ts";
import type { CliPorts } from "../ports.ts";
import {
  type BackupId,
  backupArgument,
  nodeOf,
  openToMark,
  STORE_OPTION,
  type StoreOptions,
} from "../store-door.ts";
import { pathJson } from "../tree-text.ts";
import { defaultWorkers, workersArgument } from "./backup.ts";

interface VerifyOptions extends StoreOptions {
  quick?: true;
  cache?: true;
  workers?: number;
  json?: true;
}

/** Files named one by one. */
const TOLD_MAX = 50;

export function addVerify(
  program: Command,
  ports: CliPorts,
  finish: (exitCode: number) => void,
  around: BackupSurroundings = surroundings,
): void {
  program
    .command("verify")
    .description("read backups again and compare every hash")
    .argument(
      "[ID]",
      "a backup's number, or latest, with all it needs of others; default: all backups",
      backupArgument,
    )
    .requiredOption(...STORE_OPTION)
    .option("--quick", "only the small header in front of each file's data")
    .option("--cache", "take what the page cache holds: quicker, and proves less about the disk")
    .option("--workers <number>", "threads (default: one a processor, at most 8)", workersArgument)
    .option("--json", "one JSON object a backup")
    .action(async (id: BackupId | undefined, options: VerifyOptions) =>
      finish(await verify(ports, id ?? null, options, around)),
    );
}

async function verify(
  ports: CliPorts,
  id: BackupId | null,
  options: VerifyOptions,
  around: BackupSurroundings,
): Promise<number> {
  const { store, writable } = openToMark(ports.console, options, around);
  try {
    const chosen = id === null ? store.tree() : [nodeOf(store, id)];
    const verification = {
      level: options.quick === true ? ("quick" as const) : ("full" as const),
      cached: options.cache === true,
      workers: options.workers ?? defaultWorkers(),
    };
    let whole = true;
    for (const node of chosen) {
      const startedMs = performance.now();
      const settings = { ...verification, whole: id !== null || needsPacks(store, node) };
      const report =
        writable === null
          ? await verifyNumber(store, node.number, settings, { spawn: (name) => ports.spawnWorker(name) })
          : await verifyAndMark(
              writable,
              node.number,
              settings,
              { spawn: (name) => ports.spawnWorker(name) },
              around.wallMs,
            );
      const seconds = (performance.now() - startedMs) / 1000;
      const ok = report.kind === "verified" && report.ok;
      whole &&= ok;
      ports.console.out(
        options.json === true
          ? `${JSON.stringify({ number: node.number, level: verification.level, ok, seconds: Number(seconds.toFixed(3)), ...factsOf(report) })}\n`
          : textOf(node, report, seconds),
      );
    }
    for (const [number, text] of id === null ? store.broken() : []) {
      whole = false;
      ports.console.out(
        options.json === true
          ? `${JSON.stringify({ number, ok: false, error: text })}\n`
          : `archive ${number}: DAMAGED: ${text}\n`,
      );
    }
    return whole ? EXIT.done : EXIT.partial;
  } finally {
    store.close();
  }
}

/** Its parent was pared: what it needs of that is looked at with it. */
function needsPacks(store: ReadableStore, { recordedParent }: BackupNode): boolean {
  return recordedParent !== null && store.node(recordedParent) === null;
}

type Report = VerifyReport | { readonly kind: "failed" | "fault"; readonly text: string };

function factsOf(report: Report): object {
  if (report.kind !== "verified") return { error: report.text };
  const { files, chunks, plainBytes, damage, damagedChunks, damagedFiles, damagedFileCount } = report;
  return {
    files,
    chunks,
    plainBytes,
    damage,
    damagedChunks: damagedChunks.map(({ pack, chunk, text }) => ({ pack, chunk, text })),
    damagedFileCount,
    damagedFiles: damagedFiles.map(({ path, text }) => ({ path: pathJson(path), text })),
  };
}

function textOf(node: BackupNode, report: Report, seconds: number): string {
  const head = `backup ${node.number} (${node.level}): `;
  if (report.kind !== "verified") return `${head}DAMAGED: ${report.text}\n`;
  const counts = `${report.files} files, ${report.chunks} chunks, ${formatBytes(report.plainBytes)} in ${seconds.toFixed(1)} s`;
  if (report.ok) return `${head}good; ${counts}\n`;
  const lines = [
    ...report.damage,
    ...report.damagedChunks.map(({ text }) => text),
    ...report.damagedFiles.slice(0, TOLD_MAX).map(({ path, text }) => `${pathLine(path)}: ${text}`),
  ];
  const more = report.damagedFileCount - Math.min(report.damagedFiles.length, TOLD_MAX);
  return `${head}DAMAGED; ${counts}\n${lines.map((line) => `  ${line}\n`).join("")}${more > 0 ? `  and ${more} files more\n` : ""}`;
}
