# What the guest jobs share: checked steps with a time limit, the iSCSI login, questions about the tape.
# Sourced by each job; every function is exported, since a step's commands run in a bash of their own.
export TAPE=${TAPE:-/dev/nst0}

# A step's output is kept for the case that it fails; what the host must hear at once goes to descriptor 3.
exec 3>&1

# step NAME SECONDS COMMANDS: runs COMMANDS (bash text; any failing command fails the step). The first step that fails
# ends the job, with its name and output; with KEEP_GOING=1 the job goes on and `finish` fails it. Steps listed in
# SKIP_STEPS (names, spaces between) are passed over: for targets that are known to lack something.
FAILED_STEPS=
step() {
  local name=$1 seconds=$2 commands=$3 start output status
  case " ${SKIP_STEPS:-} " in *" $name "*)
    echo "skip $name"
    return 0
    ;;
  esac
  start=$(uptime_seconds)
  # KILL after TERM: btape ignores TERM, and a process inside the tape driver may not hear it at all.
  output=$(timeout -k 5 "$seconds" bash -euo pipefail -c "$commands" 2>&1 </dev/null)
  status=$?
  printf '%s %s [%s s]\n' "$([ $status = 0 ] && echo 'ok  ' || echo 'FAIL')" "$name" "$(elapsed_since "$start")"
  [ $status = 0 ] && { [ -z "${VERBOSE:-}" ] || printf '%s\n' "$output" | sed 's/^/     | /'; return 0; }
  printf '%s\n' "$output" | sed 's/^/     | /'
  dmesg | tail -8 | sed 's/^/     dmesg| /'
  echo "GUEST-FAILED step $name: status $status"
  FAILED_STEPS="$FAILED_STEPS $name"
  [ -n "${KEEP_GOING:-}" ] || exit 1
}

# finish: the job's last line.
finish() {
  [ -n "$FAILED_STEPS" ] && echo "GUEST-FAILED steps:$FAILED_STEPS" && exit 1
  echo "GUEST-PASSED"
  exit 0
}

uptime_seconds() { cut -d' ' -f1 /proc/uptime; }
elapsed_since() { awk -v now="$(uptime_seconds)" -v start="$1" 'BEGIN { printf "%.2f", now - start }'; }

# mark WORDS: a line that the host's test waits for.
mark() { echo "GUEST-MARK $*" >&3; }

# await_host NAME [SECONDS]: waits until the host's test calls guest.signal(NAME).
await_host() {
  local n
  for n in $(seq $((${2:-120} * 10))); do
    [ -e "/host/signal-$1" ] && return 0
    sleep 0.1
  done
  echo "the host did not signal $1"
  return 1
}

# expect WHAT WANTED GOT
expect() {
  [ "$2" = "$3" ] && return 0
  echo "$1: wanted '$2', got '$3'"
  return 1
}

# refused COMMAND...: succeeds when the command fails (a mere `!` would go unnoticed in the middle of a step).
refused() {
  "$@" || return 0
  echo "should have failed: $*"
  return 1
}

# has EXTENDED-REGEXP: the input has such a line. It reads all of its input: `grep -q` would break the writer's pipe.
has() {
  local text
  text=$(cat)
  grep -Eq -e "$1" <<<"$text" && return 0
  printf "no '%s' in:\n%s\n" "$1" "$text"
  return 1
}

# iscsi_login HOST PORT: a session with open-iscsi, without systemd; waits for a tape and a changer. A lost connection
# fails commands after RECONNECT_SECONDS (open-iscsi's own default, 120, when unset).
iscsi_login() {
  printf 'InitiatorName=%s\n' "${INITIATOR:-iqn.2026-01.test:guest}" >/etc/iscsi/initiatorname.iscsi
  modprobe -a iscsi_tcp st sg ch
  mkdir -p /run/lock/iscsi
  sed -i 's/^node.startup = .*/node.startup = manual/; s/^iscsid.startup.*//' /etc/iscsi/iscsid.conf
  pidof iscsid >/dev/null || iscsid </dev/null >/dev/null 2>&1
  # The target names its own idea of its address: only the name is taken, the node record is made by hand.
  local target
  target=${TARGET:-$(iscsiadm -m discovery -t st -p "$1:$2" -o nonpersistent | awk 'NR == 1 { print $2 }')}
  [ -n "$target" ] || { echo "discovery found no target"; return 1; }
  iscsiadm -m node -o new -T "$target" -p "$1:$2"
  [ -z "${RECONNECT_SECONDS:-}" ] || iscsiadm -m node -o update -T "$target" -p "$1:$2" \
    -n node.session.timeo.replacement_timeout -v "$RECONNECT_SECONDS"
  iscsiadm -m node -T "$target" -p "$1:$2" -l
  for _ in $(seq 100); do
    [ -e /dev/nst0 ] && ls /dev/sch0 >/dev/null 2>&1 && break
    sleep 0.1
  done
  udevadm settle -t 10 || true
}

