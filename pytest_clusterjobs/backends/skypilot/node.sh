## node
# Runs on every node before the sentinel, in its shell. STATE and NONCE are replaced. cj_some is the sentinel's, and free
# until it begins; what is needed at the end has names of its own.
exec 2>&1
export CLUSTERJOBS_NODE_RANK="${SKYPILOT_NODE_RANK:-0}"
cj_some=STATE/NONCE.$CLUSTERJOBS_NODE_RANK
# Where there is no place at all nothing is written: with no name it would be below the root folder.
mkdir -p "$cj_some" || cj_some=$(mktemp -d) || cj_some=/dev/null/none
printf '%s\n' "$SKYPILOT_NODE_IPS" >"$cj_some/hosts"
read -r CLUSTERJOBS_MASTER_ADDR <"$cj_some/hosts"
export CLUSTERJOBS_MASTER_ADDR="${CLUSTERJOBS_MASTER_ADDR:-127.0.0.1}" CLUSTERJOBS_HOSTFILE="$cj_some/hosts"
export CLUSTERJOBS_HEARTBEAT_FILE="$cj_some/beat" CLUSTERJOBS_RESTARTS=0
# SkyPilot's own times are when it looked, up to half a minute late, and of the whole job: which rank was first to fail is
# told by these. Where date knows no fractions, what it says instead is passed over.
clusterjobs_clock() { echo "[clusterjobs NONCE $1 node=$CLUSTERJOBS_NODE_RANK at=$(date +%s.%N)]"; }
clusterjobs_clock began

## again
# How often it began. SkyPilot starts a job again after a limit too: the first word stands, and nothing runs.
# A rank that is done before another one fails is to know of it as well: of several, each leaves its count behind.
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
trap 'clusterjobs_end $?' EXIT

## once
trap 'clusterjobs_clock ended; rm -rf "${CLUSTERJOBS_HOSTFILE%/*}"' EXIT
