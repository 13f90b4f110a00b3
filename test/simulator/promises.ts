/** @module What must hold whatever happens: a broken promise ends the run. */

export class PromiseBroken extends Error {
  override readonly name = "PromiseBroken";
}

export function check(holds: boolean, what: string): void {
  if (!holds) throw new PromiseBroken(what);
}
