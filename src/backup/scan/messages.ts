/** @module What the scan and its Workers say to each other. Lists of names and batches go by transfer. */

/** What a Worker must know of a whole scan; goes to each Worker once. */
export interface ScanRules {
  /** The sources' absolute paths, without the leading slash, in order. */
  readonly roots: readonly Uint8Array[];
  /** Patterns of what is left out (patterns.ts). */
  readonly exclude: readonly string[];
  /** Leaves out what is in a directory with a valid CACHEDIR.TAG: the directory and the tag stay. */
  readonly excludeCaches: boolean;
  /** Leaves out larger files. */
  readonly sizeMaxBytes: number | null;
  /** Leaves out what has the nodump flag. */
  readonly honourNodump: boolean;
  /** A directory of another file system is listed, but not what is in it. */
  readonly oneFileSystem: boolean;
  /** Device numbers of file systems that hold no files of their own, with their types: listed, never entered. */
  readonly pseudo: ReadonlyMap<number, string>;
  /** Directories that are left out whole: the stores. */
  readonly stores: readonly DirectoryIdentity[];
}

export interface DirectoryIdentity {
  readonly device: number;
  readonly inodeHigh: number;
  readonly inodeLow: number;
}

/** A source, or names of a directory that another Worker gives away. */
export interface ScanJob {
  readonly id: number;
  /** Number of the source in the rules. */
  readonly root: number;
  /** The source's file system; -1 as long as nobody knows. */
  readonly rootDevice: number;
  /** null: the source itself. */
  readonly share: {
    /** Path of the directory. */
    readonly path: Uint8Array;
    readonly device: number;
    /** [type, name, NUL]..., in order. */
    readonly names: Uint8Array;
  } | null;
}

export type ScanOrder =
  | {
      readonly type: "scanRules";
      readonly rules: ScanRules;
      readonly hungry: SharedArrayBuffer;
      readonly worker: number;
    }
  | { readonly type: "scanJob"; readonly job: ScanJob };

export interface ScanCounters {
  files: number;
  directories: number;
  symlinks: number;
  /** Fifos, sockets and devices. */
  specials: number;
  /** Sum of the files' sizes, each name of a hard-linked file for itself. */
  bytes: number;
  /** What could not be read. */
  errors: number;
  /** Entries left out by a rule; what is below them is not counted. */
  skipped: number;
  /** Gone between the directory's list and the look at it. */
  vanished: number;
}

export interface ScanRemark {
  /** As in Entry: absolute, without the leading slash. */
  readonly path: Uint8Array;
  readonly text: string;
}

export type ScanNotice =
  /** The next records of a job. */
  | { readonly type: "scanBatch"; readonly job: number; readonly records: Uint8Array }
  /** Another job's records come here. */
  | { readonly type: "scanSeam"; readonly job: number; readonly other: number }
  /** A job for whoever is idle. */
  | { readonly type: "scanShare"; readonly job: ScanJob }
  | { readonly type: "scanError"; readonly remark: ScanRemark }
  /** Left out, and the operator should know. */
  | { readonly type: "scanNote"; readonly remark: ScanRemark }
  | { readonly type: "scanDone"; readonly job: number; readonly counters: ScanCounters };

export const noCounters = (): ScanCounters => ({
  files: 0,
  directories: 0,
  symlinks: 0,
  specials: 0,
  bytes: 0,
  errors: 0,
  skipped: 0,
  vanished: 0,
});
