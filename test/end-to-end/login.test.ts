/** @module Who may log in at a whole gateway: CHAP by configuration, secrets that stay where they are, digests on the way. */
import { expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Initiator, type InitiatorOptions } from "../../src/iscsi/initiator.ts";
import { Gateway, temporaryDirectory } from "./gateway.ts";
import { compareCartridge, TapeJob } from "./tape-job.ts";

const TIMEOUT_MS = 60_000;
const NAME = "iqn.2026-01.org.understudy:end-to-end";
const SECRET = "correct horse battery";
const OWN_SECRET = "staple and then some";
const BARCODE = "UND001L8";

const SETTINGS = `[iscsi]
chap = [{ initiator = "${NAME}", user = "host", secretFile = "{dir}/host.secret" }]
mutualChap = { user = "library", secretFile = "{dir}/library.secret" }
[log]
level = "debug"
[device]
ringMegabytes = 16
maxBlockKilobytes = 1024
cache = { megabytes = 64 }
[library]
drives = 1
spares = 0
slots = 1
capacityMegabytes = 1024
`;

const bytes = (text: string) => new TextEncoder().encode(text);
const host = { user: "host", secret: bytes(SECRET) };
const library = { user: "library", secret: bytes(OWN_SECRET) };

async function withDirectory(
  secret: string,
  mode: number,
  body: (directory: string) => Promise<void>,
): Promise<void> {
  const directory = temporaryDirectory("login");
  try {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "host.secret"), `${secret}\n`, { mode });
    writeFileSync(join(directory, "library.secret"), OWN_SECRET, { mode: 0o600 });
    await body(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

test(
  "RED-01, RED-02: with iscsi.chap only who proves himself gets in, by mutual CHAP and with digests a job runs; no secret is told anywhere",
  () =>
    withDirectory(SECRET, 0o644, async (directory) => {
      const gateway = await Gateway.start({ settings: SETTINGS, directory });
      try {
        const { iscsi, targetName, notes } = gateway.ready;
        const where = { ...iscsi, targetName, initiatorName: NAME, timeoutMs: 5000 };
        const attempt = (more: Partial<InitiatorOptions>): string => {
          try {
            Initiator.connect({ ...where, ...more }).close();
            return "let in";
          } catch (error) {
            return error instanceof Error ? error.message : "?";
          }
        };
        expect(attempt({})).toContain("authentication failure");
        expect(attempt({ chap: { ...host, secret: library.secret } })).toContain("authentication failure");
        expect(attempt({ chap: host, initiatorName: `${NAME}2` })).toContain("authentication failure");
        expect(attempt({ chap: host })).toBe("let in");
        const session = Initiator.connect({
          ...where,
          chap: { ...host, mutual: library },
          terms: { digests: ["CRC32C"] },
        });
        expect(session.parameters).toMatchObject({ headerDigest: "CRC32C", dataDigest: "CRC32C" });
        const job = new TapeJob(session);
        job.load(BARCODE);
        for (let n = 0; n < 30; n++) job.block(1 + n * 30_011);
        job.filemarks(1);
        expect(job.errorWords).toEqual([]);
        expect(notes.join()).toContain("chmod 600");
        const told = [await gateway.api.status(), await gateway.api.events(0, 1000), gateway.ready];
        session.close();
        await gateway.stop();
        const { alike, objects } = compareCartridge(gateway.cartridgeFile(BARCODE), job.written);
        expect([alike, objects]).toEqual([job.written.length, job.written.length]);
        const all = JSON.stringify(told) + (await gateway.messages);
        expect(all).not.toContain(SECRET);
        expect(all).not.toContain(OWN_SECRET);
      } finally {
        await gateway.kill();
      }
    }),
  TIMEOUT_MS,
);

test(
  "RED-01: a secret that is too short stops the start, and is not shown",
  () =>
    withDirectory("hello world", 0o600, async (directory) => {
      const refused = Gateway.start({ settings: SETTINGS, directory });
      const text = await refused.then(
        () => "started",
        (error: unknown) => String(error),
      );
      expect(text).toContain("host.secret: expected a secret of 12 to 255 bytes, found 11");
      expect(text).not.toContain("hello world");
    }),
  TIMEOUT_MS,
);
