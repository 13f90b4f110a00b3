/** @module understudy.toml -> Settings. One door: what comes out is complete and checked; what is wrong is told at once
 *  and whole, each line with file, key and what was expected. Without a file the defaults stand: an embedded file
 *  library under the state directory. */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { MIB } from "./base/units.ts";
import { complaints, shown } from "./config/complaints.ts";
import { Complaints, resolveChap, resolveDevices, resolveLibrary } from "./config/resolve.ts";
import { type SettingsFile, settingsFileSchema } from "./config/schema.ts";
import { DEFAULTS, type Settings, type SettingsOverrides } from "./config/settings.ts";

export type {
  CacheSettings,
  DeviceSettings,
  LatencySettings,
  LibrarySettings,
  Settings,
  SettingsOverrides,
  UnitSettings,
} from "./config/settings.ts";
export { DEFAULTS } from "./config/settings.ts";

export type SettingsOutcome =
  | { readonly kind: "settings"; readonly settings: Settings }
  | { readonly kind: "misconfigured"; readonly lines: readonly string[] };

export type Environment = Readonly<Record<string, string | undefined>>;

export interface SettingsSource {
  readonly file: string | null;
  readonly overrides?: SettingsOverrides;
  readonly environment: Environment;
}

/** Reads and parses; `file: null` gives the defaults. */
export function loadSettings({ file, overrides = {}, environment }: SettingsSource): SettingsOutcome {
  if (file === null) return parseSettings("", null, overrides, environment);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const cause = error instanceof Error ? error.message.replace(/, open .*$/, "") : String(error);
    return { kind: "misconfigured", lines: [`${file}: cannot be read: ${cause}`] };
  }
  return parseSettings(text, file, overrides, environment);
}

export function parseSettings(
  text: string,
  file: string | null,
  overrides: SettingsOverrides,
  environment: Environment,
): SettingsOutcome {
  const where = file ?? "defaults";
  const misconfigured = (lines: readonly string[]): SettingsOutcome => ({
    kind: "misconfigured",
    lines: lines.map((line) => `${where}: ${line}`),
  });
  let given: unknown;
  try {
    given = Bun.TOML.parse(text);
  } catch (error) {
    const cause = error instanceof Error ? error.message.replace(/^TOML Parse error: /, "") : String(error);
    return misconfigured([`line ${faultyLine(text)}: not TOML: ${cause}`]);
  }
  const parsed = settingsFileSchema.safeParse(given);
  if (!parsed.success) return misconfigured(complaints(settingsFileSchema, given, parsed.error));
  const found = new Complaints();
  const settings = complete(parsed.data, file, overrides, environment, found);
  return found.lines.length > 0 ? misconfigured([...new Set(found.lines)]) : { kind: "settings", settings };
}

function complete(
  given: SettingsFile,
  file: string | null,
  overrides: SettingsOverrides,
  environment: Environment,
  found: Complaints,
): Settings {
  const state = overrides.stateDirectory ?? given.state ?? defaultStateDirectory(environment);
  const stateDirectory = resolve(state);
  const library = resolveLibrary(given, stateDirectory, found);
  const host = overrides.http?.host ?? given.http?.host ?? DEFAULTS.host;
  const token = given.http?.token ?? null;
  if (!isLoopback(host) && token === null) {
    found.add(
      overrides.http?.host === undefined ? "http.host" : "http.token",
      `expected a loopback address or an http.token: ${shown(host)} can be reached from other machines`,
    );
  }
  return {
    file,
    stateDirectory,
    iscsi: {
      ...resolveChap(given, found),
      host: overrides.iscsi?.host ?? given.iscsi?.host ?? DEFAULTS.host,
      port: overrides.iscsi?.port ?? given.iscsi?.port ?? DEFAULTS.iscsiPort,
      targetName: given.iscsi?.iqn ?? DEFAULTS.targetName,
      testDiskBytes: (given.iscsi?.testDiskMegabytes ?? 0) * MIB,
    },
    http: { host, port: overrides.http?.port ?? given.http?.port ?? DEFAULTS.httpPort, token },
    log: {
      level: given.log?.level ?? "info",
      format: overrides.logFormat ?? given.log?.format ?? "text",
    },
    devices: resolveDevices(given, library, stateDirectory, found),
    library,
  };
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** /var/lib/understudy for root; else the user's own state directory; without a home: below the current one. */
export function defaultStateDirectory(environment: Environment): string {
  if (process.getuid?.() === 0) return "/var/lib/understudy";
  const { XDG_STATE_HOME: stateHome, HOME: home } = environment;
  if (stateHome) return join(stateHome, "understudy");
  if (home) return join(home, ".local", "state", "understudy");
  return "understudy-state";
}

/** The line where the text stops being TOML: the statement after the longest whole beginning that parses. */
function faultyLine(text: string): number {
  const lines = text.split("\n");
  for (let length = lines.length - 1; length > 0; length--) {
    try {
      Bun.TOML.parse(lines.slice(0, length).join("\n"));
      return length + 1;
    } catch {
      // Still broken: the fault lies further up.
    }
  }
  return 1;
}
