# A job that tests the harness: it waits for the host, and ends with a status of its own.
. /host/lib.sh
mark waiting
await_host go-on
echo "greeting: $GREETING"
exit 7
