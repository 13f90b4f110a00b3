import { describe, expect, test } from "bun:test";
import { loadSettings, parseSettings, type Settings } from "./config.ts";

const HOME = { HOME: "/home/op" };

function settingsOf(text: string): Settings {
  const outcome = parseSettings(text, "understudy.toml", {}, HOME);
  if (outcome.kind !== "settings") throw new Error(outcome.lines.join("\n"));
  return outcome.settings;
}

function linesOf(text: string): readonly string[] {
  const outcome = parseSettings(text, "understudy.toml", {}, HOME);
  return outcome.kind === "misconfigured" ? outcome.lines : [];
}

describe("settings", () => {
  test("no file: 2 drives, 1 spare, 8 slots with barcodes, a 3-file cache, loopback", () => {
    const outcome = loadSettings({ file: null, overrides: { stateDirectory: "/s" }, environment: HOME });
    if (outcome.kind !== "settings") throw new Error("defaults do not hold");
    const { library, devices, iscsi, http } = outcome.settings;
    expect([library.driveCount, library.spareCount, library.slotCount]).toEqual([2, 1, 8]);
    expect(library.barcodes.map(String)).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((n) => `UND00${n}L8`));
    expect(devices.map((device) => device.cache.memberPaths)).toEqual([
      ["/s/cache/drive-1/member-1", "/s/cache/drive-1/member-2", "/s/cache/drive-1/member-3"],
      ["/s/cache/drive-2/member-1", "/s/cache/drive-2/member-2", "/s/cache/drive-2/member-3"],
    ]);
    expect(iscsi).toMatchObject({ host: "127.0.0.1", port: 3260 });
    expect(http).toEqual({ host: "127.0.0.1", port: 8700, token: null });
  });

  test("the default geometry fits any stripe: 4 members, 768 KB stripes", () => {
    const [device] = settingsOf("[device.cache]\nmembers = 4").devices;
    expect(device?.ringBytes).toBe(255.75 * 1024 * 1024);
    expect((device?.cache.cacheBytes ?? 1) % (device?.ringBytes ?? 0)).toBe(0);
  });

  test("a small ring for tests: 8 MB with blocks of 1 MB", () => {
    const [device] = settingsOf(
      '[library]\ncapacityMegabytes = 256\n[device]\nringMegabytes = 8\nmaxBlockKilobytes = 1024\n[device.cache]\nmegabytes = 64\nparity = "none"\nmembers = ["a", "/dev/sdb"]\n[[devices]]\nname = "only"',
    ).devices;
    expect(device?.ringBytes).toBe(8 << 20);
    expect(device?.padBytes).toBe(20 << 20);
    expect(device?.cache.memberPaths).toEqual([expect.stringMatching(/\/a$/), "/dev/sdb"]);
  });

  test("a device's own keys win over the common ones, key by key", () => {
    const { devices } = settingsOf(
      '[device]\nnoSpare = "hold"\n[device.cache]\nmegabytes = 1024\n[[devices]]\n[[devices]]\nnoSpare = "report"\ncache = { stripKilobytes = 128 }',
    );
    expect(devices.map((device) => device.noSpare)).toEqual(["hold", "report"]);
    expect(devices.map((device) => device.cache.cacheBytes >> 20)).toEqual([1024, 1024]);
    expect(devices[1]?.cache.stripBytes).toBe(128 << 10);
  });

  test("RED-01: CHAP by reference: the settings name files, never secrets", () => {
    const entry = (name: string) =>
      `{ initiator = "iqn.2026-01.example:${name}", user = "u", secretFile = "/s/${name}" }`;
    const { iscsi } = settingsOf(
      `[iscsi]\nchap = [${entry("a")}, ${entry("b")}]\nmutualChap = { user = "lib", secretFile = "/s/lib" }`,
    );
    expect(iscsi.chap.map(({ secretFile }) => secretFile)).toEqual(["/s/a", "/s/b"]);
    expect(iscsi.mutualChap).toEqual({ user: "lib", secretFile: "/s/lib" });
    expect(settingsOf("").iscsi).toMatchObject({ chap: [], mutualChap: null });
    expect(linesOf(`[iscsi]\nchap = [${entry("a")}, ${entry("a")}]`)).toEqual([
      "understudy.toml: iscsi.chap[2].initiator: iqn.2026-01.example:a stands in the list twice",
    ]);
    expect(linesOf('[iscsi]\nmutualChap = { user = "x", secretFile = "y" }')[0]).toContain(
      "iscsi.mutualChap",
    );
    const told = linesOf(
      '[iscsi]\nchap = [{ initiator = "host", user = "u", secret = "correct horse battery", secretFile = "f" }]',
    ).join("\n");
    expect(told).toContain("iscsi.chap[1].initiator: expected an initiator's name");
    expect(told).toContain("unknown key; did you mean secretFile?");
    expect(told).not.toContain("correct horse");
  });

  test("the command line wins over the file", () => {
    const outcome = parseSettings(
      'state = "/file"',
      "u.toml",
      { stateDirectory: "/flag", iscsi: { host: "127.0.0.2", port: 0 }, logFormat: "json" },
      HOME,
    );
    expect(outcome).toMatchObject({
      kind: "settings",
      settings: { stateDirectory: "/flag", iscsi: { host: "127.0.0.2", port: 0 }, log: { format: "json" } },
    });
  });
});