iscsi_logout() { iscsiadm -m node -u; }

# find_devices: sets TAPE_SG and CHANGER_SG, the generic devices of the first drive and of the changer.
find_devices() {
  TAPE_SG=$(lsscsi -g | awk '$2 == "tape" { print $NF; exit }')
  CHANGER_SG=$(lsscsi -g | awk '$2 == "mediumx" { print $NF; exit }')
  export TAPE_SG CHANGER_SG
}

# Where the tape is, as mt says: file number and block number.
tape_file() { mt -f "$TAPE" status | sed -n 's/^File number=\(-\?[0-9]*\),.*/\1/p'; }
tape_block() { mt -f "$TAPE" status | sed -n 's/^File number=.*block number=\(-\?[0-9]*\),.*/\1/p'; }
tape_tell() { mt -f "$TAPE" tell | sed -n 's/^At block \([0-9]*\)\.$/\1/p'; }
expect_at() { # FILE BLOCK
  expect "file number" "$1" "$(tape_file)"
  expect "block number" "$2" "$(tape_block)"
}

# filemark_immediate: one filemark that does not wait for the medium (IMMED=1), as `mt weofi` of later releases.
filemark_immediate() {
  perl -e '
    my ($MTIOCTOP, $MTWEOFI) = (0x40086d01, 35);
    open my $tape, "+<", $ENV{TAPE} or die "open: $!";
    ioctl $tape, $MTIOCTOP, pack("s x2 i", $MTWEOFI, 1) or die "MTWEOFI: $!";'
}

# tape_flag NAME: whether mt reports a condition such as BOT, EOF, EOD, ONLINE.
tape_flag() {
  local status
  status=$(mt -f "$TAPE" status)
  case " ${status##*$'\n'} " in *" $1 "*) return 0 ;; esac
  echo "the tape is not at $1: $status"
  return 1
}

# Kernel messages that a healthy tape never causes.
DMESG_BAD='Sense Key|st[0-9]+: (Error|Failed|Can.t)|I/O error|conn(ection)?[0-9:]* error|timed out|timing out|abort|rejecting I/O|FAILED Result|offlined|Call Trace|BUG:'

# dmesg_clean [EXTENDED-REGEXP]: no such message, those matching the argument excepted.
dmesg_clean() {
  local bad
  bad=$(dmesg | grep -E "$DMESG_BAD" | grep -vE "${1:-^$}" || true)
  expect "kernel messages" "" "$bad"
}

# compressible_tree DIRECTORY MEGABYTES: files large and small, half noise and half text, some links and a hole.
compressible_tree() {
  local directory=$1 megabytes=$2 part n
  mkdir -p "$directory/small/deep"
  part=$((megabytes / 4))
  for n in 1 2; do
    head -c $((part * 1048576)) /dev/urandom >"$directory/noise$n"
    head -c $((part * 1048576)) >"$directory/text$n" < <(yes "line of text that compresses well, part $n of the tree")
  done
  for n in $(seq 60); do head -c $((n * 317)) /dev/urandom >"$directory/small/deep/file$n"; done
  ln -s deep/file1 "$directory/small/link"
  ln "$directory/small/deep/file2" "$directory/small/hard"
  truncate -s 3M "$directory/small/hole"
  : >"$directory/small/empty"
}

export DMESG_BAD
export -f uptime_seconds elapsed_since mark await_host expect refused has iscsi_login iscsi_logout find_devices tape_file tape_block \
  tape_tell expect_at filemark_immediate tape_flag dmesg_clean compressible_tree
