# What a backup server does with a library, each step checked: changer, positioning, tar, fixed and variable blocks.
#   PORT         of the target on the host's loopback
#   BLOCK_SIZES  of the variable-block test, rising, default below
#   SKIP_STEPS   names of steps that the target is known not to pass
#   ALSO_STEPS   steps beyond what every drive is asked for, which run only when named here: persistent-reservation
# Takes slots 1 and 2 of the library; both hold scratch cartridges.
. /host/lib.sh
export BLOCK_SIZES=${BLOCK_SIZES:-512 1001 10240 32768 64512 262144 1048576 8388608}
export WORK=/tmp/work
mkdir -p $WORK
for name in persistent-reservation; do
  case " ${ALSO_STEPS:-} " in *" $name "*) ;; *) SKIP_STEPS="${SKIP_STEPS:-} $name" ;; esac
done

# --- the library as the kernel and sg3-utils see it
step login 60 'iscsi_login "$HOST" "$PORT"'
find_devices
step devices 10 'lsscsi -g; test -c "$TAPE_SG"; test -c "$CHANGER_SG"; test -c /dev/nst0; test -c /dev/sch0'
step device-links 10 'ls /dev/tape/by-id/*-nst'
step inquiry 20 'for d in $TAPE_SG $CHANGER_SG; do sg_inq $d; done
  sg_inq $TAPE_SG | has "PDT=1 "; sg_inq $CHANGER_SG | has "PDT=8 "'
step vpd-pages 20 'for d in $TAPE_SG $CHANGER_SG; do
    sg_vpd -p 0x00 $d; sg_vpd -p 0x80 $d | has "serial number: *[^ ]"; sg_vpd -p 0x83 $d | has "[Dd]esignator"
  done'
step vpd-tape 20 'for p in 0xb0 0xb1 0xb2; do sg_vpd -p $p -H $TAPE_SG; done'
step report-luns 10 'sg_luns $TAPE_SG'
step mode-pages 20 'sg_modes -a $TAPE_SG; sg_modes -a $CHANGER_SG'
step opcodes 20 'sg_opcodes $TAPE_SG | has "^ *34 "'
step drive-identifiers 20 'serial=$(sg_vpd -p 0x80 $TAPE_SG | sed -n "s/.*serial number: *//p" | tr -d " ")
  sg_raw -r 4096 -o $WORK/elements $CHANGER_SG b8 14 00 00 ff ff 01 00 10 00 00 00
  grep -aqF "$serial" $WORK/elements'

# --- the changer
step mtx-inquiry 20 'mtx -f $CHANGER_SG inquiry | has "Medium Changer"'
step loaderinfo 20 'loaderinfo -f $CHANGER_SG'
step mtx-status 20 'mtx -f $CHANGER_SG status > $WORK/status; cat $WORK/status
  grep -q "Data Transfer Element 0:Empty" $WORK/status
  grep -Eq "Storage Element 1:Full :VolumeTag=[A-Z0-9]+" $WORK/status
  grep -Eq "Storage Element 2:Full :VolumeTag=[A-Z0-9]+" $WORK/status'
step mtx-transfer 60 'empty=$(sed -n "s/^ *Storage Element \([0-9]*\).*:Empty.*/\1/p" $WORK/status | head -1)
  test -n "$empty"
  mtx -f $CHANGER_SG transfer 2 $empty; mtx -f $CHANGER_SG status | has "Storage Element $empty.*:Full"
  mtx -f $CHANGER_SG transfer $empty 2; mtx -f $CHANGER_SG status | has "Storage Element 2:Full"'
# TEST UNIT READY, twice: the first may get a unit attention.
step empty-drive 20 'sg_raw $TAPE_SG 0 0 0 0 0 0 || true
  { sg_raw $TAPE_SG 0 0 0 0 0 0 2>&1 || true; } | has "[Mm]edium not present"'
step mtx-load 120 'mtx -f $CHANGER_SG load 1 0
  mtx -f $CHANGER_SG status | has "Data Transfer Element 0:Full \(Storage Element 1 Loaded\):VolumeTag ?= ?[A-Z0-9]+"'

# --- the drive
# st takes a tape for new, and at its beginning, when it hears of a medium change (28/00) after the load.
step medium-change 60 'mt -f $TAPE status; tape_flag ONLINE; tape_flag BOT; expect_at 0 0'
step rewind 60 'mt -f $TAPE rewind; tape_flag ONLINE; tape_flag BOT; expect_at 0 0'
step tapeinfo 20 'tapeinfo -f $TAPE_SG | has "Ready: yes"'
step log-pages 20 'sg_logs $TAPE_SG; for p in 0x0c 0x2e 0x31; do sg_logs -p $p $TAPE_SG; done'
step read-position-long 10 'sg_raw -r 32 $TAPE_SG 34 06 00 00 00 00 00 00 00 00'
step medium-attributes 10 'sg_read_attr $TAPE_SG'
step set-variable 20 'mt -f $TAPE rewind; mt -f $TAPE setblk 0; mt -f $TAPE status | has "Tape block size 0 bytes"'
step compression 20 'mt -f $TAPE compression 0; mt -f $TAPE compression 1'
step lock 20 'mt -f $TAPE lock; mt -f $TAPE unlock'

