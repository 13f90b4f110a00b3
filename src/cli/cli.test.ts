import { describe, expect, test } from "bun:test";
import { createCli } from "./cli.ts";
import { endpointText, parseEndpoint } from "./commands/serve.ts";
import type { DemoRequest } from "./demo-request.ts";
import type {
  CartridgePort,
  CliPorts,
  DoctorReport,
  RunningServer,
  ServeRequest,
  StartOutcome,
} from "./ports.ts";
import { table } from "./table.ts";

const READY = {
  version: "0.1.0",
  stateDirectory: "/s",
  iscsi: { host: "127.0.0.1", port: 3260 },
  targetName: "iqn.2026-01.org.understudy:library",
  httpUrl: "http://127.0.0.1:8700",
  units: [
    { lun: 0, kind: "changer", name: "library", serial: "UNDC000001" },
    { lun: 1, kind: "drive", name: "drive-1", serial: "UNDV000001" },
  ],
  barcodes: ["UND001L8"],
  notes: [],
} as const;

function server(change: Partial<RunningServer> = {}): StartOutcome {
  return {
    kind: "running",
    server: {
      ready: READY,
      drainAndStop: async () => [],
      notOnTape: () => [],
      failed: new Promise(() => {}),
      ...change,
    },
  };
}

const GOOD_FINDING = { area: "memory", level: "good", text: "plenty", todo: "" } as const;
let report: DoctorReport = { worst: "good", findings: [GOOD_FINDING] };

interface Bench {
  readonly run: (...args: string[]) => Promise<number>;
  readonly signal: () => void;
  readonly said: { out: string; err: string };
  readonly asked: { serve: ServeRequest[]; demo: DemoRequest[] };
}

function bench(
  outcome: StartOutcome = server(),
  cartridges: Partial<CartridgePort> = {},
  terminal = false,
): Bench {
  const said = { out: "", err: "" };
  const asked: Bench["asked"] = { serve: [], demo: [] };
  const listeners = new Set<(signal: string) => void>();
  const ports: CliPorts = {
    version: "0.1.0",
    startServer: async (request) => {
      asked.serve.push(request);
      return outcome;
    },
    cartridges: async () => ({
      list: () => [],
      read: () => [],
      change: async () => ({ kind: "failed", text: "no library" }),
      ...cartridges,
    }),
    doctor: async () => report,
    spawnWorker: () => {
      throw new Error("no Worker is made here");
    },
    demo: async (request) => {
      asked.demo.push(request);
      return 0;
    },
    console: {
      out: (text) => {
        said.out += text;
      },
      outBytes: (bytes) => {
        said.out += new TextDecoder().decode(bytes);
        return true;
      },
      err: (text) => {
        said.err += text;
      },
      terminal,
      environment: {},
      onStopSignal(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
  };
  return {
    run: (...args) => createCli(ports).run(args),
    signal: () => {
      for (const listener of listeners) listener("SIGINT");
    },
    said,
    asked,
  };
}

/** Lets everything that waits go on. */
const settle = () => Bun.sleep(1);

describe("serve", () => {
  test("says what an operator needs to begin: units, and lines to paste", async () => {
    const { run, signal, said, asked } = bench();
    const ended = run(
      "serve",
      "-c",
      "u.toml",
      "--state",
      "/s",
      "--iscsi",
      "127.0.0.1:3261",
      "--http",
      "[::1]:0",
    );
    await settle();
    expect(said.out).toContain("iscsiadm -m discovery -t sendtargets -p 127.0.0.1:3260\n");
    expect(said.out).toContain("mt -f /dev/tape/by-id/scsi-UNDV000001-nst status\n");
    signal();
    expect(await ended).toBe(0);
    expect(asked.serve).toEqual([
      {
        configFile: "u.toml",
        stateDirectory: "/s",
        iscsi: { host: "127.0.0.1", port: 3261 },
        http: { host: "::1", port: 0 },
        json: false,
      },
    ]);
  });

  test("--json: one line when ready, one when stopped, nothing else on standard output", async () => {
    const { run, signal, said } = bench();
    const ended = run("serve", "--json");
    await settle();
    signal();
    await ended;
    const lines = said.out.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line).event)).toEqual(["ready", "stopped"]);
  });

  test("the second signal quits at once and says what is not on tape", async () => {
    const { run, signal, said } = bench(
      server({
        drainAndStop: () => new Promise(() => {}),
        notOnTape: () => [{ device: "drive-1", bytesNotOnTape: 3e9, blocksNotOnTape: 3000 }],
      }),
    );
    const ended = run("serve");
    await settle();
    signal();
    await settle();
    signal();
    expect(await ended).toBe(4);
    expect(said.err).toContain("drive-1: 3,000 blocks (3.00 GB) are not on tape");
  });

  test("a server that ends by itself is a failure with its cause", async () => {
    const { run, said } = bench(server({ failed: Promise.resolve("the front Worker ended: bad address") }));
    expect(await run("serve")).toBe(1);
    expect(said.err).toBe("understudy: the front Worker ended: bad address\n");
  });

  test("configuration errors: a line each, exit code 2; a refused start: one line, 5", async () => {
    const wrong = bench({
      kind: "misconfigured",
      lines: ["u.toml: a: unknown key", "u.toml: b: unknown key"],
    });
    expect(await wrong.run("serve")).toBe(2);
    expect(wrong.said.err).toBe("u.toml: a: unknown key\nu.toml: b: unknown key\n");
    const taken = bench({ kind: "refused", text: "port 3260 is taken" });
    expect(await taken.run("serve")).toBe(5);
    expect(taken.said.err).toBe("understudy: port 3260 is taken\n");
  });
});

