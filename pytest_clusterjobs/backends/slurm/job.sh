# The sections of a batch script that starts the command by srun. The other sections are the base's.

## step
clusterjobs_srun=$(command -v srun) || { report "no srun on this node"; finish 127 broken; }
scontrol show hostnames "$SLURM_JOB_NODELIST" >"$clusterjobs_dir/hosts"
read -r clusterjobs_address <"$clusterjobs_dir/hosts"
getent hosts "$clusterjobs_address" >/dev/null || clusterjobs_address=
# A shell may lose the code of a child that ends when a signal is due, but not that of one in the foreground.
begin() {
rm -f "$clusterjobs_dir/code"
(
trap : HUP INT USR1 USR2 TERM QUIT ALRM XCPU
(launch)
echo $? >"$clusterjobs_dir/code"
) & clusterjobs_child=$!
dismiss & clusterjobs_dismisser=$!
}
# srun would kill its tasks at once, so Slurm signals them. It has already done so for a stop, unless the job
# is still to run (R).
deliver() {
[ "$1" != TERM ] || [ "$(squeue --noheader --format=%t --jobs="$SLURM_JOB_ID")" = R ] || return 0
scancel --signal="$1" "$SLURM_JOB_ID"
}
end() {
clusterjobs_first=
kill "$clusterjobs_dismisser" 2>/dev/null
[ ! -s "$clusterjobs_dir/code" ] || read -r clusterjobs_code <"$clusterjobs_dir/code"
[ ! -e "$clusterjobs_dir/dismissed.$clusterjobs_n" ] || [ "$clusterjobs_code" != 143 ] || clusterjobs_code=0
# The largest code of all ranks is that of the stopped ones: the code of the first to fail is the one to show.
[ "$clusterjobs_code" -le 128 ] || clusterjobs_first=$(awk '/^clusterjobs: start /{c=""}
c=="" && /^srun: error: .* Exited with exit code/ && $NF<129 {c=$NF}
END{print c}' "$clusterjobs_dir/batch.out")
clusterjobs_code=${clusterjobs_first:-$clusterjobs_code}
}
# When the main rank has ended well, the others have ten seconds to follow it.
dismiss() {
trap '' HUP INT USR1 USR2
until [ -e "$clusterjobs_dir/main.$clusterjobs_n" ]; do sleep 2; done
sleep 10
read -r clusterjobs_step <"$clusterjobs_dir/main.$clusterjobs_n"
echo >"$clusterjobs_dir/dismissed.$clusterjobs_n"
scancel --signal=TERM "$SLURM_JOB_ID.$clusterjobs_step"
}

## node
# Runs on every node before the sentinel.
exec 2>&1
export CLUSTERJOBS_NODE_RANK="$SLURM_PROCID"
export CLUSTERJOBS_MASTER_ADDR="${CLUSTERJOBS_MASTER_ADDR:-$SLURM_LAUNCH_NODE_IPADDR}"
clusterjobs_home=${TMPDIR:-/tmp}
[ -d "$clusterjobs_home" ] || clusterjobs_home=/tmp
clusterjobs_home=$clusterjobs_home/clusterjobs.NONCE.$SLURM_PROCID
export CLUSTERJOBS_HEARTBEAT_FILE="$clusterjobs_home/beat"
mkdir -m 700 "$clusterjobs_home" 2>/dev/null || { [ -O "$clusterjobs_home" ] && [ ! -h "$clusterjobs_home" ]; } || clusterjobs_home=
{ [ "$clusterjobs_home" ] && true >"$CLUSTERJOBS_HEARTBEAT_FILE"; } 2>/dev/null || CLUSTERJOBS_HEARTBEAT_FILE=${CLUSTERJOBS_HOSTFILE%hosts}beat.$SLURM_PROCID
clusterjobs_leave() {
[ "$1$SLURM_PROCID" != 00 ] || echo "$SLURM_STEP_ID" >"${CLUSTERJOBS_HOSTFILE%hosts}main.$CLUSTERJOBS_RESTARTS"
[ -z "$clusterjobs_home" ] || { [ "$1" != 0 ] && [ "$CLUSTERJOBS_RESTARTS" -lt MAX ]; } || rm -rf "$clusterjobs_home"
}
trap 'clusterjobs_leave $?' EXIT
