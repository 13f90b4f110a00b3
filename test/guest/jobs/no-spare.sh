# One tar stream to a tape whose drive breaks in the middle with nothing to go on with: tar fails, the kernel tells the
# drive's own sense, and READ POSITION tells what is on the tape.
#   PORT       of the target on the host's loopback
#   MEGABYTES  of data, default 64 (the guest needs that much memory and 400 MB more)
#   SENSE      extended regular expression: the drive's sense as the kernel words it
# Marks for the host, a line each: `GUEST-MARK record MD5` of each record in order that tar would write, `GUEST-MARK tar-bytes
# N` every 8 MiB, `GUEST-MARK tar-failed STATUS`, `GUEST-MARK position FIRST LAST BUFFERED` by READ POSITION.
. /host/lib.sh
export MEGABYTES=${MEGABYTES:-64} SENSE
export WORK=/tmp/work RECORD_BYTES=262144 CHECKPOINT_RECORDS=32
mkdir -p $WORK

step login 60 'iscsi_login "$HOST" "$PORT"'
find_devices
step generate 600 'compressible_tree $WORK/tree $MEGABYTES'
# tar makes the same stream of the same tree each time.
step digest 300 'tar -c -b 512 -f - -C $WORK tree | split -b $RECORD_BYTES --filter="md5sum | cut -c1-32" - >$WORK/records
  while read -r md5; do mark "record $md5"; done <$WORK/records'
step load 120 'mtx -f $CHANGER_SG load 1 0; mt -f $TAPE rewind; mt -f $TAPE setblk 0'
step tar-fails 1200 'status=0
  tar -c -b 512 -f $TAPE --checkpoint=$CHECKPOINT_RECORDS \
    --checkpoint-action=exec="echo GUEST-MARK tar-bytes \$((TAR_CHECKPOINT * RECORD_BYTES)) >&3" -C $WORK tree 2>$WORK/said || status=$?
  mark "tar-failed $status"
  has "Cannot (write|close).*Input/output error" <$WORK/said'
step own-sense 10 'dmesg | has "Sense Key : Hardware Error.*deferred"; dmesg | has "Add. Sense: $SENSE"'
step position 60 'sg_raw -o $WORK/position -r 20 $TAPE_SG 34 00 00 00 00 00 00 00 00 00 2>&1
  read -r flags first last buffered < <(perl -e "local \$/; print join q( ), (unpack q(C x3 N N N), <STDIN>), qq(\n)" <$WORK/position)
  expect "position known" 0 $((flags & 4))
  expect "mt tell" $first "$(tape_tell)"
  mark "position $first $last $buffered"'
step logout 60 iscsi_logout
finish
