/** @module What goes wrong at an operator's hands and in scripts: variables that were never set, sources that are none,
 *  stores that are too small. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathLine } from "../../src/backup/archive/names.ts";
import { shellWord } from "../../src/cli/commands/versions.ts";
import { Laboratory, understudy } from "./tree-maker/laboratory.ts";

const MAIN = new URL("../../src/main.ts", import.meta.url).pathname;
const MB = 1_000_000;
const TEST_MS = 30_000;

async function withLaboratory(init: readonly string[], use: (laboratory: Laboratory) => Promise<void>) {
  const laboratory = await Laboratory.open("operator", { init });
  mkdirSync(laboratory.source);
  try {
    await use(laboratory);
  } finally {
    laboratory.close();
  }
}

const write = ({ source }: Laboratory, ...names: string[]) => {
  for (const name of names) writeFileSync(join(source, name), crypto.getRandomValues(new Uint8Array(65_536)));
};

test(
  "an empty argument is no place: not the working directory, and not everything",
  () =>
    withLaboratory([], async (laboratory) => {
      const { source, store, folder } = laboratory;
      write(laboratory, "a");
      await laboratory.must("backup", "--store", store, source);
      const to = join(folder, "to");
      for (const [code, ...args] of [
        [2, "restore", "--store", store, "latest", ""],
        [2, "restore", "--store", store, "latest", to, ""],
        [2, "restore", "--store", store, "--in-place", ""],
        [2, "backup", "--store", store, ""],
        [2, "versions", "--store", store, ""],
        [5, "backup", "--store", "", source],
        [5, "list", "--store", ""],
        [5, "store", "init", ""],
      ] as const) {
        const said = await understudy(...args);
        expect([args, said.exitCode, said.out]).toEqual([args, code, ""]);
        expect(said.err).toMatch(/^understudy: .*empty.*\n$/);
      }
      expect(existsSync(to)).toBe(false);
    }),
  TEST_MS,
);

test(
  "names that are not UTF-8 are meant as they are: as paths, or refused as places",
  () =>
    withLaboratory([], async ({ store, folder, source }) => {
      const [odd, out] = [
        Buffer.from(`${source}/d\xff`, "latin1"),
        Buffer.from(`${folder}/out\xff`, "latin1"),
      ];
      mkdirSync(odd);
      writeFileSync(Buffer.concat([odd, Buffer.from("/x")]), "x");
      // Through a process of its own, by a shell that knows bytes: they are in its command line only.
      const run = (line: string) => {
        const script = `set -- '${process.execPath}' '${MAIN}'; d=$(printf '%b' '${source}/d\\0377'); o=$(printf '%b' '${folder}/out\\0377'); ${line}`;
        const { exitCode, stdout, stderr } = Bun.spawnSync(["bash", "-c", script]);
        return { exitCode, out: stdout.toString(), err: stderr.toString() };
      };
      expect(run(`"$@" backup --store '${store}' "$d"`)).toMatchObject({ exitCode: 0 });
      expect(run(`"$@" versions --store '${store}' "$d/x"`)).toMatchObject({ exitCode: 0 });
      const refused = { exitCode: 2, out: "", err: expect.stringContaining("not UTF-8") };
      expect(run(`"$@" restore --store '${store}' latest "$o" "$d/x"`)).toMatchObject(refused);
      expect(run(`"$@" store init "$o"`)).toMatchObject(refused);
      expect(run(`"$@" list --store="$o"`)).toMatchObject(refused);
      expect(existsSync(out) || readdirSync(folder).some((name) => name.startsWith("out"))).toBe(false);
    }),
  TEST_MS,
);

test("what the system says is one line, and a word that is no command is one too", () => {
  const run = (line: string) =>
    Bun.spawnSync(["bash", "-c", `"$0" "$1" ${line}`, process.execPath, MAIN]).stderr.toString();
  expect(run("plan simulate --days 1 --capacity 1TB --full-bytes 1 --change-per-micro 1 >/dev/full")).toMatch(
    /^understudy: ENOSPC.*\n$/,
  );
  expect(run("constructor")).toBe("understudy: unknown command 'constructor'\n");
});

test(
  "TREE-01: the store is no source of its own; a source with no files of its own is told",
  () =>
    withLaboratory([], async ({ store }) => {
      for (const source of [store, join(store, "backups"), `${store}/./`]) {
        const { exitCode, err } = await understudy("backup", "--store", store, source);
        expect([exitCode, err]).toEqual([1, expect.stringContaining("lies in the store itself")]);
      }
      const { exitCode, err } = await understudy("backup", "--store", store, "/proc/sys");
      expect([exitCode, err]).toEqual([0, expect.stringContaining("/proc/sys: proc: holds no files")]);
    }),
  TEST_MS,
);

test(
  "TREE-10, 11: the newest backup is not pared for one that would have to store all of it again",
  () =>
    withLaboratory(["--capacity", `${15 * MB}`], async (laboratory) => {
      const { store, source } = laboratory;
      const megabytes = (...numbers: number[]) => {
        for (const number of numbers)
          writeFileSync(join(source, `f${number}`), crypto.getRandomValues(Buffer.alloc(MB)));
      };
      const numbers = async (): Promise<number[]> => {
        const { out } = await laboratory.must("list", "--store", store, "--json");
        const { backups } = JSON.parse(out);
        return backups.map(({ number }: { number: number }) => number);
      };
      megabytes(0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
      await laboratory.must("backup", "--store", store, source);
      megabytes(0, 1);
      await laboratory.must("backup", "--store", store, "--level", "micro", source);
      megabytes(2, 3);
      await laboratory.must("backup", "--store", store, "--level", "micro", source);
      megabytes(4, 5);
      const { exitCode, err } = await understudy("backup", "--store", store, "--level", "micro", source);
      expect([exitCode, err]).toEqual([1, expect.stringContaining("nothing was deleted for it")]);
      expect(await numbers()).toEqual([1, 2, 3]);
      // A full may have the whole store: what goes with the last one is told.
      const full = await understudy("backup", "--store", store, "--level", "monthly", source);
      expect(full.err).toContain("backup 1 (monthly) is pared, with 3, 2 that depend on it, step 118");
      expect([full.exitCode, await numbers()]).toEqual([0, [4]]);
      expect(readdirSync(join(store, "partial"))).toEqual([]);
    }),
  TEST_MS,
);

test("TREE-18: how to get a file back, as a shell takes it and a terminal bears it", () => {
  const word = (name: string) => shellWord(pathLine(Buffer.from(name)));
  for (const name of [
    "plain",
    "sp ace",
    "it's",
    "back\\slash",
    "\x1b[31mred",
    "line\nline it's",
    "\u202egnp.exe",
  ]) {
    const { stdout } = Bun.spawnSync(["bash", "-c", `printf %s ${word(name)}`]);
    expect(stdout.toString()).toBe(`/${name}`);
    expect(word(name)).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  }
});
