/** @module The binary by itself: built into a directory of its own, run where no source tree is visible. As root it runs in
 *  a mount namespace in which the checkout is empty; otherwise from an empty directory with an empty environment, which a
 *  Worker that is missing from the bundle would not survive either (it would be looked for beside the current directory). */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import manifest from "../../package.json" with { type: "json" };
import { statusSchema } from "../../src/base/status.ts";
import { Gateway, temporaryDirectory } from "../end-to-end/gateway.ts";
import { compareCartridge, TapeJob } from "../end-to-end/tape-job.ts";

const ROOT = join(import.meta.dir, "../..");
const BUILD_MS = 120_000;
const TEST_MS = 60_000;
const DEMO_MS = 180_000;
const BARCODE = "UND001L8";

const place = temporaryDirectory("binary");
const binary = join(place, "understudy");
const empty = join(place, "empty");
const environment = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: empty, TMPDIR: place };

/** The program as it is called: behind a curtain where the system lets us draw one. */
const program = curtain();

function curtain(): string[] {
  const hidden = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', ROOT];
  try {
    const probe = Bun.spawnSync([...hidden, "test", "!", "-e", join(ROOT, "package.json")]);
    if (probe.exitCode === 0) return [...hidden, binary];
  } catch {
    // No unshare here.
  }
  return [binary];
}

function run(args: readonly string[], more: Readonly<Record<string, string>> = {}) {
  const child = Bun.spawnSync([...program, ...args], { cwd: empty, env: { ...environment, ...more } });
  return { code: child.exitCode, out: child.stdout.toString(), err: child.stderr.toString() };
}

beforeAll(() => {
  mkdirSync(empty);
  const built = Bun.spawnSync([process.execPath, "scripts/build-binary.ts", binary], { cwd: ROOT });
  if (built.exitCode !== 0) throw new Error(built.stderr.toString());
}, BUILD_MS);

afterAll(() => rmSync(place, { recursive: true, force: true }));

test("the binary, where no source tree is visible: --version, --help, exit codes", () => {
  expect(run(["--version"])).toMatchObject({ code: 0, out: `${manifest.version}\n` });
  expect(run(["--help"]).out).toContain("Exit codes");
  expect(run(["no-such-command"]).code).toBe(2);
  expect(run(["status"], { UNDERSTUDY_HTTP: "http://127.0.0.1:9" }).code).toBe(3);
});

test(
  "the binary, where no source tree is visible: serves, is written to, changes drives, tells its status, stops",
  async () => {
    let gateway: Gateway | null = null;
    try {
      gateway = await Gateway.start({
        program,
        cwd: empty,
        environment,
        directory: join(place, "gateway"),
        settings: `[device]
ringMegabytes = 16
maxBlockKilobytes = 1024
cache = { megabytes = 64 }
[library]
drives = 1
spares = 1
slots = 2
capacityMegabytes = 1024
faults = ["drive 1: on write 100: hardware error"]
`,
      });
      const session = gateway.connect();
      const job = new TapeJob(session);
      job.load(BARCODE);
      for (let n = 0; n < 250; n++) job.block(128 * 1024);
      job.filemarks(1);
      expect(job.errorWords).toEqual([]);
      const { code, out } = run(["status", "--json"], { UNDERSTUDY_HTTP: gateway.ready.httpUrl });
      expect(code).toBe(0);
      expect(statusSchema.parse(JSON.parse(out)).devices[0]).toMatchObject({
        state: "Streaming",
        drive: { id: 2 },
      });
      session.logout();
      expect(await gateway.stop()).toBe(0);
      const listed = run(["cartridge", "list", gateway.cartridgeFile(BARCODE)]);
      expect(listed).toMatchObject({ code: 0, err: "" });
      const { length } = job.written;
      expect(compareCartridge(gateway.cartridgeFile(BARCODE), job.written)).toEqual({
        objects: length,
        alike: length,
        tornBytes: 0,
      });
    } finally {
      await gateway?.kill();
    }
  },
  TEST_MS,
);

const demoSchema = z.object({
  bytes: z.number().min(512e6),
  hostErrors: z.literal(0),
  faultAtBlock: z.number().min(1),
  identicalThroughDevice: z.literal(true),
  identicalOnCartridge: z.literal(true),
});

