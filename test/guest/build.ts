/** @module Builds the guest's three files from the host's own Debian sources: `vmlinux`, `initrd.cpio`, `root.ext4`.
 *
 *  Needs root: mmdebstrap makes a real root tree with device nodes and owners. It runs in namespaces of its own, so an
 *  interrupted build leaves no process and nothing mounted, and its tree can be deleted safely. */

import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { runCommand } from "./command.ts";
import modules from "./image/modules.json";
import guestPackages from "./image/packages.json";
import { extractVmlinux } from "./kernel.ts";

const ROOT_DISK_BYTES = 3 * 1024 ** 3;
const APT_SOURCES = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"] as const;

/** What of the host's apt settings decides whether its mirrors can be reached. */
const APT_SETTINGS = /^Acquire::(https?::|Retries|Check-Valid-Until)/;

/** The tree is thrown into a disk image that is seldom built and often read: papers stay out. */
const NOT_IN_GUEST = [
  "boot",
  "usr/lib/modules",
  "usr/share/doc",
  "usr/share/locale",
  "usr/share/man",
  "var/cache/apt",
  "var/lib/apt/lists",
] as const;

/** The host's Debian release; the guest gets the same. */
export function debianSuite(): string {
  const suite = /^VERSION_CODENAME=(\S+)$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
  if (suite === undefined) throw new Error("/etc/os-release names no VERSION_CODENAME");
  return suite;
}

async function installRoot(root: string): Promise<void> {
  const sources = APT_SOURCES.find((path) => existsSync(path));
  if (sources === undefined) throw new Error(`no apt sources: ${APT_SOURCES.join(" or ")}`);
  const settings = (await runCommand(["apt-config", "dump"]))
    .split("\n")
    .filter((line) => APT_SETTINGS.test(line));
  await runCommand(
    [
      // Namespaces of its own: when the builder dies, all of it ends, and its mounts with it.
      ...["setpriv", "--pdeathsig", "KILL", "--"],
      ...[
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--",
      ],
      ...["mmdebstrap", "--mode=root", "--variant=minbase", `--include=${guestPackages.join(",")}`],
      ...settings.map((line) => `--aptopt=${line}`),
      '--aptopt=APT::Install-Recommends "false"',
      ...["doc", "locale", "man"].map((papers) => `--dpkgopt=path-exclude=/usr/share/${papers}/*`),
      // No service is started in the tree.
      '--essential-hook=printf "#!/bin/sh\\nexit 101\\n" >"$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"',
      ...[debianSuite(), root, sources],
    ],
    // INITRD=No: Debian's own initrd would cost a third of the time and is never booted.
    { env: { DEBIAN_FRONTEND: "noninteractive", INITRD: "No", TMPDIR: dirname(root) } },
  );
}

/** The module files that one module needs, in the order of loading. One that is built into the kernel needs none. */
async function moduleFiles(root: string, version: string, name: string): Promise<string[]> {
  const shown = await runCommand(["modprobe", "-d", root, "-S", version, "--show-depends", name]);
  return Array.from(shown.matchAll(/^insmod (\S+)/gm), (row) => row[1]!);
}

/** The module's files, or none where this kernel has no such module. */
async function moduleFilesIfAny(root: string, version: string, name: string): Promise<string[]> {
  try {
    return await moduleFiles(root, version, name);
  } catch {
    return [];
  }
}

/** Keeps of the kernel's modules (300 MB) only those that the guest loads. */
async function pickModules(root: string, version: string, kept: string): Promise<void> {
  const from = join(root, "usr/lib/modules", version);
  const to = join(kept, "lib/modules", version);
  const files = new Set<string>();
  for (const name of [...modules.initrd, ...modules.root]) {
    for (const file of await moduleFiles(root, version, name)) files.add(file);
  }
  for (const name of modules.whereThereAreSuch) {
    for (const file of await moduleFilesIfAny(root, version, name)) files.add(file);
  }
  for (const file of files) {
    const place = join(to, file.slice(file.indexOf(`/modules/${version}/`) + `/modules/${version}/`.length));
    mkdirSync(dirname(place), { recursive: true });
    cpSync(file, place);
    // Busybox, in the initrd, loads only plain ones.
    if (place.endsWith(".xz")) await runCommand(["xz", "--decompress", place]);
  }
  for (const name of readdirSync(from)) {
    if (/^modules\.(builtin.*|order)$/.test(name)) cpSync(join(from, name), join(to, name));
  }
  await runCommand(["depmod", "-b", kept, version]);
}

async function packInitrd(root: string, kept: string, version: string, into: string): Promise<void> {
  const tree = join(into, "initrd");
  for (const name of ["bin", "proc", "sys", "dev", "modules", "new"])
    mkdirSync(join(tree, name), { recursive: true });
  cpSync(join(root, "usr/bin/busybox"), join(tree, "bin/busybox"));
  const order = new Set<string>();
  // ext4 wants a crc32c at its mount, which no dependency tells.
  for (const file of await moduleFilesIfAny(kept, version, "crc32c_generic")) order.add(file);
  for (const name of modules.initrd) {
    for (const file of await moduleFiles(kept, version, name)) order.add(file);
  }
  for (const file of order) cpSync(file, join(tree, "modules", basename(file)));
  writeFileSync(join(tree, "order"), Array.from(order, (file) => `/modules/${basename(file)}\n`).join(""));
  cpSync(join(import.meta.dir, "image/initrd-init"), join(tree, "init"));
  chmodSync(join(tree, "init"), 0o755);
  const names = await runCommand(["find", "."], { cwd: tree });
  // Not compressed: unpacking under emulation takes longer than reading.
  await runCommand(["cpio", "--create", "--format=newc", "--quiet", "--file", join(into, "initrd.cpio")], {
    cwd: tree,
    input: new TextEncoder().encode(names),
  });
  await removeTree(tree);
}

async function makeRootDisk(root: string, kept: string, into: string): Promise<void> {
  for (const name of NOT_IN_GUEST) await removeTree(join(root, name));
  cpSync(join(kept, "lib/modules"), join(root, "usr/lib/modules"), { recursive: true });
  for (const name of ["dev", "boot", "host"]) mkdirSync(join(root, name), { recursive: true });
  const disk = join(into, "root.ext4");
  await runCommand(["truncate", "--size", String(ROOT_DISK_BYTES), disk]);
  // No journal, no checksums: every run starts from this same file and throws its changes away.
  const features = "^has_journal,^metadata_csum";
  await runCommand(["mke2fs", "-q", "-t", "ext4", "-O", features, "-m", "0", "-d", root, disk]);
}

/** Deletes a tree, but never what is mounted inside it. */
export async function removeTree(path: string): Promise<void> {
  await runCommand(["rm", "-rf", "--one-file-system", "--", path]);
}

/** Builds into the empty directory `into`; `report` hears of each stage. */
export async function buildGuestFiles(into: string, report: (stage: string) => void): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error("building the guest's image needs root");
  const root = join(into, "root");
  const kept = join(into, "modules");
  report("installing Debian into the guest's root (25 to 100 s)");
  await installRoot(root);
  const version = readdirSync(join(root, "usr/lib/modules"))[0];
  if (version === undefined) throw new Error("the guest's root has no kernel");
  report(`packing kernel ${version}`);
  await extractVmlinux(join(root, `boot/vmlinuz-${version}`), into);
  await runCommand(["depmod", "-b", root, version]);
  await pickModules(root, version, kept);
  await packInitrd(root, kept, version, into);
  report("making the guest's disk");
  await makeRootDisk(root, kept, into);
  await removeTree(root);
  await removeTree(kept);
}