describe("what is wrong is told with file, key and what was expected", () => {
  test.each([
    [
      "[iscsi]\nport = 99999",
      "iscsi.port: expected a port number, 0 to 65535 (0: any free one), found 99999",
    ],
    ["[device]\nringMegabyte = 9", "device.ringMegabyte: unknown key; did you mean ringMegabytes?"],
    ["[http]\ntoken = 3", "http.token: expected a secret of at least 16 characters, found 3"],
    ['[device.cache]\nparity = "two"', 'device.cache.parity: expected "none" or "one", found "two"'],
    [
      '[http]\nhost = "0.0.0.0"',
      'http.host: expected a loopback address or an http.token: "0.0.0.0" can be reached from other machines',
    ],
    [
      "[device]\nringMegabytes = 8\nmaxBlockKilobytes = 1024\n[device.cache]\nmegabytes = 64\nstripKilobytes = 4096",
      "device.ringMegabytes: expected at least two stripes of 8192 KB, found 8",
    ],
    [
      "[device]\nringMegabytes = 256\n[device.cache]\nmembers = 4",
      "device.ringMegabytes: expected a whole number of stripes of 768 KB, as 255 or 258, found 256",
    ],
    [
      "[device]\nringMegabytes = 9",
      "device.ringMegabytes: expected at least four of the largest blocks, 32 MB, found 9 (or set maxBlockKilobytes to 2304 or less)",
    ],
    [
      "[device.cache]\nmegabytes = 1000",
      "device.cache.megabytes: expected a multiple of the ring of 256 MB, as 768 or 1024, found 1000",
    ],
    [
      "[device]\npadMegabytes = 3",
      "device.padMegabytes: expected at least ring and lag together, 512 MB, found 3",
    ],
    ["[[devices]]\ndrive = 7", "devices[1].drive: expected 1 to 2 (library.drives), found 7"],
    [
      "[[devices]]\n[[devices]]\ndrive = 1",
      "devices[2].drive: expected a real drive of its own, found 1, which devices[1] has",
    ],
    [
      '[library]\nbarcodes = ["a b"]',
      'library.barcodes[1]: expected a barcode: 1 to 32 capital letters and digits, as UND001L8, found "a b"',
    ],
    ["a = 1\nb = = 2\n", "line 2: not TOML: Expected a value but found '='"],
  ])("%s", (text, line) => {
    expect(linesOf(text)).toContain(`understudy.toml: ${line}`);
  });

  test("all faults at once, none twice", () => {
    const lines = linesOf("sate = 1\n[iscsi]\nport = -1\n[library]\nslots = 0");
    expect(lines).toHaveLength(3);
  });

  test("members = 0: a device without a cache", () => {
    const [device] = settingsOf("[device.cache]\nmembers = 0").devices;
    expect(device?.cache).toMatchObject({ memberPaths: [], cacheBytes: 0 });
    expect(linesOf('[device.cache]\nmembers = 0\nparity = "one"').join()).toContain(
      "device.cache.parity: expected none with device.cache.members = 0",
    );
  });

  test("a shared cache member is refused", () => {
    expect(linesOf('[device.cache]\nmembers = ["/a", "/b"]').join()).toContain("which drive-1 uses");
  });

  test("a missing file", () => {
    expect(loadSettings({ file: "/nowhere/u.toml", environment: HOME })).toEqual({
      kind: "misconfigured",
      lines: ["/nowhere/u.toml: cannot be read: ENOENT: no such file or directory"],
    });
  });
});