test(
  "the binary, where no source tree is visible: the demo, with a small directory",
  () => {
    const directory = join(place, "files");
    mkdirSync(directory);
    for (let n = 0; n < 8; n++) writeFileSync(join(directory, `file ${n}`), Buffer.alloc(4_000_000, `${n}-`));
    const { code, out, err } = run(["demo", directory, "--json"]);
    expect({ code, err: code === 0 ? "" : err }).toEqual({ code: 0, err: "" });
    demoSchema.parse(JSON.parse(out.trimEnd().split("\n").at(-1) ?? ""));
  },
  DEMO_MS,
);

const TREE_FILES = 3_000;
const COMPARER = join(ROOT, "test/backup/tree-maker/compare.py");
const PAGES = join(ROOT, "src/backup/store");

/** Small files that pack well, and one that does not. */
function plant(source: string): void {
  for (let directory = 0; directory < 10; directory++)
    mkdirSync(join(source, `d${directory}`), { recursive: true });
  for (let n = 0; n < TREE_FILES; n++)
    writeFileSync(join(source, `d${n % 10}`, `file ${n}`), `${n} `.repeat(n % 700));
  writeFileSync(join(source, "noise"), randomBytes(4_000_000));
  linkSync(join(source, "noise"), join(source, "d1", "another name"));
  symlinkSync("../noise", join(source, "d2", "a link"));
}

test(
  "TREE-02, 03, 13: the binary, where no source tree is visible: backs up, verifies, pares, lists and restores",
  () => {
    const [source, store, restored] = ["source", "store", "restored"].map((name) => join(place, name)) as [
      string,
      string,
      string,
    ];
    const said = (...args: string[]): string => {
      const { code, out, err } = run([...args, "--store", store]);
      expect(`${args.join(" ")}: ${code}${code === 0 ? "" : `\n${err}`}`).toBe(`${args.join(" ")}: 0`);
      return out;
    };
    const told = (...args: string[]) => JSON.parse(said(...args, "--json"));
    const wide = ["--workers", "2"];
    plant(source);
    expect(run(["store", "init", store, "--capacity", "16M"])).toMatchObject({ code: 0, err: "" });
    expect(told("backup", source, ...wide)).toMatchObject({
      number: 1,
      level: "monthly",
      verified: true,
      errors: 0,
    });
    writeFileSync(join(source, "passing"), randomBytes(3_000_000));
    writeFileSync(join(source, "d3", "file 3"), "what its micro backup has");
    expect(told("backup", source, "--level", "daily", "--codec", "zstd", ...wide)).toMatchObject({
      parent: 1,
    });
    rmSync(join(source, "passing"));
    expect(told("backup", source, "--level", "micro", ...wide)).toMatchObject({ parent: 2, deleted: 1 });

    const pared = told("pare", "--free", "10M");
    expect(pared).toMatchObject({ enough: true, pares: [{ number: 2, level: "daily" }] });
    expect(pared.freedBytes).toBeGreaterThan(2_900_000);
    expect(told("list").backups).toMatchObject([
      { number: 1, verified: "full" },
      { number: 3, parent: 1, verified: "full" },
    ]);
    const changed = `${source}/d3/file 3`;
    expect(told("versions", changed).versions).toMatchObject([{ backups: [1] }, { backups: [3], size: 25 }]);
    expect(told("diff", "1", "3").totals).toMatchObject({ changed: 1 });
    expect(said("find", "file 3")).toContain(changed);
    expect(said("verify", ...wide).match(/: good;/g)).toHaveLength(2);
    expect(said("pin", "1")).toContain("is pinned");
    said("restore", restored, ...wide);
    expect(alike(source, restored)).toEndWith(" equal\n");
    // What goes on every store was in the binary, and is enough.
    for (const page of ["README.txt", "restore.py"])
      expect(readFileSync(join(store, page))).toEqual(readFileSync(join(PAGES, page)));
    const other = join(place, "restored by the page");
    const byPage = Bun.spawnSync(["python3", "-B", join(store, "restore.py"), store, "latest", other]);
    expect(`${byPage.exitCode} ${byPage.stderr}`).toBe("0 ");
    expect(alike(source, other)).toEndWith(" equal\n");
  },
  TEST_MS,
);

function alike(one: string, other: string): string {
  const { stdout, stderr } = Bun.spawnSync(["python3", "-B", COMPARER, one, other]);
  return `${stdout}${stderr}`;
}
