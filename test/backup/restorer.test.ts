/** @module The restorer that lies on every store: Python's standard library, the formats as they are written down, and
 *  nothing of ours. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Laboratory } from "./tree-maker/laboratory.ts";
import { TreeMaker } from "./tree-maker/maker.ts";

interface Ran {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

async function python(...args: readonly string[]): Promise<Ran> {
  const child = Bun.spawn(["python3", "-B", ...args], { stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { exitCode: await child.exited, out, err };
}

for (const codec of ["lz4", "zstd", "none"] as const)
  test(`TREE-03: a store packed by ${codec} is restored by its own Python page alone, heirs of pared backups too`, async () => {
    const laboratory = await Laboratory.open(`restorer-${codec}`);
    const maker = new TreeMaker();
    try {
      await maker.make(laboratory.source, `restorer-${codec}`);
      const levels = ["monthly", "micro", "weekly", "micro", "micro"] as const;
      for (const [n, level] of levels.entries()) {
        if (n > 0) await maker.edit(laboratory.source, `${codec}-${n}`, 12);
        await laboratory.backup({ level, codec });
        await maker.remember(laboratory.source, String(n + 1));
      }
      await laboratory.pare(1, 4);
      const script = join(laboratory.store, "restore.py");
      const listed = await python(script, laboratory.store);
      expect(listed.out.split("\n").map((line) => line.split(" ")[0])).toEqual(["2", "3", "5", ""]);
      for (const id of ["2", "3", "latest"]) {
        const dest = join(laboratory.folder, `by-python-${id}`);
        const ran = await python(script, laboratory.store, id, dest);
        expect(ran).toEqual({ exitCode: 0, out: "", err: "" });
        const { equal, text } = await maker.compare(dest, id === "latest" ? "5" : id);
        expect([id, equal, text]).toEqual([id, true, text]);
      }
    } finally {
      await maker.stop();
      laboratory.close();
    }
  }, 60_000);

test("what is damaged is named by the Python page, and the rest restored", async () => {
  const laboratory = await Laboratory.open("restorer-damage");
  try {
    Bun.spawnSync(["mkdir", "-p", laboratory.source]);
    const noise = crypto.getRandomValues(new Uint8Array(60_000));
    for (let n = 0; n < 9; n++) writeFileSync(join(laboratory.source, `file ${n}`), noise.subarray(n * 5000));
    await laboratory.backup({ codec: "none" });
    const archive = join(laboratory.store, "backups/0000000001.backup");
    const bytes = readFileSync(archive);
    const at = bytes.indexOf(noise.subarray(25_000, 25_100), 4096);
    bytes[at] = (bytes[at] as number) ^ 4;
    writeFileSync(archive, bytes);
    const script = join(laboratory.store, "restore.py");
    const dest = join(laboratory.folder, "out");
    const ran = await python(script, laboratory.store, "1", dest);
    expect(ran.exitCode).toBe(1);
    const named = ran.err.trimEnd().split("\n");
    expect(named.length).toBe(1);
    expect(named[0]).toMatch(/file \d: it is damaged$/);
    const damaged = /file (\d)/.exec(named[0] ?? "")?.[1];
    for (let n = 0; n < 9; n++) {
      if (String(n) === damaged) continue;
      expect(Buffer.compare(readFileSync(join(dest, `file ${n}`)), noise.subarray(n * 5000))).toBe(0);
    }
    expect((await python(script)).exitCode).toBe(1);
    expect((await python(script, laboratory.store, "1", dest)).err).toContain("not empty");
  } finally {
    laboratory.close();
  }
}, 30_000);
