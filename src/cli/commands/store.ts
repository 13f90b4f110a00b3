/** @module `understudy store init|info`: where backups go. */
import type { Command } from "commander";
import type { BackupNode, PackNode } from "../../backup/store/contract.ts";
import { initStore } from "../../backup/store/open.ts";
import { formatBytes, formatCount } from "../../base/units.ts";
import { type Advice, capacityAdvice, type Forecast, forecast, type Stored } from "../../plan/forecast.ts";
import { place } from "../arguments.ts";
import { type BackupSurroundings, surroundings } from "../backup-ports.ts";
import { EXIT } from "../exit.ts";
import type { CliPorts } from "../ports.ts";
import { done, openToRead, openToWrite, STORE_OPTION } from "../store-door.ts";
import { timeText } from "../table.ts";
import { bytesArgument } from "./plan.ts";

interface InitOptions {
  capacity?: number;
  json?: true;
}

interface InfoOptions {
  store: string;
  json?: true;
}

export function addStore(
  program: Command,
  ports: CliPorts,
  finish: (exitCode: number) => void,
  around: BackupSurroundings = surroundings,
): void {
  const { console } = ports;
  const store = program.command("store").description("the directory, on a disk of its own, where backups go");
  store
    .command("init")
    .description("make a store in an empty directory; of a store that is there, change what is said")
    .argument("<dir>", "the directory")
    .option(
      "--capacity <bytes>",
      "what it may take up (default, and 0: all of its file system)",
      bytesArgument,
    )
    .option("--json", "one JSON object")
    .action((directory: string, { capacity, json }: InitOptions) => {
      const made = done(
        initStore({
          directory: place(directory),
          computer: around.computer(),
          capacityBytes: capacity ?? null,
          nowMs: around.wallMs(),
        }),
      );
      // In order, with its catalog, before anybody depends on it.
      if (!made.before) openToWrite(console, { store: made.directory }, around).close();
      const what = made.before ? "is a store already" : "is a store now";
      const text = json === true ? JSON.stringify(made) : `${made.directory} ${what}: ${made.id}`;
      console.out(`${text}\n`);
      finish(EXIT.done);
    });
  store
    .command("info")
    .description("whose store it is, what is in it, how much room there is, and for how long")
    .requiredOption(...STORE_OPTION)
    .option("--json", "one JSON object")
    .action((options: InfoOptions) => {
      info(ports, options, around);
      finish(EXIT.done);
    });
}

function info({ console }: CliPorts, options: InfoOptions, around: BackupSurroundings): void {
  const store = openToRead(console, options, around);
  try {
    const { usedBytes, freeBytes, capacityBytes } = done(store.room());
    const { id, createdMs, computers } = store.identity;
    const tree = store.tree();
    const packs = store.packs();
    const outlook = forecast(historyOf(tree, packs), freeBytes, around.wallMs());
    const advice = adviceFor(tree, capacityBytes);
    if (options.json === true) {
      const object = {
        directory: store.directory,
        id,
        created: new Date(createdMs).toISOString(),
        computers: computers.map(({ name }) => name),
        backups: tree.length,
        packs: packs.length,
        unreadable: [...store.broken().keys()],
        usedBytes,
        freeBytes,
        capacityBytes,
        forecast: outlookJson(outlook, around.wallMs()),
        advice,
      };
      console.out(`${JSON.stringify(object)}\n`);
      return;
    }
    const packBytes = packs.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
    const newest = tree.at(-1);
    console.out(
      [
        `store      ${id}`,
        `directory  ${store.directory}`,
        `made       ${timeText(createdMs)} by ${computers.map(({ name }) => name).join(", ")}`,
        `backups    ${formatCount(tree.length)}${newest === undefined ? "" : `, the newest of ${timeText(newest.atMs)}`}`,
        `packs      ${formatCount(packs.length)}, ${formatBytes(packBytes)}`,
        `room       ${formatBytes(usedBytes)} used, ${formatBytes(freeBytes)} free of ${formatBytes(capacityBytes)}`,
        `outlook    ${outlookText(outlook, around.wallMs())}`,
        ...(advice === null ? [] : [`advice     ${formatBytes(advice.wantedBytes)}: ${advice.text}`]),
        "",
      ].join("\n"),
    );
  } finally {
    store.close();
  }
}

/** What the store has grown by: each archive as it is now, less what pares took out of it; those that are gone count no more.
 *  A pack is of the time of the backup after it. */
function historyOf(tree: readonly BackupNode[], packs: readonly PackNode[]): Stored[] {
  const newestMs = tree.at(-1)?.atMs ?? 0;
  return [
    ...tree.map(({ number, atMs, storedBytes }) => ({ number, atMs, bytes: storedBytes, freedBytes: 0 })),
    ...packs.map(({ number, storedBytes }) => ({
      number,
      atMs: tree.find((node) => node.number > number)?.atMs ?? newestMs,
      bytes: storedBytes,
      freedBytes: 0,
    })),
  ];
}

/** By what the newest full had to keep; null: there is none. */
function adviceFor(tree: readonly BackupNode[], capacityBytes: number): Advice | null {
  const full = tree.findLast(({ level }) => level === "monthly");
  return full === undefined ? null : capacityAdvice(full.plainBytes, capacityBytes);
}

/** Nobody plans further ahead. */
const AHEAD_MAX_MS = 100 * 365 * 86_400_000;

function outlookText(outlook: Forecast, nowMs: number): string {
  if (outlook.kind === "unknown") return `not known yet: ${outlook.why}`;
  if (outlook.kind === "steady") return "paring keeps pace: it does not grow";
  const grows = `grows by ${formatBytes(outlook.bytesPerDay)} a day`;
  if (outlook.atMs - nowMs > AHEAD_MAX_MS) return `${grows}: not full within a hundred years`;
  return `${grows}: full about ${timeText(outlook.atMs).slice(0, 10)}; from then on older backups go for new ones`;
}

/** `at`: when it is full; null: not within a hundred years. */
function outlookJson(outlook: Forecast, nowMs: number) {
  if (outlook.kind !== "full") return outlook;
  const { kind, bytesPerDay, atMs } = outlook;
  return { kind, bytesPerDay, at: atMs - nowMs > AHEAD_MAX_MS ? null : new Date(atMs).toISOString() };
}
