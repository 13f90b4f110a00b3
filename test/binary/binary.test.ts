/** @module The binary by itself: built into a directory of its own, run where no source tree is visible. As root it runs in
 *  a mount namespace in which the checkout is empty; otherwise from an empty directory with an empty environment, which a
 *  Worker that is missing from the bundle would not survive either (it would be looked for beside the current directory). */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
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
