/** @module Debian packages that the tests use: others' initiators and targets, and what the guest is made of.
 *  As root they are installed, and no daemon is let start meanwhile (tgt would take port 3260); otherwise the missing
 *  ones are told, and the tests that need them skip themselves by name. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, run, say } from "./root.mjs";

const POLICY = "/usr/sbin/policy-rc.d";
const APT = ["-y", "-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"];
const APT_ENVIRONMENT = { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" };

/** Union of scripts/debian-packages.json and every test/NAME/packages.json. */
export function wantedPackages() {
  const lists = [join(ROOT, "scripts", "debian-packages.json")];
  const tests = join(ROOT, "test");
  if (existsSync(tests)) {
    for (const name of readdirSync(tests)) lists.push(join(tests, name, "packages.json"));
  }
  const names = lists
    .filter((path) => existsSync(path))
    .flatMap((path) => JSON.parse(readFileSync(path, "utf8")));
  return [...new Set(names)].sort();
}

function isInstalled(name) {
  try {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg's own placeholder
    const state = execFileSync("dpkg-query", ["-W", "-f=${db:Status-Status}", name], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return state === "installed";
  } catch {
    return false;
  }
}

export function missingPackages(wanted = wantedPackages()) {
  return wanted.filter((name) => !isInstalled(name));
}

async function install(names) {
  const ours = !existsSync(POLICY);
  const cleanUp = () => {
    if (ours) rmSync(POLICY, { force: true });
  };
  if (ours) writeFileSync(POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  process.on("exit", cleanUp);
  try {
    await run("apt-get", [...APT, "update"], { env: APT_ENVIRONMENT });
    await run("apt-get", [...APT, "--no-install-recommends", "install", ...names], { env: APT_ENVIRONMENT });
  } finally {
    cleanUp();
    process.off("exit", cleanUp);
  }
}

/** Resolves with what is missing still. */
export async function setUpDebian(wanted = wantedPackages()) {
  let missing = missingPackages(wanted);
  if (missing.length > 0 && process.getuid?.() === 0 && existsSync("/usr/bin/apt-get")) {
    say(`set-up: installing Debian packages: ${missing.join(" ")}`);
    await install(missing);
    missing = missingPackages(wanted);
  }
  if (missing.length > 0) {
    say(`set-up: these Debian packages are missing: ${missing.join(" ")}`);
    say("set-up: the tests that need them skip themselves, by name; to have them all, as root:");
    say(`set-up:   apt-get install --no-install-recommends ${missing.join(" ")}`);
  }
  return missing;
}
