# One long tar stream to tape, so that the host's test can break a drive in the middle; then all of it is compared.
#   PORT       of the target on the host's loopback
#   MEGABYTES  of data, default 300 (the guest needs that much memory and 400 MB more)
#   LABEL      of the archive
#   SLOT       storage element of the cartridge, default 1
# Marks for the host, a line each: `GUEST-MARK tar-stream FILE MD5 BYTES SKIPPED` of what tape files 0 and 1 are to
# hold (the first SKIPPED bytes are not in the sum: a label holds the time), `GUEST-MARK tar-started`, `GUEST-MARK
# tar-bytes N` every 8 MiB, `GUEST-MARK tar-written`, `GUEST-MARK tar-compared`.
. /host/lib.sh
export MEGABYTES=${MEGABYTES:-300} LABEL=${LABEL:-understudy} SLOT=${SLOT:-1}
export WORK=/tmp/work RECORD_BYTES=262144 CHECKPOINT_RECORDS=32
mkdir -p $WORK

step login 60 'iscsi_login "$HOST" "$PORT"'
find_devices
step generate 600 'compressible_tree $WORK/tree $MEGABYTES'
# tar makes the same stream of the same tree each time.
digest() { # FILE SKIPPED TAR-ARGUMENTS...
  local file=$1 skipped=$2
  shift 2
  tar -c -b 512 -f - "$@" | tee >(wc -c >$WORK/bytes) | tail -c +$((skipped + 1)) | md5sum >$WORK/md5
  while [ ! -s $WORK/bytes ]; do sleep 0.1; done
  mark "tar-stream $file $(cut -d' ' -f1 $WORK/md5) $(cat $WORK/bytes) $skipped"
  rm $WORK/bytes
}
export -f digest
step digest 300 'digest 0 512 -V "$LABEL" -C $WORK tree; digest 1 0 -C $WORK/tree small'
step load 120 'mtx -f $CHANGER_SG load $SLOT 0; mt -f $TAPE rewind; mt -f $TAPE setblk 0'
mark tar-started
start=$(uptime_seconds)
step tar-write 1200 'tar -c -b 512 -V "$LABEL" -f $TAPE --checkpoint=$CHECKPOINT_RECORDS \
    --checkpoint-action=exec="echo GUEST-MARK tar-bytes \$((TAR_CHECKPOINT * RECORD_BYTES)) >&3" -C $WORK tree'
mark tar-written
echo "$MEGABYTES MB in $(elapsed_since "$start") s"
step second-file 120 'tar -c -b 512 -f $TAPE -C $WORK/tree small; expect_at 2 0'
step rewind 120 'mt -f $TAPE rewind; expect_at 0 0'
step label 60 'tar --test-label -b 512 -f $TAPE | has "^$LABEL\$"; mt -f $TAPE rewind'
step tar-compare 1200 'tar -d -b 512 -f $TAPE -C $WORK'
mark tar-compared
step second-compare 120 'mt -f $TAPE rewind; mt -f $TAPE fsf 1; expect_at 1 0; tar -d -b 512 -f $TAPE -C $WORK/tree'
step end-of-data 60 'mt -f $TAPE rewind; mt -f $TAPE eod; expect "file number" 2 "$(tape_file)"'
step unload 120 'mt -f $TAPE offline; mtx -f $CHANGER_SG unload $SLOT 0'
step dmesg 10 dmesg_clean
step logout 60 iscsi_logout
finish
