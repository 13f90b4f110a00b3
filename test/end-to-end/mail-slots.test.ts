/** @module Cartridges come and go while the server runs: the operator's orders, what the host's changer shows, MOVE MEDIUM to
 *  and from the import/export elements, and the same orders where no server runs. */
import { expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { HostChanger } from "../../src/cli/host/host-changer.ts";
import { describeOutcome } from "../../src/cli/host/host-port.ts";
import { Gateway, temporaryDirectory } from "./gateway.ts";

const TIMEOUT_MS = 60_000;
const MAIN = join(import.meta.dir, "../../src/main.ts");
const SETTINGS = `[log]
level = "warning"
[device]
ringMegabytes = 16
maxBlockKilobytes = 1024
cache = { megabytes = 64 }
[library]
drives = 1
spares = 0
slots = 4
mailSlots = 2
barcodes = ["UND001L8", "UND002L8"]
capacityMegabytes = 512
`;
const SLOT = 1024;
const MAIL = 768;

async function cli(directory: string, ...args: string[]): Promise<{ code: number; text: string }> {
  const common = ["-c", join(directory, "understudy.toml"), "--state", join(directory, "state")];
  const child = Bun.spawn([process.execPath, MAIN, ...args, ...common], { stdout: "pipe", stderr: "pipe" });
  const texts = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, text: texts.join("").trim() };
}

test(
  "RED-01, SMC-3 §5.1: cartridges are added, exported by a mail slot and brought back; the host is told 28h/01h and sees each step; without a server the same",
  async () => {
    const directory = temporaryDirectory("mail");
    let gateway: Gateway | null = null;
    try {
      gateway = await Gateway.start({ settings: SETTINGS, directory });
      const changer = new HostChanger(gateway.connect(), 0);
      changer.waitReady();
      const full = () =>
        changer
          .elements()
          .filter((one) => one.full)
          .map(({ type, barcode, address }) => [type, barcode, address]);
      expect(changer.elements().filter(({ type }) => type === "importExport")).toHaveLength(2);

      expect(await gateway.api.order("POST", "/cartridges", { megabytes: 300 })).toContain("UND003L8");
      expect(() => changer.elements()).toThrow("6/28/01");
      expect(full()).toContainEqual(["importExport", "UND003L8", MAIL]);
      expect(describeOutcome(changer.move(MAIL, SLOT + 2))).toBe("GOOD");

      // The host exports by moving to a mail slot; the operator takes it from there.
      expect(describeOutcome(changer.move(SLOT + 1, MAIL + 1))).toBe("GOOD");
      expect(await gateway.api.order("DELETE", "/cartridges/UND002L8")).toContain("exported");
      changer.waitReady();
      expect(full().flat()).not.toContain("UND002L8");
      expect(existsSync(gateway.cartridgeFile("UND002L8"))).toBe(true);
      expect(describeOutcome(changer.move(SLOT, 256))).toBe("GOOD");
      await expect(gateway.api.order("DELETE", "/cartridges/UND001L8")).rejects.toThrow("unload");
      // The command line finds the server by itself, or says where it looked.
      const refused = await cli(directory, "cartridge", "import", "UND002L8");
      expect(refused.code).not.toBe(0);
      expect(refused.text).toContain("in use by process");
      const { httpUrl } = gateway.ready;
      expect(await cli(directory, "cartridge", "import", "UND002L8", "--http", httpUrl)).toEqual({
        code: 0,
        text: "UND002L8 is back, in mail slot 1",
      });
      expect(await gateway.stop()).toBe(0);

      expect(await cli(directory, "cartridge", "export", "UND002L8")).toMatchObject({ code: 0 });
      expect(await cli(directory, "cartridge", "export", "UND001L8")).toMatchObject({ code: 1 });
      const added = await cli(directory, "cartridge", "add", "--barcode", "NEW001L8", "--megabytes", "200");
      expect(added).toEqual({ code: 0, text: "NEW001L8 is new, in mail slot 1" });

      gateway = await Gateway.start({ settings: SETTINGS, directory });
      const again = new HostChanger(gateway.connect(), 0);
      again.waitReady();
      const barcodes = again.elements().flatMap(({ barcode }) => (barcode === "" ? [] : [barcode]));
      expect(barcodes.sort()).toEqual(["NEW001L8", "UND001L8", "UND003L8"]);
      expect(await gateway.stop()).toBe(0);
    } finally {
      await gateway?.kill();
      rmSync(directory, { recursive: true, force: true });
    }
  },
  TIMEOUT_MS,
);