# --- two archives with filemarks between, and moving among them
step generate 60 'compressible_tree $WORK/tree 32'
step tar-write 300 'tar -c -b 512 -f $TAPE -C $WORK tree; expect_at 1 0
  tar -c -b 20 -f $TAPE -C $WORK/tree small; expect_at 2 0'
step tar-extract 300 'mt -f $TAPE rewind; tape_flag BOT; mkdir $WORK/back
  tar -x -b 512 -f $TAPE -C $WORK/back; diff -r --no-dereference $WORK/tree $WORK/back/tree; rm -r $WORK/back'
step tar-second 120 'mt -f $TAPE rewind; mt -f $TAPE fsf 1; expect_at 1 0
  tar -d -b 20 -f $TAPE -C $WORK/tree'
step bsf 60 'mt -f $TAPE rewind; mt -f $TAPE fsf 2; expect_at 2 0; mt -f $TAPE bsf 2; expect "file number" 0 "$(tape_file)"
  mt -f $TAPE fsf 1; expect_at 1 0; mt -f $TAPE bsfm 1; expect_at 1 0; tar -t -b 20 -f $TAPE > $WORK/list
  expect "first member" small/ "$(head -1 $WORK/list)"'
step eod 60 'mt -f $TAPE rewind; mt -f $TAPE eod; expect "file number" 2 "$(tape_file)"; tape_flag EOD'
# Asked of the drive itself: after `mt eod` st would answer alone.
step read-at-eod 60 'mt -f $TAPE rewind; mt -f $TAPE fsf 2; dd if=$TAPE of=$WORK/back bs=256k count=1 status=none
  expect "bytes past the end" 0 "$(stat -c %s $WORK/back)"'
step weof 60 'mt -f $TAPE rewind; mt -f $TAPE fsf 2; mt -f $TAPE weof 3; expect_at 5 0; filemark_immediate; expect_at 6 0
  mt -f $TAPE rewind; mt -f $TAPE fsf 6; expect_at 6 0'
step append 120 'mt -f $TAPE eod; tar -c -b 128 -f $TAPE -C $WORK/tree small; expect_at 7 0
  mt -f $TAPE bsfm 1; mt -f $TAPE bsfm 1; mt -f $TAPE rewind; mt -f $TAPE fsf 6; tar -d -b 128 -f $TAPE -C $WORK/tree'

# --- blocks: single records forward and back, by address, of every size
head -c $((40 * 32768)) /dev/urandom >$WORK/forty
block_of_forty() { dd if=$WORK/forty bs=32768 skip="$1" count=1 status=none; }
next_block_is() { cmp <(dd if="$TAPE" bs=32768 count=1 status=none) <(block_of_forty "$1"); }
export -f block_of_forty next_block_is
step records 120 'mt -f $TAPE rewind; dd if=$WORK/forty of=$TAPE bs=32768 status=none; mt -f $TAPE rewind
  mt -f $TAPE fsr 25; expect_at 0 25; next_block_is 25; mt -f $TAPE bsr 2; expect_at 0 24; next_block_is 24'
step tell 60 'mt -f $TAPE rewind; expect "address" 0 "$(tape_tell)"; mt -f $TAPE fsr 7; expect "address" 7 "$(tape_tell)"
  mt -f $TAPE fsf 1; expect "address" 41 "$(tape_tell)"'
step seek 60 'for n in 31 0 39 12; do mt -f $TAPE seek $n; expect "address" $n "$(tape_tell)"; next_block_is $n; done'
step overwrite-truncates 120 'mt -f $TAPE rewind
  for n in 1 2 3; do dd if=$WORK/forty of=$TAPE bs=32768 count=$n status=none; done
  mt -f $TAPE rewind; mt -f $TAPE fsf 1; dd if=$WORK/forty of=$TAPE bs=32768 skip=9 count=1 status=none
  mt -f $TAPE rewind; mt -f $TAPE eod; expect "files" 2 "$(tape_file)"
  mt -f $TAPE rewind; next_block_is 0; mt -f $TAPE fsf 1; next_block_is 9'
