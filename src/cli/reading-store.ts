/** @module A store opened for questions: read only, without a lock that could be refused. */
import { type QuerySource, queriesOf } from "../backup/queries/source.ts";
import { joinPath, tidyPath } from "../backup/restore/select.ts";
import { thisComputer } from "../backup/store/computer.ts";
import { isFault } from "../backup/store/contract.ts";
import { openStore } from "../backup/store/open.ts";
import { isMalformed } from "../base/brands.ts";
import { CommandFailure, EXIT } from "./exit.ts";
import type { CliPorts } from "./ports.ts";

export interface StoreOption {
  store: string;
}

/** Opens the store, asks, closes it. Throws CommandFailure where it cannot be opened. */
export function withStore<T>(ports: CliPorts, { store }: StoreOption, ask: (source: QuerySource) => T): T {
  const opened = openStore({ directory: store, computer: thisComputer(), write: false });
  if (isFault(opened)) throw new CommandFailure(EXIT.refused, opened.text);
  for (const note of opened.notes) ports.console.err(`understudy: ${note}\n`);
  try {
    return ask(queriesOf(opened));
  } finally {
    opened.close();
  }
}

/** What a path on the command line may mean, as the index has paths, the likeliest first: an absolute one is meant as it
 *  stood on the source; another one lies below the source, if there is but one, or below "/", or in `directory`. */
export function pathsMeant(source: QuerySource, given: string, directory: string): readonly Uint8Array[] {
  const tidy = (text: string): Uint8Array => {
    const path = tidyPath(new Uint8Array(Buffer.from(text)));
    if (isMalformed(path)) throw new CommandFailure(EXIT.misused, `${given}: expected ${path.expected}`);
    return path;
  };
  const path = tidy(given);
  if (given.startsWith("/")) return [path];
  const newest = source.backups.at(-1);
  const roots = newest === undefined ? [] : source.rootsOf(newest.number);
  const [root] = roots;
  const below = root === undefined || roots.length > 1 ? [] : [joinPath([root, path])];
  return [...below, path, joinPath([tidy(directory), path])];
}
