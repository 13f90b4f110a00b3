/** @module A store opened for questions: read only, without a lock that could be refused. */
import { type QuerySource, queriesOf } from "../backup/queries/source.ts";
import { joinPath, tidyPath } from "../backup/restore/select.ts";
import { isMalformed } from "../base/brands.ts";
import type { BackupSurroundings } from "./backup-ports.ts";
import { rawArguments } from "./arguments.ts";
import { CommandFailure, EXIT } from "./exit.ts";
import type { CliPorts } from "./ports.ts";
import { openToRead, type StoreOptions } from "./store-door.ts";

/** Opens the store, asks, closes it. Throws CommandFailure where it cannot be opened. */
export function withStore<T>(
  { console }: CliPorts,
  options: StoreOptions,
  around: BackupSurroundings,
  ask: (source: QuerySource) => T,
): T {
  const store = openToRead(console, options, around);
  try {
    return ask(queriesOf(store));
  } finally {
    store.close();
  }
}

/** What a path on the command line may mean, as the index has paths, the likeliest first: an absolute one is meant as it
 *  stood on the source; another one lies below the source, if there is but one, or below "/", or in `directory`. */
export function pathsMeant(source: QuerySource, given: string, directory: string): readonly Uint8Array[] {
  const tidy = (bytes: Uint8Array): Uint8Array => {
    const path = tidyPath(bytes);
    if (isMalformed(path)) throw new CommandFailure(EXIT.misused, `${given}: expected ${path.expected}`);
    return path;
  };
  const [bytes = new Uint8Array(0)] = rawArguments([given]);
  const path = tidy(bytes);
  if (given.startsWith("/")) return [path];
  const newest = source.backups.at(-1);
  const roots = newest === undefined ? [] : source.rootsOf(newest.number);
  const [root] = roots;
  const below = root === undefined || roots.length > 1 ? [] : [joinPath([root, path])];
  return [...below, path, joinPath([tidy(new Uint8Array(Buffer.from(directory))), path])];
}
