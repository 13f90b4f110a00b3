/** @module Exit codes, the same for every command; `understudy --help` lists them. */

export const EXIT = {
  done: 0,
  /** The command was understood and carried out, and failed. */
  failed: 1,
  /** The command line or the configuration is wrong. */
  misused: 2,
  /** No server answers at that address. */
  unreachable: 3,
  /** The server stopped with data that is not on tape: the cache keeps it for the next start. */
  notOnTape: 4,
  /** The start was refused: a port or the state directory is in use, a cache file is foreign. */
  refused: 5,
  /** `doctor` found nothing that keeps the server from starting, but something that may go wrong. */
  doubtful: 6,
  /** Done, but not all of it: files that could not be read or restored, or that are damaged, are listed. */
  partial: 7,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_HELP = `
Exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 no server answers,
4 stopped with data that is not on tape (the cache keeps it), 5 start refused (port or state directory in use),
6 doctor has warnings, 7 done in part: the files that are missing or damaged are listed.`;

/** Ends a command: one line for standard error, and the code. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}
