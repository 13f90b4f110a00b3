/** @module How `restore` works and what it says: the restore itself, its progress on a terminal, its one line at the end;
 *  and what a dry run shows. */
import { type JsonPath, pathLine } from "../backup/archive/names.ts";
import { type Entry, KIND } from "../backup/entry.ts";
import { PackChunks } from "../backup/restore/chunks.ts";
import { damageOf, gapText } from "../backup/restore/damage.ts";
import { ContentWriter } from "../backup/restore/content.ts";
import type { Spared } from "../backup/restore/extra.ts";
import { ISSUE_KINDS, type Issue } from "../backup/restore/issues.ts";
import { openMounts } from "../backup/restore/mounts.ts";
import type { OverwritePolicy } from "../backup/restore/policy.ts";
import { PREVIEW_ACTIONS, type PreviewAction, preview } from "../backup/restore/preview.ts";
import { type RestoreProgress, type RestoreReport, restore } from "../backup/restore/restore.ts";
import type { RestoreSource } from "../backup/restore/source.ts";
import type { BackupNode } from "../backup/store/contract.ts";
import { systemClock } from "../base/clock.ts";
import { formatBytes, formatCount, formatDuration, formatRate } from "../base/units.ts";
import { CommandFailure, EXIT } from "./exit.ts";
import type { CliPorts } from "./ports.ts";
import { timeText } from "./table.ts";
import { pathJson } from "./tree-text.ts";

export interface RestoreTask {
  readonly source: RestoreSource;
  readonly node: BackupNode;
  /** Absolute; null: in place. */
  readonly directory: string | null;
  readonly paths: readonly Uint8Array[] | null;
  readonly options: {
    readonly overwrite: OverwritePolicy;
    readonly paranoid?: true;
    readonly delete?: true;
    readonly workers: number;
    readonly json?: true;
  };
}

/** Named of each kind; damaged files always are. JSON names more. */
const ISSUES_TOLD_MAX = 20;
/** Who is not root gets one a file. */
const ATTRIBUTES_TOLD_MAX = 5;
const ISSUES_JSON_MAX = 10_000;
const CLEAR_LINE = "\r\u001b[K";

function sparedOf({ source, node, options }: RestoreTask): Spared | null {
  if (options.delete !== true) return null;
  if (source.spared !== null) return source.spared;
  throw new CommandFailure(
    EXIT.failed,
    `backup ${node.number}: what was left out of it cannot be told: restore without --delete`,
  );
}

function mountsOf({ source, directory, paths }: RestoreTask, make: boolean) {
  const target = directory === null ? null : Buffer.from(directory);
  const mounted = openMounts(source.roots, target, paths, make);
  if (mounted.kind === "refused") throw new CommandFailure(EXIT.failed, mounted.text);
  return mounted;
}

export async function carryOut(ports: CliPorts, task: RestoreTask): Promise<number> {
  const { source, options, node, paths } = task;
  const { console } = ports;
  const spared = sparedOf(task);
  const mounted = mountsOf(task, true);
  let stopping = false;
  const stopListening = console.onStopSignal(() => {
    stopping = true;
  });
  const isShown = console.terminal && options.json !== true;
  try {
    const report = await restore(
      {
        index: source.index,
        packs: source.packs,
        paths,
        mounts: mounted.mounts,
        identities: source.identities,
        policy: options.overwrite,
        paranoid: options.paranoid === true,
        delete: spared,
        expected: paths === null ? source.totals : null,
        workers: options.workers,
        issuesKeptMax: options.json === true ? ISSUES_JSON_MAX : ISSUES_TOLD_MAX,
      },
      {
        clock: systemClock,
        spawn: (name) => ports.spawnWorker(name),
        stopping: () => stopping,
        ...(isShown
          ? { onProgress: (progress) => console.err(`${CLEAR_LINE}${progressLine(progress)}`) }
          : {}),
      },
    );
    if (isShown) console.err(CLEAR_LINE);
    for (const note of report.notes) console.err(`understudy: ${note}\n`);
    tellIssues(report, console.err);
    console.out(options.json === true ? jsonOf(task, report) : `${summaryOf(task, report)}\n`);
    if (report.outcome === "stopped") {
      const why = report.fatal ?? "stopped by a signal";
      const advice = "the same command goes on where it ended";
      throw new CommandFailure(EXIT.failed, `backup ${node.number} is restored in part: ${why}; ${advice}`);
    }
    return report.outcome === "done" ? EXIT.done : EXIT.partial;
  } finally {
    stopListening();
    mounted.close();
  }
}

export function progressLine(progress: RestoreProgress): string {
  const { files, bytes, elapsedMs, filesInAll, bytesInAll, leftMs } = progress;
  const of = (all: string | null) => (all === null ? "" : ` of ${all}`);
  const parts = [
    `${formatCount(files)}${of(filesInAll === null ? null : formatCount(filesInAll))} files`,
    `${formatBytes(bytes)}${of(bytesInAll === null ? null : formatBytes(bytesInAll))}`,
    formatRate(elapsedMs > 0 ? (bytes * 1000) / elapsedMs : 0),
  ];
  if (leftMs !== null) parts.push(`${leftText(leftMs)} left`);
  return `restore: ${parts.join(", ")}`;
}

function leftText(leftMs: number): string {
  const seconds = Math.ceil(leftMs / 1000);
  return seconds < 10 ? `${seconds} s` : formatDuration(seconds * 1000);
}

