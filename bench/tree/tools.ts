/** @module What is measured: the same steps by understudy and by its peers, as commands for bash.
 *
 *  The peers are driven as their users drive them for speed: tar writes holes as holes and keeps its list of incremental
 *  backups, restic and borg use lz4 or their own default, borg without encryption (restic has no such mode). */
import { existsSync } from "node:fs";
import { join } from "node:path";

export const ROOT = join(import.meta.dir, "..", "..");

/** Where one command reads and writes; all absolute. */
export interface Places {
  readonly source: string;
  readonly store: string;
  readonly dest: string;
  /** The working room of caches that a tool keeps outside of its store. */
  readonly cache: string;
  /** Tells one backup's name from another's. */
  readonly run: string;
}

type Step = (places: Places) => string;

export interface Tool {
  readonly name: string;
  /** Programs that must be there, and the Debian package that has them. */
  readonly needs: readonly { readonly program: string; readonly debian: string }[];
  /** Not timed: makes the store. */
  readonly init: Step;
  readonly full: Step;
  /** A backup on top of what is there. */
  readonly next: Step | null;
  readonly verify: Step | null;
  /** Restores the full backup into `dest`, which is there and empty. */
  readonly restore: Step | null;
  /** What of the store counts as the backup's size. */
  readonly sized: Step;
  /** It throws its source out of the page cache: the source is read again afterwards. */
  readonly coolsSource: boolean;
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
const wholeStore: Step = ({ store }) => store;
const makeStore: Step = ({ store }) => `mkdir -p ${quoted(store)}`;
const TAR = "tar --xattrs --acls --sparse";

export const TAR_LZ4: Tool = {
  name: "tar+lz4",
  needs: [{ program: "lz4", debian: "lz4" }],
  init: makeStore,
  full: ({ source, store }) => tarInto(source, store, "full"),
  next: ({ source, store, run }) => tarInto(source, store, run),
  verify: ({ store }) => `lz4 -t -q ${quoted(join(store, "full.tar.lz4"))}`,
  restore: ({ store, dest }) =>
    `lz4 -dc -q ${quoted(join(store, "full.tar.lz4"))} | tar --xattrs --acls -xpf - -C ${quoted(dest)}`,
  sized: ({ store }) => join(store, "full.tar.lz4"),
  coolsSource: false,
};

function tarInto(source: string, store: string, name: string): string {
  const list = quoted(join(store, "list"));
  const archive = quoted(join(store, `${name}.tar.lz4`));
  return `${TAR} -C ${quoted(source)} -g ${list} -cf - . | lz4 -1 -q > ${archive}`;
}

/** For its size only. */
export const TAR_ZSTD: Tool = {
  ...TAR_LZ4,
  name: "tar+zstd",
  needs: [{ program: "zstd", debian: "zstd" }],
  full: ({ source, store }) =>
    `${TAR} -C ${quoted(source)} -cf - . | zstd -1 -q > ${quoted(join(store, "full.tar.zst"))}`,
  next: null,
  verify: null,
  restore: null,
  sized: ({ store }) => join(store, "full.tar.zst"),
};

export const RESTIC: Tool = {
  name: "restic",
  needs: [{ program: "restic", debian: "restic" }],
  init: ({ store }) => `restic init -q -r ${quoted(store)}`,
  full: ({ source, store }) => `restic -q -r ${quoted(store)} backup ${quoted(source)}`,
  next: ({ source, store }) => `restic -q -r ${quoted(store)} backup ${quoted(source)}`,
  verify: null,
  restore: ({ store, dest }) => `restic -q -r ${quoted(store)} restore latest --target ${quoted(dest)}`,
  sized: wholeStore,
  coolsSource: false,
};

export const BORG: Tool = {
  name: "borg",
  needs: [{ program: "borg", debian: "borgbackup" }],
  init: ({ store }) => `borg init -e none ${quoted(store)}`,
  full: ({ source, store }) => `borg create -C lz4 ${quoted(`${store}::full`)} ${quoted(source)}`,
  next: ({ source, store, run }) => `borg create -C lz4 ${quoted(`${store}::${run}`)} ${quoted(source)}`,
  verify: null,
  restore: ({ store, dest }) => `cd ${quoted(dest)} && borg extract ${quoted(`${store}::full`)}`,
  sized: wholeStore,
  coolsSource: true,
};

export interface OursOptions {
  readonly name: string;
  /** Shell words that start the program. */
  readonly program: string;
  /** For its full backup: --no-verify, --codec. */
  readonly flags: string;
}

/** Incrementals verify themselves, as they do by default: else each next one's parent would be the full one again. */
export function ours({ name, program, flags }: OursOptions): Tool {
  const backup = (level: string, { source, store }: Places) =>
    `${program} backup --store ${quoted(store)} --level ${level} ${quoted(source)}`;
  return {
    name,
    needs: [],
    init: ({ store }) => `${program} store init ${quoted(store)}`,
    full: (places) => `${backup("monthly", places)} ${flags}`,
    next: (places) => backup("micro", places),
    verify: ({ store }) => `${program} verify --store ${quoted(store)} --cache 1`,
    restore: ({ store, dest }) => `${program} restore 1 ${quoted(dest)} --store ${quoted(store)}`,
    sized: wholeStore,
    coolsSource: false,
  };
}

export function restoreLatest(program: string, { store, dest }: Places): string {
  return `${program} restore latest ${quoted(dest)} --store ${quoted(store)}`;
}

export function restoreOne(program: string, { store, dest }: Places, path: string): string {
  return `${program} restore latest ${quoted(dest)} ${quoted(path)} --store ${quoted(store)}`;
}

/** What the tools' own settings are taken from. */
export function environment(cache: string): Record<string, string | undefined> {
  return {
    ...process.env,
    LC_ALL: "C.UTF-8",
    RESTIC_PASSWORD: "bench",
    RESTIC_CACHE_DIR: join(cache, "restic"),
    BORG_BASE_DIR: join(cache, "borg"),
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
    BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes",
  };
}

export interface Program {
  readonly kind: "binary" | "source";
  /** Shell words. */
  readonly words: string;
  /** Median of a few `--version`. */
  readonly startSeconds: number;
}

const STARTS = 5;

/** The program as a user has it: the built binary where there is one, else the checkout; both are timed. */
export function findPrograms(): readonly Program[] {
  const binary = join(ROOT, "dist", "understudy");
  const source = `${quoted(process.execPath)} ${quoted(join(ROOT, "src", "main.ts"))}`;
  const found: Program[] = [];
  if (existsSync(binary)) found.push(timedStart("binary", quoted(binary)));
  found.push(timedStart("source", source));
  return found;
}

function timedStart(kind: Program["kind"], words: string): Program {
  const seconds = Array.from({ length: STARTS }, () => {
    const begun = performance.now();
    const { exitCode } = Bun.spawnSync(["bash", "-c", `${words} --version`], { stdout: "ignore" });
    if (exitCode !== 0) throw new Error(`${words} --version: exit code ${exitCode}`);
    return (performance.now() - begun) / 1000;
  }).sort((left, right) => left - right);
  return { kind, words, startSeconds: seconds[Math.floor(STARTS / 2)] ?? 0 };
}
