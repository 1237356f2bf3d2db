# The batch script of a job, in pieces that script.py puts together around what is the job's own.
# dir is the job's folder, max how often it may be started again, ranks how many nodes it has.

## head
n=0 how=itself child= away=
forget() { rm -f "$dir/secrets"; }
say() { echo "clusterjobs: $*" >&2; }

# finish CODE HOW: the last word. Whoever reads it may rely on all logs being written.
finish() {
trap '' TERM
[ -z "$away" ] || rm -rf "$away"
# Whoever stops it may be about to requeue it.
{ [ "$2" = stopped ] && [ "$n" -lt "$max" ]; } || forget
echo "$1 $2" >"$dir/ended"
exit "$1"
}

# A token that was submitted twice runs once.
set -C
{ echo "$SLURM_JOB_ID" >"$dir/job"; } 2>/dev/null
set +C
read -r owner <"$dir/job"
[ "$owner" = "$SLURM_JOB_ID" ] || { say "job $owner has this token already"; exit 125; }
# What has ended by itself does not begin again, whoever requeues it; what was stopped may have been for that.
if [ -e "$dir/ended" ]; then
read -r code was <"$dir/ended"
[ "$was" = stopped ] || exit 0
rm -f "$dir/ended"
fi
while [ -e "$dir/start.$n" ]; do n=$((n+1)); done
[ "$n" -le "$max" ] || { say "started again by Slurm more often than max_restarts allows"; finish 125 over; }
unset SLURM_JWT

## again
# Whether it may start again: something failed by itself, no limit struck, nobody asked us to stop.
again() {
[ "$n" -lt "$max" ] && [ "$how" = itself ] || return
rank=0 failed=
while [ "$rank" -lt "$ranks" ]; do
log=$dir/log.$n.$rank rank=$((rank+1))
[ -e "$log" ] || continue
case $(tail -c 4096 "$log" | tr -d '\r\0' | LC_ALL=C grep '^\[clusterjobs NONCE ') in
*' exited exit_code=0 '* | *' stopped exit_code='*) ;;
*' exited exit_code='* | '') failed=x ;;
*) return 1 ;;
esac
done
[ "$failed" ]
}

## direct
echo "$SLURM_JOB_NODELIST" >"$dir/hosts"
trap 'how=stopped; [ -z "$child" ] || kill -TERM "$child"' TERM
begin() { launch & child=$!; }
end() { :; }
# bash makes process groups by itself, dash needs the help of four programs.
sh=/bin/bash
[ -x "$sh" ] || sh=/bin/sh

## home
# A folder on the node for the heartbeat, which is looked at all the time. It outlives a start.
home=${TMPDIR:-/tmp}
[ -d "$home" ] || home=/tmp
home=$home/clusterjobs.NONCE
mkdir -m 700 "$home" 2>/dev/null || { [ -O "$home" ] && [ ! -h "$home" ]; } || home=$(mktemp -d)
away=$home

## step
srun=$(command -v srun) || { say "no srun on this node"; finish 127 broken; }
scontrol show hostnames "$SLURM_JOB_NODELIST" >"$dir/hosts"
read -r address <"$dir/hosts"
getent hosts "$address" >/dev/null || address=
# A TERM is not passed on: srun would kill its tasks at once, where Slurm itself lets them end.
trap how=stopped TERM
begin() {
launch & child=$!
dismiss & dismisser=$!
}
end() {
first=
kill "$dismisser" 2>/dev/null
[ ! -e "$dir/dismissed.$n" ] || [ "$code" != 143 ] || code=0
# The largest code of all ranks is that of those which were stopped: the first to fail is to be shown.
[ "$code" -le 128 ] || first=$(awk '/^clusterjobs: start /{c=""}
c=="" && /^srun: error: .* Exited with exit code/ && $NF<129 {c=$NF}
END{print c}' "$dir/slurm.out")
code=${first:-$code}
}
# When the main rank has ended well, the others have ten seconds to follow it.
dismiss() {
until [ -e "$dir/main.$n" ]; do sleep 2; done
sleep 10
read -r step <"$dir/main.$n"
echo >"$dir/dismissed.$n"
scancel --signal=TERM "$SLURM_JOB_ID.$step"
}

## loop
while :; do
echo "$SLURM_JOB_ID" >"$dir/start.$n"
say "start $n"
begin
wait "$child"
code=$?
while kill -0 "$child" 2>/dev/null; do
wait "$child"
code=$?
done
child=
end
[ "$code" != 0 ] && again || break
n=$((n+1))
done
finish "$code" "$how"

## node
# Runs on every node before the sentinel, whose names it must not use.
exec 2>&1
export CLUSTERJOBS_NODE_RANK="$SLURM_PROCID"
export CLUSTERJOBS_MASTER_ADDR="${CLUSTERJOBS_MASTER_ADDR:-$SLURM_LAUNCH_NODE_IPADDR}"
cj_home=${TMPDIR:-/tmp}
[ -d "$cj_home" ] || cj_home=/tmp
cj_home=$cj_home/clusterjobs.NONCE.$SLURM_PROCID
mkdir -m 700 "$cj_home" 2>/dev/null || { [ -O "$cj_home" ] && [ ! -h "$cj_home" ]; } || cj_home=$(mktemp -d)
export CLUSTERJOBS_HEARTBEAT_FILE="$cj_home/beat"
cj_end() {
[ "$1$SLURM_PROCID" != 00 ] || echo "$SLURM_STEP_ID" >"${CLUSTERJOBS_HOSTFILE%hosts}main.$CLUSTERJOBS_RESTARTS"
{ [ "$1" != 0 ] && [ "$CLUSTERJOBS_RESTARTS" -lt MAX ]; } || rm -rf "$cj_home"
}
trap 'cj_end $?' EXIT
