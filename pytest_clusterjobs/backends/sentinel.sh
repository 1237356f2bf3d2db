# Wraps the command of a job on one node: runs it, enforces its limits, says how it ended.
# Arguments: nonce max_runtime grace_period not_after beat_interval silent_looks shell workdir setup leader
# run [args...]
# Variables begin with cj_, since the job's own are here too; they are delivered as cja, cjb and so on.
# Traps may interrupt the wait for the command only once its exit code has stopped to matter (word is
# set): bash can lose the status of a child that ends while a trap is due.
cj_nonce=$1 cj_max=$2 cj_grace=$3 cj_late=$4 cj_every=$5 cj_limit=$6 cj_shell=$7 cj_dir=$8 cj_setup=$9
shift 9
cj_leader=$1 cj_run=$2
shift 2
cj_rank=${CLUSTERJOBS_NODE_RANK:-0}
[ $cj_rank = 0 ] || cj_every=
cj_beat=${CLUSTERJOBS_HEARTBEAT_FILE:=${TMPDIR:-/tmp}/clusterjobs.$cj_nonce.$cj_rank}
export CLUSTERJOBS_HEARTBEAT_FILE
cj_beats=0 cj_busy=x cj_word= cj_timers= cj_killed= cj_stopper= cj_beating= cj_tick=
# The shell's own notes ("Killed") are not the job's; the command gets the real stderr back.
exec 3>&2 2>/dev/null

# say WORD CODE STATUS: the last line; STATUS is our own exit status. Some timers may be gone already: the others
# are waited for all the same, or the count of beats would be read while it is written.
say() {
trap '' TERM INT HUP USR1 USR2 ALRM PIPE
[ "$cj_timers" ] && { kill -VTALRM $cj_timers; wait $cj_timers; }
if [ "$cj_beating" ]; then
read -r cj_beats <"$cj_beat.n"
[ "$cj_beat.0" -nt "$cj_beat" ] || [ "$cj_beat.1" -nt "$cj_beat" ] || [ ! -e "$cj_beat" ] || cj_beats=$((cj_beats+1))
rm -f "$cj_beat" "$cj_beat".[01n]
fi
echo "
[clusterjobs $cj_nonce $1 exit_code=$2 node=$cj_rank restarts=${CLUSTERJOBS_RESTARTS:-0} heartbeats=$cj_beats]"
exit $3
}

# fail STATUS TEXT
fail() {
echo "
clusterjobs: $2"
say start_failed $1 $1
}

# Not every sleep takes fractions: round up then.
pause() {
sleep $1 & wait $! || { sleep $((${1%.*}+1)) & wait $!; }
}

# aside COMMAND...: runs a function beside us. It is ended by VTALRM, which we never trap, so that it
# can be ended before it has set its own trap.
aside() {
(
cj_last=$!
trap '[ "$!" = "$cj_last" ] || kill -9 $!; exit' VTALRM
trap '' TERM INT HUP
"$@"
) </dev/null >/dev/null 3>&- &
cj_timers="$cj_timers $!"
}

# timer SIGNAL SECONDS: and again every second, should the first have come at a bad moment.
timer() {
pause $2
while kill -$1 $$; do pause 1; done
}

# Beats since the last look: the new marker is made before the old one is compared, and equal
# times count as newer, so that no beat is lost where times are coarse.
look() {
cj_silent=0 cj_new=0
while [ $cj_silent -lt $cj_limit ]; do
pause $cj_every
cj_silent=$((cj_silent+1)) cj_old=$cj_new cj_new=$((1-cj_new))
true >"$cj_beat.$cj_new"
[ -e "$cj_beat" ] && ! [ "$cj_beat.$cj_old" -nt "$cj_beat" ] && cj_silent=0 cj_beats=$((cj_beats+1)) && echo $cj_beats >"$cj_beat.n"
done
timer USR1 0
}

# The group may not be there yet when the command has just been started.
signal() {
kill -$1 $cj_group$cj_child || { sleep 0.1 || sleep 1; kill -$1 $cj_group$cj_child; }
}

stop() {
signal TERM
aside timer ALRM $cj_grace
cj_stopper=$!
}

# halt WORD: a trap; the first word stands. While we are busy starting something it must not fork,
# since that would change $! under us; what it leaves out is done right after.
halt() {
cj_tick=x
[ "$cj_word" ] && return
cj_word=$1
echo "
clusterjobs: $1, stopping"
[ "$cj_busy" ] || stop
}

# phase NAME SCRIPT [args...]: runs a script and what it leaves behind to the end; code is how it ended.
phase() {
[ "$cj_word" ] && return
cj_name=$1 cj_script=$2
shift 2
set $cj_mode
$cj_leader $cj_shell -c "$cj_script" "$cj_name" "$@" </dev/null 2>&3 3>&- &
cj_child=$!
set +m
cj_busy=
[ "$cj_word" ] && [ ! "$cj_stopper" ] && stop
while cj_tick=; wait $cj_child; cj_code=$?; [ "$cj_tick" ] && [ $cj_code -gt 128 ] && kill -0 $cj_child; do :; done
[ "$cj_word" ] || trap cj_tick=x TERM INT HUP USR1 USR2
if kill -0 $cj_group$cj_child; then
[ "$cj_word" ] || stop
until [ "$cj_killed" ] || ! kill -0 $cj_group$cj_child; do sleep 0.1 || sleep 1; done
fi
[ "$cj_stopper" ] && kill -VTALRM $cj_stopper && wait $cj_stopper
cj_busy=x cj_killed= cj_stopper=
}

arm() {
trap 'halt stopped' TERM INT HUP
trap 'halt max_runtime_reached' USR2
trap 'halt heartbeat_timeout' USR1
}

[ "$cj_late" ] && [ "${EPOCHSECONDS:-$(date +%s)}" -gt $cj_late ] && say too_late - 125
[ -z "$cj_dir" ] || cd "$cj_dir" || fail 126 "cannot enter workdir $cj_dir"
command -v "${cj_shell%% *}" >/dev/null || fail 127 "no ${cj_shell%% *}"

# A process group of its own: by job control, or by setsid. Job control leaves INT and QUIT alone; what
# is started with & is deaf to them otherwise, and only GNU env can undo that.
cj_mode=+m cj_group=-
if [ ! "$cj_leader" ]; then
set -m
case $- in
*m*) cj_mode=-m;;
*) command -v setsid >/dev/null && cj_leader=setsid || cj_group=
env --default-signal=INT true && cj_leader="$cj_leader env --default-signal=INT,QUIT";;
esac
set +m
fi
trap 'cj_tick=x cj_killed=x; signal KILL' ALRM
arm
[ "$cj_max" ] && aside timer USR2 $cj_max
if [ "$cj_setup" ]; then
phase setup "$cj_setup"
[ "$cj_word" ] || [ $cj_code = 0 ] || fail $cj_code "setup failed with $cj_code"
arm
fi
if [ "$cj_every" ]; then
cj_beating=x
rm -f "$cj_beat"
echo 0 >"$cj_beat.n"
true >"$cj_beat.0"
aside look
fi
phase run "$cj_run" "$@"
case $cj_word in
'') say exited $cj_code $cj_code;;
stopped) say stopped - 143;;
*) say $cj_word - 124;;
esac
