/** @module libiscsi's `iscsi-ls` at the target alone; its transport tests, and `serve` as a whole: test/conformance. */
import { describe, expect, test } from "bun:test";
import { MIB } from "../base/units.ts";
import { TestDisk } from "../scsi/unit/test-disk.ts";
import { Target, type TargetOptions } from "./front-loop.ts";
import { INITIATOR, TARGET } from "./testing/client.ts";

const listTool = Bun.which("iscsi-ls");

/** Runs one of libiscsi's tools against a target over a disk; what it says, on either stream. */
async function against(
  command: (portal: string) => readonly string[],
  options: Partial<TargetOptions> = {},
): Promise<string> {
  const units = new Map([[0, new TestDisk(32 * MIB, () => [0])]]);
  const target = new Target({ iqn: TARGET, address: "127.0.0.1", port: 0, units, ...options });
  const tool = Bun.spawn([...command(`127.0.0.1:${target.port}`)], { stderr: "pipe" });
  let ended = false;
  const output = Promise.all([new Response(tool.stdout).text(), new Response(tool.stderr).text()]);
  output.then(() => {
    ended = true;
  });
  while (!ended) {
    for (let turn = 0; turn < 50; turn++) target.pollOnce(1);
    await Bun.sleep(0);
  }
  target.stop();
  return (await output).join("\n");
}

describe.skipIf(listTool === null)("iscsi-ls", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const chap = {
    entries: [{ initiator: INITIATOR, user: "host", secret: bytes("correcthorsebattery") }],
    mutual: { user: "library", secret: bytes("stapleandthensome") },
  };
  const list = (user: string, query: string, options: Partial<TargetOptions> = {}) =>
    against((portal) => [listTool ?? "", "-s", "-i", INITIATOR, `iscsi://${user}${portal}${query}`], options);
  const FOUND = /Lun:0 +Type:DIRECT_ACCESS/;

  test("RED-01: iscsi-ls with a header digest", async () => {
    expect(await list("", "?header_digest=crc32c")).toMatch(FOUND);
  });

  test("RED-01: iscsi-ls by CHAP, one-way and mutual; without, and with another secret, it stays out", async () => {
    const mutual = "?target_user=library&target_password=";
    const right = "host%correcthorsebattery@";
    expect(await list(right, "", { chap })).toMatch(FOUND);
    expect(await list(right, `${mutual}stapleandthensome`, { chap })).toMatch(FOUND);
    expect(await list("", "", { chap })).toContain("Authentication failure(513)");
    expect(await list("host%correcthorsebutnot@", "", { chap })).toContain("Authentication failure(513)");
    expect(await list(right, `${mutual}stapleandthenless`, { chap })).toContain("Invalid CHAP_R");
  });
});
