/** @module What `understudy demo [DIR] [--json]` was asked to do. */

export interface DemoRequest {
  /** The directory that is backed up. */
  readonly directory: string;
  /** One JSON object as the last line, nothing else on standard output. */
  readonly json: boolean;
  readonly terminal: boolean;
}
