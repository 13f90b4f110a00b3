/** A restore in a process of its own, to be killed: archive, number of the backup, its root, target. */
import { openBackup, restoreTo, spawnFrom } from "../../src/backup/restore/testing.ts";

const [archive = "", number = "", root = "", target = ""] = process.argv.slice(2);
const backup = openBackup(archive, Number(number), [{ path: Buffer.from(root.slice(1)), isDirectory: true }]);
process.stdout.write("begins\n");
const ports = { spawn: spawnFrom(new URL("restore-worker.ts", import.meta.url)) };
const report = await restoreTo(backup, target, { workers: 2 }, ports);
process.stdout.write(`${report.outcome} ${report.made} ${report.same}\n`);
process.exit(report.outcome === "done" ? 0 : 7);
