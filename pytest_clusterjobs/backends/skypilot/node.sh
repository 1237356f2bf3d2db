## node
# Runs on every node before the sentinel, in its shell. STATE and NONCE are replaced. cj_some belongs to the
# sentinel, and is free until it begins; variables that are needed at the end have names of their own.
exec 2>&1
export CLUSTERJOBS_NODE_RANK="${SKYPILOT_NODE_RANK:-0}"
cj_some=STATE/NONCE.$CLUSTERJOBS_NODE_RANK
# Without any folder nothing is written: with an empty name it would be below the root folder.
mkdir -p "$cj_some" || cj_some=$(mktemp -d) || cj_some=/dev/null/none
printf '%s\n' "$SKYPILOT_NODE_IPS" >"$cj_some/hosts"
read -r CLUSTERJOBS_MASTER_ADDR <"$cj_some/hosts"
export CLUSTERJOBS_MASTER_ADDR="${CLUSTERJOBS_MASTER_ADDR:-127.0.0.1}" CLUSTERJOBS_HOSTFILE="$cj_some/hosts"
export CLUSTERJOBS_HEARTBEAT_FILE="$cj_some/beat" CLUSTERJOBS_RESTARTS=0
# SkyPilot's own times are those of its checks, up to half a minute late, and for the whole job: these lines
# show which rank failed first. If date does not support fractions, its output is ignored.
clusterjobs_clock() { echo "[clusterjobs NONCE $1 node=$CLUSTERJOBS_NODE_RANK at=$(date +%s.%N)]"; }
clusterjobs_clock began

## again
# The number of starts. SkyPilot restarts a job after a limit too: the first report stands, and nothing runs.
# A rank that ends before another one fails must know the count as well: of several, each leaves its count.
[ ! -s "$cj_some/over" ] || { cat "$cj_some/over"; exit 124; }
[ ! -s "$cj_some/starts" ] || read -r CLUSTERJOBS_RESTARTS <"$cj_some/starts"
echo $((CLUSTERJOBS_RESTARTS+1)) >"$cj_some/starts"
clusterjobs_end() {
clusterjobs_clock ended
set -- $1 "${CLUSTERJOBS_HOSTFILE%/*}"
case $1 in
124) [ ! "$cj_word" ] || echo "$cj_line" >"$2/over";;
0) [ "$CLUSTERJOBS_NUM_NODES" -gt 1 ] && rm -f "$2/hosts" || rm -rf "$2";;
esac
}
# After a signal a fork of bash, which has reported nothing, may get here as well: there the first command's
# code is not reliable.
trap 'cj_some=$?; if [ "$cj_line" ]; then clusterjobs_end $cj_some; fi' EXIT

## once
# As above.
trap 'cj_some=$?; if [ "$cj_line" ]; then clusterjobs_clock ended; rm -rf "${CLUSTERJOBS_HOSTFILE%/*}"; fi' EXIT
