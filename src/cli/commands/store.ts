/** @module `understudy store init|info`: where backups go. */
import type { Command } from "commander";
import { initStore } from "../../backup/store/open.ts";
import { formatBytes, formatCount } from "../../base/units.ts";
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
          directory,
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
    .description("whose store it is, what is in it, how much room there is")
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
        "",
      ].join("\n"),
    );
  } finally {
    store.close();
  }
}
