/** @module What the command line stands on: passed in by main.ts, since the server and the library's readers live on
 *  other floors. */
import type { DemoRequest } from "./demo-request.ts";

export interface ServeRequest {
  /** Path of understudy.toml; null: defaults. */
  readonly configFile: string | null;
  /** These win over the file. */
  readonly stateDirectory: string | null;
  readonly iscsi: Endpoint | null;
  readonly http: Endpoint | null;
  /** Messages and the ready line as JSON. */
  readonly json: boolean;
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** One logical unit as an initiator finds it. */
export interface UnitLine {
  readonly lun: number;
  readonly kind: "drive" | "changer" | "testDisk";
  readonly name: string;
  readonly serial: string;
}

/** What `serve` prints once the server takes connections. */
export interface ReadyFacts {
  readonly version: string;
  readonly stateDirectory: string;
  readonly iscsi: Endpoint;
  readonly targetName: string;
  readonly httpUrl: string;
  readonly units: readonly UnitLine[];
  readonly barcodes: readonly string[];
  /** Sentences to be shown: a cache without O_DIRECT, a journal that was drained, ... */
  readonly notes: readonly string[];
}

/** What was left behind when the server stopped. */
export interface StopReport {
  readonly device: string;
  readonly bytesNotOnTape: number;
  readonly blocksNotOnTape: number;
}

export interface RunningServer {
  readonly ready: ReadyFacts;
  /** Drains, then stops. Resolves with what is not on tape (nothing: empty list). */
  drainAndStop(): Promise<readonly StopReport[]>;
  /** What would be left behind if it ended now; quick, does not wait. */
  notOnTape(): readonly StopReport[];
  /** Settles when the server ends by itself: a Worker is gone. */
  readonly failed: Promise<string>;
}

export type StartOutcome =
  | { readonly kind: "running"; readonly server: RunningServer }
  /** Bad configuration: every fault, one a line, as "FILE: key: what was expected". */
  | { readonly kind: "misconfigured"; readonly lines: readonly string[] }
  /** Taken port, directory in use, foreign cache file: what, where, what to do. */
  | { readonly kind: "refused"; readonly text: string };

export interface CartridgeFacts {
  readonly kind: "cartridge";
  readonly path: string;
  readonly barcode: string;
  readonly serial: string;
  readonly capacityBytes: number;
  readonly usedBytes: number;
  readonly blocks: number;
  readonly filemarks: number;
  readonly writeProtected: boolean;
}

export type CartridgeRecord =
  | { readonly kind: "block"; readonly position: number; readonly data: Uint8Array }
  | { readonly kind: "filemark"; readonly position: number };

export type CartridgeFault = { readonly kind: "fault"; readonly text: string };

export interface CartridgeChange {
  readonly configFile: string | null;
  readonly stateDirectory: string | null;
  readonly action: "add" | "export" | "import";
  /** null: the next one (add only). */
  readonly barcode: string | null;
  /** null: as the settings say. */
  readonly megabytes: number | null;
  /** Kept for one that fails, seen by no server (add only). */
  readonly isSpare: boolean;
}

export type CartridgeChangeOutcome =
  | { readonly kind: "done"; readonly text: string }
  | { readonly kind: "failed"; readonly text: string }
  | { readonly kind: "misconfigured"; readonly lines: readonly string[] }
  /** A server has the library, or there is none here; `url`: where the settings say that a server's API is. */
  | { readonly kind: "elsewhere"; readonly why: string; readonly url: string | null };

/** Reads cartridge files of the documented format, without a server. */
export interface CartridgePort {
  /** All cartridges of a file or of a directory. */
  list(path: string): readonly (CartridgeFacts | CartridgeFault)[];
  /** The records in order; a fault ends it. `data` is valid until the next step. */
  read(path: string): Iterable<CartridgeRecord | CartridgeFault>;
  /** Changes the stock of a library that no server has. */
  change(change: CartridgeChange): Promise<CartridgeChangeOutcome>;
}

export interface DoctorRequest {
  readonly configFile: string | null;
  readonly stateDirectory: string | null;
}

/** "fault": the server would not start, or would not do what it promises. */
export type FindingLevel = "good" | "warning" | "fault";

export interface Finding {
  /** What was looked at. */
  readonly area: string;
  readonly level: FindingLevel;
  readonly text: string;
  /** What to do about it; "" where all is well. */
  readonly todo: string;
}

export interface DoctorReport {
  readonly worst: FindingLevel;
  readonly findings: readonly Finding[];
}

export interface CliPorts {
  readonly version: string;
  startServer(request: ServeRequest): Promise<StartOutcome>;
  cartridges(): Promise<CartridgePort>;
  /** Looks at a set-up; changes nothing. */
  doctor(request: DoctorRequest): Promise<DoctorReport>;
  /** Makes a Worker that does what its first message says (its role). */
  spawnWorker(name: string): Worker;
  /** Runs the demonstration; resolves with the exit code. */
  demo(request: DemoRequest): Promise<number>;
  readonly console: CliConsole;
}

/** Where a command writes and what it knows of its surroundings. */
export interface CliConsole {
  readonly out: (text: string) => void;
  /** false: the reader is gone. */
  readonly outBytes: (bytes: Uint8Array) => boolean;
  readonly err: (text: string) => void;
  /** Standard output is a terminal. */
  readonly terminal: boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Calls back at SIGINT / SIGTERM; returns the function that stops it. */
  onStopSignal(listener: (signal: string) => void): () => void;
}
