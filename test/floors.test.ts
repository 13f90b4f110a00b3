/** @module House rules as tests: imports only go down the floors (docs/ARCHITECTURE.md), neighbours do not know each other,
 *  nobody speaks past the doors, no file grows into a monolith. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const ROOT = normalize(join(import.meta.dir, ".."));
const LINES_MAX = 600;

/** From the ground up. Whoever is not listed has no place in the house. */
const FLOORS: readonly (readonly string[])[] = [
  ["wasm"],
  ["src/base"],
  ["src/iscsi", "src/scsi", "src/plan", "src/catalog"],
  ["src/cache", "src/target", "src/device", "src/library", "src/fabric"],
  ["src/director", "src/backup"],
  ["src/http", "src/cli", "src/notify"],
  ["src/top"],
];

/** The composition root is one room, whatever its files are called. */
const TOP = /^src\/(?:(?:workers|app|config)\/|(?:app|config|main|worker)\.[a-z.]*ts$|config\.test\.ts$)/;

/** Here the process itself begins. */
const DOORS = /^src\/(main|worker)\.ts$/;

interface Import {
  readonly from: string;
  readonly to: string;
}

function filesUnder(...patterns: string[]): string[] {
  return patterns
    .flatMap((pattern) => [...new Bun.Glob(pattern).scanSync({ cwd: ROOT })])
    .filter((path) => !path.includes("node_modules/") && !path.includes("/build/"))
    .sort();
}

function roomOf(path: string): string | null {
  if (path.startsWith("wasm/")) return "wasm";
  if (TOP.test(path)) return "src/top";
  return /^src\/[^/]+(?=\/)/.exec(path)?.[0] ?? null;
}

function floorOf(room: string): number {
  return FLOORS.findIndex((floor) => floor.includes(room));
}

/** Paths that a file imports or re-exports, types included, in whatever form. */
export function importsOf(path: string, text: string): Import[] {
  const statement =
    /^\s*(?:import|export)\b[^;"'`]*?\bfrom\s*["']([^"']+)["']|^\s*import\s*["']([^"']+)["']/gm;
  const call = /\bimport\(\s*["']([^"']+)["']\s*\)|\bnew URL\(\s*["'](\.[^"']+)["']/g;
  return [...text.matchAll(statement), ...text.matchAll(call)]
    .map((match) => match[1] ?? match[2] ?? "")
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => ({ from: path, to: normalize(join(dirname(path), specifier)) }));
}

/** Why an import is not allowed, or null. */
export function fault({ from, to }: Import): string | null {
  const [room, other] = [roomOf(from), roomOf(to)];
  if (room === null || floorOf(room) < 0) return `${from}: stands in no room of the house (see FLOORS)`;
  // The program's version: only the top may read the plate at the door.
  if (to === "package.json" && room === "src/top") return null;
  if (other === null || floorOf(other) < 0)
    return `${from} imports ${to}, which stands in no room of the house`;
  if (room === other) return null;
  const [floor, otherFloor] = [floorOf(room), floorOf(other)];
  if (otherFloor < floor) return null;
  return `${from} imports ${to}: ${otherFloor === floor ? "a neighbour; declare a port" : "upwards"}`;
}

const sources = filesUnder("src/**/*.ts", "wasm/**/*.ts");
const textOf = (path: string) => readFileSync(join(ROOT, path), "utf8");
/** Without comments and without what stands in quotes. */
const codeOf = (path: string) =>
  textOf(path).replace(/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|\/\*[\s\S]*?\*\/|\/\/.*$/gm, '""');

test("imports go down the floors, neighbours do not import each other", () => {
  const faults = sources.flatMap((path) => importsOf(path, textOf(path)).flatMap((one) => fault(one) ?? []));
  expect(faults).toEqual([]);
});

test("the guard itself: down is allowed, up and sideways are not", () => {
  const text = `import type { A } from "../base/a.ts";
import {
  B,
} from "../director/b.ts";
export { C } from "../scsi/c.ts";
const d = await import("../../wasm/d.ts");
new Worker(new URL("../worker.ts", import.meta.url));`;
  const found = importsOf("src/cache/x.ts", text);
  expect(found.map(({ to }) => to)).toEqual([
    "src/base/a.ts",
    "src/director/b.ts",
    "src/scsi/c.ts",
    "wasm/d.ts",
    "src/worker.ts",
  ]);
  expect(found.map((one) => fault(one) !== null)).toEqual([false, true, false, false, true]);
  expect(fault({ from: "src/http/a.ts", to: "src/cli/b.ts" })).toContain("neighbour");
  expect(fault({ from: "src/app.ts", to: "src/config/settings.ts" })).toBeNull();
  expect(fault({ from: "src/utils/a.ts", to: "src/base/b.ts" })).toContain("no room");
});

test("nobody speaks past the doors: no console below main.ts and worker.ts", () => {
  const speakers = sources.filter(
    (path) =>
      !DOORS.test(path) && /(?<![.\w])console\.(?:log|error|warn|info|debug|trace)\b/.test(codeOf(path)),
  );
  expect(speakers).toEqual([]);
});

test("no any (the linter's rule, nowhere switched off) and no switched-off type check", () => {
  const { linter } = JSON.parse(textOf("biome.json"));
  expect(linter.rules.suspicious.noExplicitAny).toBe("error");
  expect(sources.filter((path) => /biome-ignore.*(?:noExplicitAny|all)/.test(textOf(path)))).toEqual([]);
  const typed = sources.filter((path) => !path.includes("/assembly/"));
  expect(typed.filter((path) => /@ts-(?:ignore|nocheck|expect-error)/.test(textOf(path)))).toEqual([]);
});

test(`no file is longer than ${LINES_MAX} lines`, () => {
  const long = filesUnder("{src,wasm,test,bench,scripts}/**/*.{ts,mjs}")
    .map((path) => ({ path, lines: textOf(path).split("\n").length }))
    .filter(({ lines }) => lines > LINES_MAX);
  expect(long).toEqual([]);
});

test("the lock names every optional package of every platform, and no registry: npm ci takes it anywhere", () => {
  const { packages }: { packages: Record<string, { optionalDependencies?: Record<string, string> }> } =
    JSON.parse(textOf("package-lock.json"));
  const wanted = Object.values(packages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}));
  expect(wanted.filter((name) => packages[`node_modules/${name}`] === undefined)).toEqual([]);
  expect(textOf("package-lock.json")).not.toContain('"resolved"');
});
