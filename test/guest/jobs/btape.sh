# Bacula's own test of a tape drive, the strictest independent judge of positioning; 1-2 min, a 1.3 GB cartridge.
#   PORT         of the target on the host's loopback
#   BLOCK_BYTES  Bacula's maximum block size, default 8192
. /host/lib.sh
export BLOCK_BYTES=${BLOCK_BYTES:-8192} WORK=/tmp/work
mkdir -p $WORK /run/bacula /etc/bacula
cat >/etc/bacula/btape.conf <<X
Storage {
  Name = sd
  SDPort = 9103
  SDAddress = 127.0.0.1
  WorkingDirectory = /var/lib/bacula
  Pid Directory = /run/bacula
}
Device {
  Name = Drive0
  Media Type = LTO
  Archive Device = $TAPE
  AutomaticMount = yes
  AlwaysOpen = yes
  RemovableMedia = yes
  RandomAccess = no
  Maximum Block Size = $BLOCK_BYTES
}
Messages {
  Name = Std
  stdout = all
}
X
step login 60 'iscsi_login "$HOST" "$PORT"'
find_devices
step load 120 'mtx -f $CHANGER_SG load 1 0; mt -f $TAPE rewind; mt -f $TAPE setblk 0'
# Enter answers every question of the test with its default. It exits with 0 even when a part of the test failed.
step btape 900 '{ echo test; for _ in $(seq 60); do echo; done; } >$WORK/answers
  timeout -k 5 800 btape -c /etc/bacula/btape.conf $TAPE <$WORK/answers >/host/btape.log 2>&1 || { tail -30 /host/btape.log; exit 1; }
  grep -E "OK|===" /host/btape.log | cut -c1-120
  for test in "10000 blocks re-read correctly" "Block 20000 re-read correctly" "Block re-read correct. Test succeeded" \
    "We should be in file 5. I am at file 5. This is correct"; do has "$test" </host/btape.log; done
  refused grep -iE "error|failed|incorrect" <(grep -v "there should be no I/O errors" /host/btape.log)'
grep -E "OK|orrect|===" /host/btape.log | cut -c1-120
step unload 120 'mt -f $TAPE offline; mtx -f $CHANGER_SG unload 1 0'
step dmesg 10 dmesg_clean
step logout 60 iscsi_logout
finish
