/** @module libiscsi's tools, which share no code with us, against a whole `serve`: its transport tests at the test-only disk
 *  (`iscsi.testDiskMegabytes`), its lister and its INQUIRY at everything that a host sees. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { Gateway, temporaryDirectory } from "../end-to-end/gateway.ts";

setDefaultTimeout(120_000);

const TOOLS = ["iscsi-test-cu", "iscsi-ls", "iscsi-inq"] as const;
const missing = TOOLS.filter((tool) => Bun.which(tool) === null);
const title = `libiscsi's tools${missing.length === 0 ? "" : ` (skipped: no ${missing.join(", ")}; Debian package libiscsi-bin)`}`;

/** By LUN. */
const KINDS = ["MEDIA_CHANGER", "SEQUENTIAL_ACCESS", "SEQUENTIAL_ACCESS", "DIRECT_ACCESS"];
const DISK_LUN = 3;
const SETTINGS = `[iscsi]
testDiskMegabytes = 32
[device]
ringMegabytes = 16
maxBlockKilobytes = 1024
cache = { megabytes = 64 }
[library]
drives = 2
spares = 1
slots = 3
capacityMegabytes = 256
`;

async function say(tool: (typeof TOOLS)[number], ...args: string[]): Promise<string> {
  const child = Bun.spawn([tool, ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const said = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return said.join("\n");
}

/** iscsi-test-cu counts what failed in its summary; its exit status is 0 either way. */
const summaryOf = (text: string) => /tests\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)/.exec(text)?.slice(1);

describe.skipIf(missing.length > 0)(title, () => {
  const directory = temporaryDirectory("libiscsi");
  let gateway: Gateway;
  let portal = "";
  const unit = (lun: number, query = "") => `${portal}/${gateway.ready.targetName}/${lun}${query}`;

  beforeAll(async () => {
    gateway = await Gateway.start({ settings: SETTINGS, directory });
    portal = `iscsi://${gateway.ready.iscsi.host}:${gateway.ready.iscsi.port}`;
  });

  afterAll(async () => {
    expect(await gateway.stop()).toBe(0);
    rmSync(directory, { recursive: true, force: true });
  });

  for (const { how, query } of [
    { how: "", query: "" },
    { how: ", with a header digest", query: "?header_digest=crc32c" },
  ]) {
    test(`RED-01: all iSCSI.* tests of iscsi-test-cu pass on serve's test-only disk${how}`, async () => {
      const said = await say(
        "iscsi-test-cu",
        ...["--dataloss", "-n", "-v", "-t", "iSCSI", unit(DISK_LUN, query)],
      );
      expect(summaryOf(said), said).toEqual(["15", "15", "15", "0"]);
      // The library beside it has noticed nothing.
      const status = await gateway.api.status();
      expect(status.devices.map(({ state }) => state)).toEqual(["Streaming", "Streaming"]);
    });
  }

  test("RED-01: iscsi-ls finds the changer, the drives and the test-only disk", async () => {
    for (const query of ["", "?header_digest=crc32c"]) {
      const said = await say("iscsi-ls", "-s", `${portal}${query}`);
      const found = [...said.matchAll(/Lun:(\d+) +Type:(\w+)/g)].map(([, lun, type]) => `${lun} ${type}`);
      expect(found.sort(), said).toEqual(KINDS.map((kind, lun) => `${lun} ${kind}`));
    }
  });

  test("RED-01, RED-07: iscsi-inq reads what the units are, and their serial numbers and identifiers", async () => {
    for (const [lun, kind] of KINDS.entries()) expect(await say("iscsi-inq", unit(lun))).toContain(kind);
    const status = await gateway.api.status();
    for (const [index, { serial }] of status.devices.entries()) {
      expect(await say("iscsi-inq", "-e", "1", "-c", "128", unit(index + 1))).toContain(serial);
      expect(await say("iscsi-inq", "-e", "1", "-c", "131", unit(index + 1))).toContain("DESIGNATOR");
    }
  });
});
