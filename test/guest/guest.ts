/** @module The guest harness: Debian's kernel in QEMU as an unmodified backup server. See README.md in this folder. */

export { ensureGuestImage, type GuestImage, guestObstacle, missingGuestPackages } from "./image.ts";
export {
  describeResult,
  type GuestJob,
  type GuestResult,
  HOST_FROM_GUEST,
  type RunningGuest,
  runGuest,
} from "./run.ts";
