/** @module The guest's image, built once and kept in the checkout's `.cache/guest/<hash of what it is built from>/`.
 *
 *  (1) A directory under its final name is complete: it is built beside it and renamed.
 *  (2) One process builds, others wait (flock); what a killed build left is deleted by the next one. */

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join, resolve } from "node:path";
import { buildGuestFiles, debianSuite, removeTree } from "./build.ts";
import { withLock } from "./lock.ts";
import hostPackages from "./packages.json";

/** Every file whose change makes another image. `init` and the jobs are not among them: they come with each run. */
const INPUTS = [
  "build.ts",
  "kernel.ts",
  "image/initrd-init",
  "image/modules.json",
  "image/packages.json",
] as const;

export interface GuestImage {
  readonly directory: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly rootDisk: string;
}

/** Which Debian packages the host lacks for building and running the guest. */
export function missingGuestPackages(): string[] {
  return missingPackages(hostPackages);
}

export function missingPackages(wanted: readonly string[]): string[] {
  if (Bun.which("dpkg-query") === null) return [...wanted];
  // One line a package: "ii  name:arch  version ...". Names that dpkg never heard of are left out.
  const shown = Bun.spawnSync(["dpkg-query", "--list", ...wanted], { stderr: "ignore" }).stdout.toString();
  const installed = new Set(Array.from(shown.matchAll(/^[ih]i\s+([^\s:]+)/gm), (row) => row[1]));
  return wanted.filter((name) => !installed.has(name));
}

/** Why a guest cannot run here, for a test's skip condition; undefined when it can. */
export function guestObstacle(): string | undefined {
  if (process.platform !== "linux" || process.arch !== "x64") return "the guest wants an x86-64 Linux host";
  const missing = missingGuestPackages();
  if (missing.length > 0) return `Debian packages are missing: ${missing.join(" ")}`;
  if (!existsSync(imageAt(imageDirectory()).rootDisk) && process.getuid?.() !== 0) {
    return "building the guest's image needs root";
  }
  return undefined;
}

/** Gives the image, building it first where there is none (half a minute to two minutes, 1 GB of disk meanwhile). */
export async function ensureGuestImage(report: (stage: string) => void = () => {}): Promise<GuestImage> {
  const directory = imageDirectory();
  if (!existsSync(directory)) {
    await withLock(join(cacheDirectory(), "lock"), async () => {
      if (!existsSync(directory)) await build(directory, report);
    });
  }
  return imageAt(directory);
}

async function build(directory: string, report: (stage: string) => void): Promise<void> {
  const missing = missingGuestPackages();
  if (missing.length > 0) throw new Error(`the guest needs Debian packages: ${missing.join(" ")}`);
  // Older images and torn builds: nobody else writes here while we hold the lock.
  for (const name of readdirSync(cacheDirectory())) {
    if (name !== "lock") await removeTree(join(cacheDirectory(), name));
  }
  const building = `${directory}.building`;
  mkdirSync(building);
  try {
    await buildGuestFiles(building, report);
    renameSync(building, directory);
  } finally {
    await removeTree(building);
  }
}

function cacheDirectory(): string {
  return resolve(import.meta.dir, "../../.cache/guest");
}

function imageDirectory(): string {
  const hash = new Bun.CryptoHasher("sha256").update(debianSuite());
  for (const name of INPUTS) hash.update(`\0${name}\0`).update(readFileSync(join(import.meta.dir, name)));
  return join(cacheDirectory(), hash.digest("hex").slice(0, 16));
}

function imageAt(directory: string): GuestImage {
  return {
    directory,
    kernel: join(directory, "vmlinux"),
    initrd: join(directory, "initrd.cpio"),
    rootDisk: join(directory, "root.ext4"),
  };
}
