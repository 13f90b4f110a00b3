/** @module The commands that make and check a backup, from end to end: what they take, what they say, how they end. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DEFAULT_SOURCES } from "../../src/backup/scan/selection.ts";
import { pathOf } from "../../src/backup/store/layout.ts";
import { type Said, temporaryFolder, understudy } from "./tree-maker/laboratory.ts";

const TEST_MS = 30_000;
const EXIT = { done: 0, failed: 1, misused: 2, refused: 5, partial: 7 } as const;
const isRoot = process.geteuid?.() === 0;
const folder = temporaryFolder("command");
const source = join(folder, "source");
let store = "";
let stores = 0;

beforeAll(() => {
  for (const directory of ["a/cache", "b"]) mkdirSync(join(source, directory), { recursive: true });
  for (const path of ["a/x.txt", "a/y.o", "a/cache/z", "b/keep.o", "b/w.txt"])
    writeFileSync(join(source, path), `this is ${path}`);
  writeFileSync(join(source, "b/large"), Buffer.alloc(300_000, "large "));
});
afterAll(() => {
  Bun.spawnSync(["rm", "-rf", folder]);
});

async function newStore(): Promise<void> {
  store = join(folder, `store ${++stores}`);
  expect(await understudy("store", "init", store)).toMatchObject({ exitCode: EXIT.done });
}

const backup = (...args: string[]): Promise<Said> => understudy("backup", "--store", store, ...args);

/** What the latest backup has below the source. */
async function kept(): Promise<string[]> {
  const { out } = await understudy("find", "--store", store, "**", "--json");
  const { paths } = JSON.parse(out) as {
    paths: { path: string; versions: { last: { number: number } }[] }[];
  };
  const { backups } = JSON.parse((await understudy("list", "--store", store, "--json")).out);
  const latest = backups.at(-1).number;
  return paths
    .filter(({ path, versions }) => path.startsWith(`${source}/`) && versions.at(-1)?.last.number === latest)
    .map(({ path }) => path.slice(source.length + 1));
}

test(
  "TREE-01: what is left out, by pattern, by size, by tag; brought back by !",
  async () => {
    await newStore();
    const tag = join(source, "a/cache/CACHEDIR.TAG");
    writeFileSync(tag, "Signature: 8a477f597d28d172789f06886806bc55\n");
    const { exitCode } = await backup(
      ...["--exclude", "*.o", "--exclude", "!/b/keep.o", "--exclude-caches", "--max-size", "200K", source],
    );
    rmSync(tag);
    expect(exitCode).toBe(EXIT.done);
    // Of a cache its tag stays, so that it is one when it comes back.
    expect(await kept()).toEqual([
      "a",
      "a/cache",
      "a/cache/CACHEDIR.TAG",
      "a/x.txt",
      "b",
      "b/keep.o",
      "b/w.txt",
    ]);
  },
  TEST_MS,
);

test(
  "TREE-02, 04: a full at first, then what is new or changed, with why and one line at the end",
  async () => {
    await newStore();
    const first = await backup(source);
    expect(first.out).toMatch(
      /^backup 1 \(monthly, full\): 10 new, 0 changed, 0 deleted, 0 unchanged, 0 errors; .* stored in [\d.]+ s\n$/,
    );
    expect(first.err).toContain("on the same file system");
    writeFileSync(join(source, "b/w.txt"), "now it says more");
    writeFileSync(join(source, "b/v.txt"), "new");
    const second = await backup("--explain", "--json", source);
    rmSync(join(source, "b/v.txt"));
    expect(JSON.parse(second.out)).toMatchObject({
      number: 2,
      level: "micro",
      parent: 1,
      new: 1,
      // The file, and its directory's times.
      changed: 2,
      deleted: 0,
      errors: 0,
      verified: true,
    });
    expect(second.err).toMatch(/\/b\/v\.txt: new\n/);
    expect(second.err).toMatch(/\/b\/w\.txt: \w/);
    expect(second.err).not.toContain("x.txt: new");
    const weekly = JSON.parse((await backup("--level", "weekly", "--json", source)).out);
    expect(weekly).toMatchObject({ number: 3, level: "weekly", parent: 1 });
    const daily = JSON.parse((await backup("--level", "daily", "--json", source)).out);
    expect(daily).toMatchObject({ number: 4, level: "daily", parent: 3 });
  },
  TEST_MS,
);

test(
  "TREE-16: with no source named, the system's configuration is in the backup",
  async () => {
    await newStore();
    // The others would take long here.
    const others = DEFAULT_SOURCES.filter((path) => path !== "/etc").flatMap((path) => [
      "--exclude",
      `${path}/*`,
    ]);
    const { exitCode } = await backup("--max-size", "100K", ...others);
    // Who is not root cannot read all of it.
    expect(isRoot ? [EXIT.done] : [EXIT.done, EXIT.partial]).toContain(exitCode as 0);
    const dest = join(folder, "configuration");
    // Nor can he give it to its owner.
    const restored = await understudy("restore", "--store", store, dest, "/etc/passwd");
    expect(restored.exitCode).toBe(isRoot ? EXIT.done : EXIT.partial);
    expect(readFileSync(join(dest, "etc/passwd"))).toEqual(readFileSync("/etc/passwd"));
  },
  TEST_MS,
);