describe("a library of others", () => {
  const UNIT = 'portal = "[::1]:3260", target = "iqn.2026-01.net.example:lib", lun = 1';
  const parse = (text: string) => parseSettings(text, "u.toml", { stateDirectory: "/s" }, {});

  test("drives and changers are units of targets; the last drives are the spares", () => {
    const outcome = parse(
      `[library]\nkind = "iscsi"\nspares = 1\ndrives = [{ ${UNIT}, changerElement = 256 }, { ${UNIT}, changerElement = 257 }]\nchangers = [{ ${UNIT} }]\n`,
    );
    if (outcome.kind !== "settings") throw new Error(outcome.lines.join("\n"));
    const { library, devices } = outcome.settings;
    expect(library).toMatchObject({ kind: "iscsi", driveCount: 1, spareCount: 1, barcodes: [] });
    const unit = { host: "::1", port: 3260, targetName: "iqn.2026-01.net.example:lib", lun: 1 };
    expect(library.foreign?.drives[1]).toEqual({ ...unit, changer: 0, element: 257 });
    expect(library.foreign?.changers).toEqual([unit]);
    expect(devices).toHaveLength(1);
  });

  test("RED-33: how we log in to targets of others: by reference, one entry a target, one for all others", () => {
    const target = "iqn.2026-01.net.example:lib";
    const library = `[library]\nkind = "iscsi"\ndrives = [{ ${UNIT}, changerElement = 256 }]\nchangers = [{ ${UNIT} }]\n`;
    const mutual = 'mutual = { user = "lib", secretFile = "/s/lib" }';
    const common = 'user = "us", secretFile = "/s/us"';
    const outcome = parse(`${library}chap = [{ target = "${target}", ${common}, ${mutual} }, { ${common} }]`);
    if (outcome.kind !== "settings") throw new Error(outcome.lines.join("\n"));
    const own = { user: "us", secretFile: "/s/us" };
    expect(outcome.settings.library.foreign?.chap).toEqual([
      { ...own, target, mutual: { user: "lib", secretFile: "/s/lib" } },
      { ...own, target: null, mutual: null },
    ]);
    const lines = (text: string) => {
      const wrong = parse(text);
      return wrong.kind === "misconfigured" ? wrong.lines.join("\n") : "accepted";
    };
    expect(lines(`${library}chap = [{ ${common} }, { ${common} }]`)).toContain("library.chap[2]");
    expect(lines(`${library}chap = [{ target = "${target}x", ${common} }]`)).toContain(
      "library.chap[1].target",
    );
    expect(lines(`[library]\nchap = [{ ${common} }]`)).toContain("library.chap");
    expect(lines(`${library}chap = [{ user = "us", secret = "correct horse battery" }]`)).not.toContain(
      "correct",
    );
  });

  test("what does not belong together is told by its key", () => {
    const lines = (text: string) => {
      const outcome = parse(`[library]\n${text}\n`);
      return outcome.kind === "misconfigured" ? outcome.lines.join("\n") : "accepted";
    };
    expect(lines('kind = "iscsi"')).toContain("library.changers");
    expect(lines('kind = "iscsi"')).toContain("library.drives");
    expect(lines(`drives = [{ ${UNIT}, changerElement = 256 }]`)).toContain("library.drives");
    expect(lines(`changers = [{ ${UNIT} }]`)).toContain("library.changers");
    const good = `kind = "iscsi"\ndrives = [{ ${UNIT}, changerElement = 256 }]\nchangers = [{ ${UNIT} }]\n`;
    expect(lines(`${good}slots = 3`)).toContain("library.slots");
    expect(lines(`${good}spares = 1`)).toContain("library.spares");
    expect(lines(good.replace("256 }", "256, changer = 2 }"))).toContain("library.drives[1].changer");
    expect(lines(good)).toBe("accepted");
  });
});