step block-sizes-write 300 'mt -f $TAPE rewind
  for size in $BLOCK_SIZES; do
    count=$((size < 65536 ? 50 : 6)); head -c $((size * count)) /dev/urandom > $WORK/blocks$size
    dd if=$WORK/blocks$size of=$TAPE bs=$size iflag=fullblock status=none
  done'
step block-sizes-read 300 'mt -f $TAPE rewind
  for size in $BLOCK_SIZES; do dd if=$TAPE of=$WORK/back bs=$size status=none; cmp $WORK/back $WORK/blocks$size; done'
# Each read offers more than a block holds, up to the largest that st allows: the drive must give one block a read (dd
# then counts partial records).
step long-reads 300 'mt -f $TAPE rewind; largest=${BLOCK_SIZES##* }
  for size in $BLOCK_SIZES; do
    count=$((size < 65536 ? 50 : 6)); records="0+$count"; offered=$((size + 4096))
    [ $offered -lt $largest ] || { offered=$largest; records="$count+0"; }
    dd if=$TAPE of=$WORK/back bs=$offered 2> $WORK/dd; cmp $WORK/back $WORK/blocks$size
    expect "records of $size bytes" "$records records in" "$(head -1 $WORK/dd)"
  done'
step short-read 60 'mt -f $TAPE rewind; refused dd if=$TAPE of=/dev/null bs=100 count=1
  dd if=$TAPE of=$WORK/back bs=1M count=1; mt -f $TAPE rewind'
step fixed-write 120 'mt -f $TAPE rewind; mt -f $TAPE setblk 32768; mt -f $TAPE status | has "Tape block size 32768 bytes"
  dd if=$WORK/forty of=$TAPE bs=256k status=none; expect_at 1 0'
# 96 KiB reads: the last one meets the filemark after one block, and the drive must say how many were read.
step fixed-read 120 'mt -f $TAPE rewind; dd if=$TAPE of=$WORK/back bs=96k 2> $WORK/dd; cmp $WORK/back $WORK/forty
  expect "records" "13+1 records in" "$(head -1 $WORK/dd)"'
step fixed-as-variable 120 'mt -f $TAPE rewind; mt -f $TAPE setblk 0; dd if=$TAPE of=$WORK/back bs=64k 2> $WORK/dd
  cmp $WORK/back $WORK/forty; expect "records" "0+40 records in" "$(head -1 $WORK/dd)"'
step rewinding-device 60 'dd if=$WORK/forty of=${TAPE/nst/st} bs=32768 count=4 status=none; tape_flag BOT; next_block_is 0'
step persistent-reservation 20 'sg_persist --out --register --param-sark=abc123 $TAPE_SG
  sg_persist --out --reserve --param-rk=abc123 --prout-type=3 $TAPE_SG; sg_persist --in -r $TAPE_SG | has "abc123"
  sg_persist --out --release --param-rk=abc123 --prout-type=3 $TAPE_SG; sg_persist --out --register --param-rk=abc123 $TAPE_SG'
# On a blank tape the first read gets BLANK CHECK, which st hands on as EIO: it stands for "nothing here" only behind a
# filemark.
step erase 300 'mt -f $TAPE rewind; mt -f $TAPE erase 0; mt -f $TAPE rewind
  refused dd if=$TAPE of=$WORK/back bs=256k count=1; mt -f $TAPE rewind; expect_at 0 0
  mt -f $TAPE rewind; mt -f $TAPE eod; expect "file number" 0 "$(tape_file)"'

# --- change the cartridge, and come back to what was written
step goodbye-write 60 'mt -f $TAPE rewind; dd if=$WORK/forty of=$TAPE bs=32768 status=none'
step mtx-unload 120 'mt -f $TAPE offline; mtx -f $CHANGER_SG unload 1 0; mtx -f $CHANGER_SG status > $WORK/status
  grep -q "Data Transfer Element 0:Empty" $WORK/status; grep -q "Storage Element 1:Full" $WORK/status'
step mtx-other 120 'mtx -f $CHANGER_SG load 2 0; mt -f $TAPE rewind; dd if=$WORK/forty of=$TAPE bs=10240 count=3 status=none
  mt -f $TAPE offline; mtx -f $CHANGER_SG unload 2 0'
step mtx-again 120 'mtx -f $CHANGER_SG load 1 0; mt -f $TAPE rewind; dd if=$TAPE of=$WORK/back bs=32768 status=none
  cmp $WORK/back $WORK/forty; mt -f $TAPE offline; mtx -f $CHANGER_SG unload 1 0'

# The short read is answered with an error by st itself, which it logs.
step dmesg 10 'dmesg_clean "Failed to read .* byte block with 100 byte transfer"'
step logout 60 iscsi_logout
finish
