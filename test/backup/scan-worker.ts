/** @module A Worker that scans, for scan.test.ts. */
import { runScanWorker, type ScanScope } from "../../src/backup/scan/desk.ts";

declare const self: ScanScope;

runScanWorker(self);