test(
  "TREE-08: verified after it was made; one that is not is nobody's parent; damage is named and told by the exit code",
  async () => {
    await newStore();
    await backup(source);
    await backup("--level", "micro", "--no-verify", source);
    expect(
      JSON.parse((await backup("--level", "micro", "--verify", "quick", "--json", source)).out),
    ).toMatchObject({
      number: 3,
      parent: 1,
      verified: true,
    });
    expect((await understudy("verify", "--store", store)).exitCode).toBe(EXIT.done);
    const listed = JSON.parse((await understudy("list", "--store", store, "--json")).out).backups;
    expect(listed.map(({ verified }: { verified: string }) => verified)).toEqual(["full", "full", "full"]);
    const path = pathOf(store, "backups", 1, "backup");
    const bytes = readFileSync(path);
    for (let at = 4096 + 64; at < 4096 + 96; at++) bytes[at] = (bytes[at] as number) ^ 0xff;
    writeFileSync(path, bytes);
    const damaged = await understudy("verify", "--store", store, "1");
    expect(damaged.exitCode).toBe(EXIT.partial);
    expect(damaged.out).toMatch(/^backup 1 \(monthly\): DAMAGED; /);
    expect(damaged.out).toContain(`${source}/a/`);
    const { out } = await understudy("verify", "--store", store, "--json", "latest");
    expect(JSON.parse(out)).toMatchObject({ number: 3, ok: false });
    expect((await backup("--level", "micro", "--json", source)).out).toContain('"level":"monthly"');
    expect((await understudy("verify", "--store", store, "77")).exitCode).toBe(EXIT.failed);
    expect((await understudy("verify", "--store", store, "x")).exitCode).toBe(EXIT.misused);
  },
  TEST_MS,
);

test(
  "the store is left out of its own backup; sources that are not there, and stores that are none, are refused",
  async () => {
    await newStore();
    const inner = join(source, "b/store");
    await understudy("store", "init", inner);
    expect((await understudy("backup", "--store", inner, "--json", source)).exitCode).toBe(EXIT.done);
    const { out } = await understudy("find", "--store", inner, "*.backup", "--json");
    expect(out === "" || JSON.parse(out).paths.length === 0).toBe(true);
    Bun.spawnSync(["rm", "-rf", inner]);
    expect(await backup(join(source, "nowhere"))).toMatchObject({ exitCode: EXIT.failed });
    const none = await understudy("backup", "--store", source, source);
    expect(none.exitCode).toBe(EXIT.refused);
    expect(none.err).toContain("understudy store init");
    truncateSync(join(store, "understudy-store.json"), 10);
    expect((await backup(source)).exitCode).not.toBe(EXIT.done);
  },
  TEST_MS,
);

// To root every file can be read: there src/backup/scan/scan.test.ts gives its rights away for a while.
if (!isRoot)
  test(
    "a file that cannot be read is named, and the exit code says that not all is in the backup",
    async () => {
      await newStore();
      const secret = join(source, "b/secret");
      writeFileSync(secret, "nobody reads this");
      chmodSync(secret, 0);
      const { exitCode, err } = await backup(source);
      rmSync(secret);
      expect(exitCode).toBe(EXIT.partial);
      expect(err).toContain("/b/secret: ");
    },
    TEST_MS,
  );

test(
  "TREE-01: a source that is not there is told, keeps what was backed up of it, and keeps nobody else waiting",
  async () => {
    await newStore();
    const [here, away] = [join(folder, "here"), join(folder, "away")];
    for (const one of [here, away]) mkdirSync(one, { recursive: true });
    writeFileSync(join(here, "a"), "a");
    writeFileSync(join(away, "b"), "b");
    expect((await backup(here, away)).exitCode).toBe(EXIT.done);
    renameSync(away, `${away}.unplugged`);
    writeFileSync(join(here, "c"), "c");
    const { exitCode, err } = await backup("--level", "micro", here, away);
    expect(exitCode).toBe(EXIT.partial);
    expect(err).toContain(`${away}: cannot be backed up`);
    const there = join(folder, "there");
    expect((await understudy("restore", "--store", store, "latest", there)).exitCode).toBeOneOf([
      EXIT.done,
      EXIT.partial,
    ]);
    expect(readFileSync(join(there, here, "c"), "utf8")).toBe("c");
    expect(readFileSync(join(there, away, "b"), "utf8")).toBe("b");
    expect((await backup(`${away}/nothing`)).exitCode).toBe(EXIT.failed);
  },
  TEST_MS,
);