function tellIssues({ issues, issueCounts }: RestoreReport, tell: (text: string) => void): void {
  const told = new Map<string, number>();
  for (const { kind, path, text } of issues) {
    const count = (told.get(kind) ?? 0) + 1;
    if (count > (kind === "attribute" ? ATTRIBUTES_TOLD_MAX : ISSUES_TOLD_MAX) && kind !== "damaged")
      continue;
    told.set(kind, count);
    tell(`understudy: ${pathLine(path)}: ${kind}: ${text}\n`);
  }
  for (const kind of ISSUE_KINDS) {
    const more = issueCounts[kind] - (told.get(kind) ?? 0);
    if (more > 0)
      tell(`understudy: and ${formatCount(more)} more: ${kind}${kind === "attribute" ? NOT_ROOT : ""}\n`);
  }
}

const NOT_ROOT = process.geteuid?.() === 0 ? "" : " (only root can give files to others)";

function targetText({ directory }: RestoreTask): string {
  return directory === null ? "in place" : `to ${directory}`;
}

export function summaryOf(task: RestoreTask, report: RestoreReport): string {
  const { node } = task;
  const { made, same, kept, directories, deleted, bytes, durationMs, issueCounts, skipped } = report;
  const errors = ISSUE_KINDS.reduce((sum, kind) => sum + issueCounts[kind], 0) + skipped;
  const counts = [
    `${formatCount(made)} files and ${formatCount(directories)} directories made`,
    `${formatCount(same)} there already`,
    ...(kept === 0 ? [] : [`${formatCount(kept)} newer kept`]),
    `${formatCount(deleted)} deleted`,
    `${formatCount(errors)} errors`,
  ];
  const rate = durationMs > 0 ? `, ${formatRate((bytes * 1000) / durationMs)}` : "";
  return (
    `backup ${node.number} (${node.level}, ${timeText(node.atMs)}) restored ${targetText(task)}: ${counts.join(", ")}; ` +
    `${formatBytes(bytes)} in ${formatDuration(durationMs)}${rate}`
  );
}

function headJson({ node, directory }: RestoreTask) {
  return {
    number: node.number,
    level: node.level,
    at: new Date(node.atMs).toISOString(),
    target: directory,
    inPlace: directory === null,
  };
}

const issueJson = ({ kind, path, text }: Issue) => ({ kind, path: pathJson(path), text });

function jsonOf(task: RestoreTask, report: RestoreReport): string {
  const { outcome, made, same, kept, directories, links, skipped, deleted, bytes, durationMs } = report;
  return `${JSON.stringify({
    ...headJson(task),
    dryRun: false,
    outcome,
    fatal: report.fatal,
    made,
    same,
    kept,
    directories,
    links,
    skipped,
    deleted,
    bytes,
    seconds: Number((durationMs / 1000).toFixed(3)),
    errors: report.issueCounts,
    issues: report.issues.map(issueJson),
  })}\n`;
}

const SIGNS: Readonly<Record<PreviewAction, string>> = {
  make: "+",
  replace: "~",
  same: "=",
  keep: "<",
  refuse: "!",
  unreadable: "?",
  delete: "-",
};

/** The dry run: a line for each entry that is not there already, or one JSON object. */
export function show(ports: CliPorts, task: RestoreTask): number {
  const { source, paths, options } = task;
  const { console } = ports;
  const mounted = mountsOf(task, false);
  const counts = Object.fromEntries(PREVIEW_ACTIONS.map((action) => [action, 0])) as Record<
    PreviewAction,
    number
  >;
  const actions: { action: PreviewAction; path: JsonPath }[] = [];
  let bytes = 0;
  const compare = options.paranoid === true ? comparer(source) : null;
  try {
    const request = {
      index: source.index,
      paths,
      mounts: mounted.mounts,
      policy: options.overwrite,
      delete: sparedOf(task),
      sameBytes: compare?.same ?? null,
    };
    preview(request, (action, path, size) => {
      counts[action]++;
      bytes += size;
      if (action === "same") return;
      if (options.json === true) actions.push({ action, path: pathJson(path) });
      else console.out(`${SIGNS[action]} ${pathLine(path)}\n`);
    });
  } catch (error) {
    throw new CommandFailure(EXIT.failed, damageOf(error).text);
  } finally {
    compare?.close();
    mounted.close();
  }
  if (options.json === true) {
    console.out(`${JSON.stringify({ ...headJson(task), dryRun: true, counts, bytes, actions })}\n`);
  } else console.out(`${dryText(task, counts, bytes)}\n`);
  const gaps = source.index.gaps ?? [];
  for (const gap of gaps) console.err(`understudy: ${gapText(gap)}\n`);
  const isWhole = gaps.every(({ missing }) => missing === 0) && counts.refuse + counts.unreadable === 0;
  return isWhole ? EXIT.done : EXIT.partial;
}

function dryText(task: RestoreTask, counts: Readonly<Record<PreviewAction, number>>, bytes: number): string {
  const { node } = task;
  const count = (action: PreviewAction, words: string) =>
    `${formatCount(counts[action])} ${words} (${SIGNS[action]})`;
  const parts = [
    count("make", "made"),
    count("replace", "replaced"),
    `${formatCount(counts.same)} there already`,
    count("keep", "newer kept"),
    count("delete", "deleted"),
    count("refuse", "in the way"),
    ...(counts.unreadable === 0 ? [] : [count("unreadable", "not in the backup")]),
  ];
  const head = `dry run: backup ${node.number} (${node.level}, ${timeText(node.atMs)}) ${targetText(task)}`;
  return `${head}: ${parts.join(", ")}; ${formatBytes(bytes)} to write`;
}

function comparer(source: RestoreSource) {
  const chunks = new PackChunks(source.packs);
  const content = new ContentWriter(chunks, () => true);
  return {
    same: (fd: number, entry: Entry) => entry.kind === KIND.file && content.compare(fd, entry) === 0,
    close: () => chunks.close(),
  };
}
