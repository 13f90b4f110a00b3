/** @module Assertions are for bugs: what the world can do is a value, never an assertion. */

export class AssertionFailure extends Error {
  override readonly name = "AssertionFailure";
}

export function assert(holds: boolean, what: string): asserts holds {
  if (!holds) throw new AssertionFailure(what);
}

/** The value, which cannot be missing here. */
export function present<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) throw new AssertionFailure(`${what} is missing`);
  return value;
}

/** Makes the compiler check that a union was handled whole. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`not a case of its union: ${JSON.stringify(value)}`);
}
