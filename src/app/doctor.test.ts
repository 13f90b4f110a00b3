import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockState } from "../base/state-lock.ts";
import type { Finding } from "../cli/ports.ts";
import { examine } from "./doctor.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "understudy-doctor-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const FREE = "[iscsi]\nport = 0\n[http]\nport = 0\n";
const SMALL =
  "[library]\ncapacityMegabytes = 200\nslots = 2\ndrives = 1\n[device]\nringMegabytes = 32\nmaxBlockKilobytes = 1024\ncache = { megabytes = 64 }\n";

async function doctor(text: string, state = join(directory, "state")) {
  const configFile = join(directory, "understudy.toml");
  writeFileSync(configFile, text);
  const report = await examine({ configFile, stateDirectory: state });
  const of = (area: string): readonly Finding[] => report.findings.filter((one) => one.area.startsWith(area));
  return { ...report, of };
}

test("a small sound set-up has no faults, says where its cache could be better, and leaves nothing behind", async () => {
  const { findings, of } = await doctor(FREE + SMALL);
  expect(findings.filter(({ level }) => level === "fault")).toEqual([]);
  const cache = of("cache of drive-1").map(({ text }) => text);
  expect(cache.some((text) => text.includes("shares a file system with the cartridges"))).toBe(true);
  expect(cache.some((text) => text.includes("several members lie on one file system"))).toBe(true);
  expect(of("cache speed")[0]?.text).toContain("/s");
  for (const { level, todo } of findings) expect(todo === "").toBe(level === "good");
  expect(readdirSync(directory)).toEqual(["understudy.toml"]);
});

test("bad settings are told line by line", async () => {
  const { worst, findings } = await doctor('[library]\nkind = "paper"\n[http]\nport = -1\n');
  expect(worst).toBe("fault");
  expect(findings).toHaveLength(2);
});

test("a taken port is a fault that names its setting", async () => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { of, worst } = await doctor(`[iscsi]\nport = ${listener.port}\n[http]\nport = 0\n${SMALL}`);
  listener.stop(true);
  expect(worst).toBe("fault");
  expect(of("iSCSI port")[0]).toMatchObject({ level: "fault", todo: expect.stringContaining("iscsi.port") });
});

test("a foreign file where a member should be is a fault, and is left as it is", async () => {
  const cache = join(directory, "state", "cache", "drive-1");
  mkdirSync(cache, { recursive: true });
  const member = join(directory, "foreign");
  writeFileSync(member, "not yours".repeat(1000));
  const text = `${FREE}[[devices]]\ncache = { members = ["${member}", "${join(directory, "b")}"] }\n`;
  const { of } = await doctor(text);
  const faults = of("cache of drive-1").filter(({ level }) => level === "fault");
  expect(faults.map(({ text }) => text).join()).toContain(member);
  expect(await Bun.file(member).text()).toBe("not yours".repeat(1000));
});

test("where a server runs, nothing is tried that could disturb it", async () => {
  const state = join(directory, "state");
  const lock = lockState(state);
  const { of } = await doctor(FREE + SMALL, state);
  if (lock.kind === "locked") lock.release();
  expect(of("state directory")[0]?.text).toContain(`process ${process.pid}`);
  expect(of("iSCSI port")[0]?.text).toContain("not tried");
  expect(of("cache speed")).toEqual([]);
});

test("more ring than memory is a fault", async () => {
  const many = Array.from({ length: 64 }, () => "[[devices]]\n").join("");
  const text = `${FREE}[library]\ndrives = 64\ncapacityMegabytes = 20000\n[device]\nringMegabytes = 3968\ncache = { members = 0 }\n${many}`;
  const { of } = await doctor(text);
  expect(of("memory")[0]?.level).toBe("fault");
});
