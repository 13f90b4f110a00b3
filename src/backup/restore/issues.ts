/** @module What did not go as it should, file by file; nothing of it is silent, and nothing of it ends a restore. */

import type { Entry } from "../entry.ts";

/** "damaged": the backup's bytes are not what was written. "unreadable": it could not be read when it was backed up.
 *  "exists": something else stands there, and the policy leaves it. "failed": the system refused. "attribute": the
 *  content is there, but not all of its attributes. */
export const ISSUE_KINDS = ["damaged", "unreadable", "exists", "failed", "attribute"] as const;
export type IssueKind = (typeof ISSUE_KINDS)[number];

export interface Issue {
  readonly kind: IssueKind;
  /** As in the backup: bytes, without the leading slash. */
  readonly path: Uint8Array;
  readonly text: string;
}

export type IssueCounts = Record<IssueKind, number>;

export function noIssues(): IssueCounts {
  return { damaged: 0, unreadable: 0, exists: 0, failed: 0, attribute: 0 };
}

/** Keeps the first ones of each kind, counts all: a restore by somebody who is not root has one a file. Damage is
 *  always named. */
export class IssueList {
  readonly counts: IssueCounts = noIssues();
  readonly kept: Issue[] = [];

  constructor(private readonly keptMax: number) {}

  add(kind: IssueKind, path: Uint8Array, pathBytes: number, text: string): void {
    const count = ++this.counts[kind];
    if (count <= this.keptMax || kind === "damaged")
      this.kept.push({ kind, path: path.slice(0, pathBytes), text });
  }

  /** The same of an entry; bound to this list. */
  readonly addOf = (kind: IssueKind, entry: Entry, text: string): void =>
    this.add(kind, entry.path, entry.pathBytes, text);

  /** What was kept since the last call. */
  take(): Issue[] {
    return this.kept.splice(0);
  }
}
