/** @module From what the kernel says to the outcomes that archives know. */
import { ENOSPC, errorText } from "../../base/ffi.ts";
import type { Damaged, IoError, WriteFault } from "./types.ts";

const EDQUOT = 122;

export function damaged(text: string): Damaged {
  return { kind: "damaged", text };
}

/** `result`: -errno. */
export function ioError(result: number, doing: string): IoError {
  return { kind: "ioError", errno: -result, text: `${doing}: ${errorText(result)}` };
}

export function writeFault(result: number, doing: string): WriteFault {
  if (result === -ENOSPC || result === -EDQUOT)
    return { kind: "noSpace", text: `${doing}: ${errorText(result)}` };
  return ioError(result, doing);
}
