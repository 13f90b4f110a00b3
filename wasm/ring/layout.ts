/** @module Where everything lies in one directing device's shared memory: read by both compilers
 *  (AssemblyScript and Bun), so plain numeric constants only, all in bytes from the memory's start.
 *
 *      0        static data of the WASM modules (wasm/bases.ts)
 *      64 KiB   control page: one 64-byte line a word, so that no two writers share a cache line
 *      68 KiB   order mailbox: what the front Worker asks of the coupled drive
 *      72 KiB   history: the last blocks that a drive took, to be verified after a switch
 *      128 KiB  scratch: iovecs of the cache Worker
 *      1 MiB    parity strips being written
 *      8 MiB    read buffer: a block read from the drive, on its way to the host
 *      24 MiB   replay buffer: journal read back from the cache, on its way to the drive
 *      64 MiB   the ring: the newest part of the journal, entry at RING + (J mod ringBytes)
 */

export const CONTROL: i32 = 65536;
export const ORDER: i32 = 69632;
export const ORDER_BYTES: i32 = 4096;
/** The last blocks that a drive took: HISTORY_ENTRIES pairs of (J, position) as f64, at index `HISTORY_NEXT mod entries`. */
export const HISTORY_NEXT: i32 = 73728;
export const HISTORY: i32 = 73792;
export const HISTORY_ENTRIES: i32 = 64;
export const CACHE_IOVECS: i32 = 131072;
export const CACHE_IOVECS_BYTES: i32 = 131072;
export const PARITY: i32 = 1048576;
export const PARITY_BYTES: i32 = 7340032;
export const READ: i32 = 8388608;
export const READ_BYTES: i32 = 16777216;
export const REPLAY: i32 = 25165824;
export const REPLAY_BYTES: i32 = 41943040;
export const RING: i32 = 67108864;

// --- geometry, set once before any Worker starts (i64) ---
export const RING_BYTES: i32 = 65536;
export const STRIPE_BYTES: i32 = 65600;
export const CACHE_BYTES: i32 = 65664;

// --- cursors: journal offsets J (i64), each with exactly one writing thread ---
/** Front: places handed out up to here. */
export const RESERVED: i32 = 65728;
/** Front: every entry before it is complete and sealed. The mark `received`. */
export const RECEIVED: i32 = 65792;
/** Cache Worker: strips and parity before it were written to the members. */
export const CACHED: i32 = 65856;
/** Cache Worker: ... and fdatasync returned on every surviving member. The mark `cached`. */
export const DURABLE: i32 = 65920;
/** The coupled drive's Worker: the drive answered GOOD to every entry before it. */
export const TAKEN: i32 = 65984;
/** The coupled drive's Worker: the drive confirmed every entry before it on the medium. The mark `on tape`. */
export const ON_TAPE: i32 = 66048;
/** Cache Worker: journal before it may be overwritten on the members (last durable checkpoint). */
export const CHECKPOINT: i32 = 66112;
/** Front: sequence number of the next entry. */
export const SEQUENCE: i32 = 66176;

// --- what the front waits for (i64; 0: nothing): the other Workers wake it only then ---
export const WANT_ROOM: i32 = 66240;
export const WANT_DURABLE: i32 = 66304;
export const WANT_ON_TAPE: i32 = 66368;

// --- states (i32) ---
/** FOLLOWER_* below: where the drive's reader takes entries from. Writers: drive Worker, director. */
export const FOLLOWER: i32 = 66432;
/** CACHE_* below. Writer: cache Worker. */
export const CACHE_STATE: i32 = 66496;
/** FLOW_* below. Writer: director. */
export const FLOW: i32 = 66560;
/** Bytes a second the host may send while FLOW is reduced (f64). Writer: director. */
export const FLOW_RATE: i32 = 66624;
/** Index of the coupled drive, -1: none. Writer: director. */
export const COUPLED: i32 = 66688;
/** 1 while the Worker sleeps and wants a wake-up by its eventfd. */
export const CACHE_SLEEPS: i32 = 66816;
export const DRIVE_SLEEPS: i32 = 66880;
/** J up to which the sleeping cache / drive Worker has nothing to do (i64). */
export const CACHE_WAITS_FOR: i32 = 66944;
export const DRIVE_WAITS_FOR: i32 = 67008;
/** eventfd numbers (i32). */
export const FRONT_EVENTFD: i32 = 67072;
export const CACHE_EVENTFD: i32 = 67136;
export const DRIVE_EVENTFD: i32 = 67200;

// --- figures for people (f64), each with one writer ---
export const HOST_BYTES: i32 = 67264;
export const DRIVE_BYTES: i32 = 67328;
export const CACHE_WRITTEN_BYTES: i32 = 67392;
export const DRIVE_IDLE_MS: i32 = 67456;
/** Longest time (ms) that one command of the host waited for its answer. */
export const HOST_STALL_MS_MAX: i32 = 67520;
/** Milliseconds since when the drive Worker is inside a call (0: it is not). */
export const DRIVE_CALL_SINCE_MS: i32 = 67648;
/** Drive Worker, together with ON_TAPE: logical object number behind the last confirmed entry (i64). */
export const ON_TAPE_POSITION: i32 = 67712;
/** Drive Worker: logical object number at which the coupled drive stands (i64). */
export const DRIVE_POSITION: i32 = 67776;
/** Drive Worker: entries carried out (i64), for the ledger in blocks. */
export const DRIVE_BLOCKS: i32 = 67840;
/** Front: blocks published (i64). */
export const HOST_BLOCKS: i32 = 67904;
/** Front: 1 while a GOOD of a filemark was given on the cache's word alone (owed until on tape). J of the newest (i64). */
export const OWED: i32 = 67968;
/** Drive Worker: sequence number of the entry at ON_TAPE; -1 while the two are being changed (i64). */
export const ON_TAPE_SEQUENCE: i32 = 68032;
/** Front: image that new entries belong to (i64). */
export const IMAGE: i32 = 68096;
/** Drive Worker: it may not cut the tape before CHECKPOINT has come here (i64). */
export const WANT_CHECKPOINT: i32 = 68160;
/** Front: where the loaded cartridge's image began in the journal, at position 0 (i64; -1: the journal does not hold it
 *  from its beginning), and that entry's sequence number: the front sets the first to -1 before it changes the second. */
