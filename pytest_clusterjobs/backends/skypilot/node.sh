## node
# Runs on every node before the sentinel, in its shell. STATE and NONCE are replaced.
exec 2>&1
export CLUSTERJOBS_NODE_RANK="${SKYPILOT_NODE_RANK:-0}"
cj_home=STATE/NONCE.$CLUSTERJOBS_NODE_RANK
# Where there is no place at all nothing is written: with no name it would be below the root folder.
mkdir -p "$cj_home" || cj_home=$(mktemp -d) || cj_home=/dev/null/none
printf '%s\n' "$SKYPILOT_NODE_IPS" >"$cj_home/hosts"
read -r CLUSTERJOBS_MASTER_ADDR <"$cj_home/hosts"
export CLUSTERJOBS_MASTER_ADDR="${CLUSTERJOBS_MASTER_ADDR:-127.0.0.1}" CLUSTERJOBS_HOSTFILE="$cj_home/hosts"
export CLUSTERJOBS_HEARTBEAT_FILE="$cj_home/beat" CLUSTERJOBS_RESTARTS=0
# SkyPilot's own times are when it looked, up to half a minute late, and of the whole job: which rank was first to fail is
# told by these. Where date knows no fractions, what it says instead is passed over.
cj_clock() { echo "[clusterjobs NONCE $1 node=$CLUSTERJOBS_NODE_RANK at=$(date +%s.%N)]"; }
cj_clock began

## again
# How often it began. SkyPilot starts a job again after a limit too: the first word stands, and nothing runs.
# A rank that is done before another one fails is to know of it as well: of several, each leaves its count behind.
[ ! -s "$cj_home/over" ] || { cat "$cj_home/over"; exit 124; }
[ ! -s "$cj_home/starts" ] || read -r CLUSTERJOBS_RESTARTS <"$cj_home/starts"
echo $((CLUSTERJOBS_RESTARTS+1)) >"$cj_home/starts"
cj_end() {
cj_clock ended
case $1 in
124) [ ! "$cj_word" ] || echo "
[clusterjobs $cj_nonce $cj_word exit_code=- node=$CLUSTERJOBS_NODE_RANK restarts=$CLUSTERJOBS_RESTARTS heartbeats=$cj_beats]" >"$cj_home/over";;
0) [ "$CLUSTERJOBS_NUM_NODES" -gt 1 ] && rm -f "$cj_home/hosts" || rm -rf "$cj_home";;
esac
}
trap 'cj_end $?' EXIT

## once
trap 'cj_clock ended; rm -rf "$cj_home"' EXIT
