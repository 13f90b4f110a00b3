/** @module `understudy pin`: a backup that is to stay, whatever the plan says. */
import type { Command } from "commander";
import { type BackupSurroundings, surroundings } from "../backup-ports.ts";
import { EXIT } from "../exit.ts";
import type { CliPorts } from "../ports.ts";
import {
  ACCEPT_OPTION,
  type BackupId,
  backupArgument,
  done,
  nodeOf,
  openToWrite,
  STORE_OPTION,
  type StoreOptions,
} from "../store-door.ts";
import { backupJson } from "./list.ts";

interface PinOptions extends StoreOptions {
  remove?: true;
  json?: true;
}

export function addPin(
  program: Command,
  ports: CliPorts,
  finish: (exitCode: number) => void,
  around: BackupSurroundings = surroundings,
): void {
  program
    .command("pin")
    .description("keep a backup: paring never chooses it")
    .argument("<id>", 'the backup\'s number, or "latest"', backupArgument)
    .requiredOption(...STORE_OPTION)
    .option("--remove", "no longer")
    .option(...ACCEPT_OPTION)
    .option("--json", "one JSON object: the backup")
    .action((id: BackupId, options: PinOptions) => {
      const store = openToWrite(ports.console, options, around);
      try {
        const { number } = nodeOf(store, id);
        const node = done(store.mark(number, { pinned: options.remove !== true }));
        const text =
          options.json === true
            ? JSON.stringify(backupJson(node))
            : `backup ${number} ${node.pinned ? "is pinned: it stays" : "is not pinned any more"}`;
        ports.console.out(`${text}\n`);
      } finally {
        store.close();
      }
      finish(EXIT.done);
    });
}