export const IMAGE_START: i32 = 68224;
export const IMAGE_START_SEQUENCE: i32 = 68288;
/** Director: grows when a drive is given up; a follower of an earlier number moves no cursor any more (i32). */
export const FOLLOW_EPOCH: i32 = 68352;
/** Drive Worker: how long the call that it is in may take (ms, f64). */
export const DRIVE_CALL_LIMIT_MS: i32 = 68416;
/** Director: offset in the ring, and length, of what a hung drive's call may still read (i64; length 0: nothing). */
export const HUNG_AT: i32 = 68480;
export const HUNG_BYTES: i32 = 68544;
export const CONTROL_END: i32 = 68608;

export const FOLLOWER_NONE: i32 = 0;
export const FOLLOWER_RING: i32 = 1;
export const FOLLOWER_DISK: i32 = 2;

export const CACHE_NONE: i32 = 0;
export const CACHE_HEALTHY: i32 = 1;
export const CACHE_DEGRADED: i32 = 2;
export const CACHE_LOST: i32 = 3;

export const FLOW_NORMAL: i32 = 0;
export const FLOW_SUSPENDED: i32 = 1;
export const FLOW_REDUCED: i32 = 2;
export const FLOW_BUSY: i32 = 3;
export const FLOW_REPORT: i32 = 4;

// --- journal entry: a 512-byte header, then the data, padded to 512 (docs/FORMATS.md) ---
export const ENTRY_HEADER_BYTES: i32 = 512;
export const ENTRY_ALIGN: i32 = 512;
/** "UJE1" read as a little-endian u32. */
export const ENTRY_MAGIC: i32 = 0x31454a55;
export const ENTRY_MAGIC_AT: i32 = 0;
export const ENTRY_KIND_AT: i32 = 4;
export const ENTRY_FLAGS_AT: i32 = 5;
export const ENTRY_OFFSET_AT: i32 = 8;
export const ENTRY_SEQUENCE_AT: i32 = 16;
export const ENTRY_IMAGE_AT: i32 = 24;
export const ENTRY_POSITION_AT: i32 = 32;
export const ENTRY_DATA_BYTES_AT: i32 = 40;
export const ENTRY_COUNT_AT: i32 = 44;
export const ENTRY_BLOCK_BYTES_AT: i32 = 48;
export const ENTRY_FILE_NUMBER_AT: i32 = 52;
export const ENTRY_BYTES_AT: i32 = 56;
export const ENTRY_RECEIVED_MS_AT: i32 = 64;
export const ENTRY_ON_TAPE_AT: i32 = 72;
export const ENTRY_DATA_HASH_AT: i32 = 80;
export const ENTRY_HEADER_HASH_AT: i32 = 88;
export const ENTRY_HASHED_BYTES: i32 = 88;

export const KIND_BLOCK: i32 = 1;
export const KIND_FILEMARKS: i32 = 2;
export const KIND_PAD: i32 = 3;
// 4 and 5 are kept free (docs/adr/0002).

/** Flag of KIND_FILEMARKS: the drive must synchronise before it answers (immed = 0). */
export const FLAG_SYNCHRONIZE: i32 = 1;

// --- order mailbox: one foreground command for the coupled drive (reads and movements) ---
export const ORDER_SEQUENCE: i32 = 69632;
export const ORDER_DONE: i32 = 69696;
/** CDB of 16 bytes as the host's unit decoded and rebuilt it. */
export const ORDER_CDB: i32 = 69760;
export const ORDER_DATA_BYTES: i32 = 69792;
/** Fixed block length (bytes) that the drive must be set to for this CDB; 0: variable. */
export const ORDER_BLOCK_BYTES: i32 = 69796;
/** Memory offset where data-in goes. */
export const ORDER_DATA_AT: i32 = 69800;
export const ORDER_STATUS: i32 = 69824;
export const ORDER_TRANSFERRED: i32 = 69828;
export const ORDER_SENSE_BYTES: i32 = 69832;
/** After the command: logical object number, file number, remaining and total native bytes (f64; -1: unknown). */
export const ORDER_POSITION: i32 = 69840;
export const ORDER_FILE_NUMBER: i32 = 69848;
export const ORDER_REMAINING: i32 = 69856;
export const ORDER_CAPACITY: i32 = 69864;
/** Where the drive must stand before the command (f64; -1: anywhere). */
export const ORDER_BEFORE: i32 = 69872;
export const ORDER_SENSE: i32 = 69888;
/** Status word of ORDER_STATUS when the drive could not be reached at all. */
export const ORDER_UNREACHABLE: i32 = 256;