describe("the command line itself", () => {
  test("what is wrong is one line and exit code 2", async () => {
    for (const [args, text] of [
      [["serve", "--iscsi", "x"], "expected HOST:PORT"],
      [["drive", "return", "x"], "expected a drive's number"],
      [["serv"], "Did you mean serve?"],
      [["serve", "--stat", "/x"], "unknown option"],
      [["retry", "drive-1", "--drive", "none"], "expected a drive's number"],
    ] as const) {
      const { run, said } = bench();
      expect([args.join(" "), await run(...args)]).toEqual([args.join(" "), 2]);
      expect(said.err).toContain(text);
      expect(said.out).toBe("");
    }
  });

  test("--version and --help go to standard output, exit code 0; no command: help, 2", async () => {
    const version = bench();
    expect(await version.run("--version")).toBe(0);
    expect(version.said.out).toBe("0.1.0\n");
    const help = bench();
    expect(await help.run("--help")).toBe(0);
    expect(help.said.out).toContain("Exit codes:");
    expect(await bench().run()).toBe(2);
  });

  test("no server: its address and what to do, exit code 3", async () => {
    const { run, said } = bench();
    expect(await run("status", "--http", "http://127.0.0.1:1")).toBe(3);
    expect(said.err).toMatch(
      /^understudy: no server answers at http:\/\/127\.0\.0\.1:1 .*understudy serve.*\n$/,
    );
  });

  test("the demo gets its directory, /usr/share by default", async () => {
    const { run, asked } = bench();
    await run("demo", "/data", "--json");
    await run("demo");
    expect(asked.demo).toEqual([
      { directory: "/data", json: true, terminal: false },
      { directory: "/usr/share", json: false, terminal: false },
    ]);
  });

  test("endpoints", () => {
    expect(parseEndpoint("3260")).toEqual({ host: "127.0.0.1", port: 3260 });
    expect(parseEndpoint("[::1]:80")).toEqual({ host: "::1", port: 80 });
    expect(endpointText({ host: "::1", port: 80 })).toBe("[::1]:80");
    expect(() => parseEndpoint("h:70000")).toThrow("HOST:PORT");
  });
});

describe("cartridge", () => {
  const block = (position: number, text: string) =>
    ({ kind: "block", position, data: new TextEncoder().encode(text) }) as const;
  const filemark = (position: number) => ({ kind: "filemark", position }) as const;
  const records = [block(0, "one"), block(1, "two"), filemark(2), block(3, "three")];

  test("read writes the blocks, of one tape file or of all", async () => {
    const all = bench(undefined, { read: () => records });
    expect(await all.run("cartridge", "read", "/c")).toBe(0);
    expect(all.said.out).toBe("onetwothree");
    const second = bench(undefined, { read: () => records });
    await second.run("cartridge", "read", "/c", "--file", "1");
    expect(second.said.out).toBe("three");
    const none = bench(undefined, { read: () => records });
    expect(await none.run("cartridge", "read", "/c", "--file", "2")).toBe(1);
  });

  test("--records lists them; a fault ends it with 1; a terminal is spared the bytes", async () => {
    const { run, said } = bench(undefined, {
      read: () => [filemark(0), { kind: "fault", text: "/c: record 1: hash does not match" }],
    });
    expect(await run("cartridge", "read", "/c", "--records", "--json")).toBe(1);
    expect(said.out).toBe('{"position":0,"fileNumber":0,"kind":"filemark"}\n');
    expect(said.err).toBe("understudy: /c: record 1: hash does not match\n");
    expect(await bench(undefined, {}, true).run("cartridge", "read", "/c")).toBe(2);
  });
});

test("tables are plain text where standard output is no terminal", () => {
  const text = table(
    [{ heading: "a" }, { heading: "bytes", align: "right" }],
    [
      ["long name", "1"],
      ["b", "12345678"],
    ],
    false,
  );
  expect(text).toBe("a             bytes\nlong name         1\nb          12345678\n");
});

test("doctor: the table says what was found and what to do; the exit code is that of the worst finding", async () => {
  const fault = { area: "HTTP port", level: "fault", text: "taken", todo: "set http.port" } as const;
  const warning = { area: "memory", level: "warning", text: "scarce", todo: "buy some" } as const;
  for (const [findings, code] of [
    [[GOOD_FINDING], 0],
    [[GOOD_FINDING, warning], 6],
    [[warning, fault], 1],
  ] as const) {
    report = { worst: findings.at(-1)?.level ?? "good", findings };
    const { run, said } = bench();
    expect(await run("doctor", "-c", "x.toml", "--state", "d")).toBe(code);
    for (const { area, text, todo } of findings) {
      expect(said.out).toContain(area);
      expect(said.out).toContain(text);
      expect(said.out).toContain(todo);
    }
    expect(await run("doctor", "--json")).toBe(code);
  }
});
