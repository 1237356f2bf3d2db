# Wraps the command of a job on one node: runs it, enforces its limits, says how it ended.
# Arguments: nonce max_runtime grace_period not_after beat_interval silent_looks shell workdir setup leader
# run [args...]
# Traps may interrupt the wait for the command only once its exit code has stopped to matter (word is
# set): bash can lose the status of a child that ends while a trap is due.
nonce=$1 max=$2 grace=$3 late=$4 every=$5 limit=$6 shell=$7 dir=$8 setup=$9
shift 9
leader=$1 run=$2
shift 2
rank=${CLUSTERJOBS_NODE_RANK:-0}
[ $rank = 0 ] || every=
beat=${CLUSTERJOBS_HEARTBEAT_FILE:=${TMPDIR:-/tmp}/clusterjobs.$nonce.$rank}
export CLUSTERJOBS_HEARTBEAT_FILE
beats=0 busy=x
# The shell's own notes ("Killed") are not the job's; the command gets the real stderr back.
exec 3>&2 2>/dev/null

# say WORD CODE STATUS: the last line; STATUS is our own exit status.
say() {
trap '' TERM INT HUP USR1 USR2 ALRM PIPE
[ "$timers" ] && kill -VTALRM $timers && wait $timers
if [ "$beating" ]; then
read -r beats <"$beat.n"
[ "$beat.0" -nt "$beat" ] || [ "$beat.1" -nt "$beat" ] || [ ! -e "$beat" ] || beats=$((beats+1))
rm -f "$beat" "$beat".[01n]
fi
echo "
[clusterjobs $nonce $1 exit_code=$2 node=$rank restarts=${CLUSTERJOBS_RESTARTS:-0} heartbeats=$beats]"
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
last=$!
trap '[ "$!" = "$last" ] || kill -9 $!; exit' VTALRM
trap '' TERM INT HUP
"$@"
) </dev/null >/dev/null 3>&- &
timers="$timers $!"
}

# timer SIGNAL SECONDS: and again every second, should the first have come at a bad moment.
timer() {
pause $2
while kill -$1 $$; do pause 1; done
}

# Beats since the last look: the new marker is made before the old one is compared, and equal
# times count as newer, so that no beat is lost where times are coarse.
look() {
silent=0 new=0
while [ $silent -lt $limit ]; do
pause $every
silent=$((silent+1)) old=$new new=$((1-new))
true >"$beat.$new"
[ -e "$beat" ] && ! [ "$beat.$old" -nt "$beat" ] && silent=0 beats=$((beats+1)) && echo $beats >"$beat.n"
done
timer USR1 0
}

# The group may not be there yet when the command has just been started.
signal() {
kill -$1 $group$child || { sleep 0.1 || sleep 1; kill -$1 $group$child; }
}

stop() {
signal TERM
aside timer ALRM $grace
stopper=$!
}

# halt WORD: a trap; the first word stands. While we are busy starting something it must not fork,
# since that would change $! under us; what it leaves out is done right after.
halt() {
tick=x
[ "$word" ] && return
word=$1
echo "
clusterjobs: $1, stopping"
[ "$busy" ] || stop
}

# phase NAME SCRIPT [args...]: runs a script and what it leaves behind to the end; code is how it ended.
phase() {
[ "$word" ] && return
name=$1 script=$2
shift 2
set $mode
$leader $shell -c "$script" "$name" "$@" </dev/null 2>&3 3>&- &
child=$!
set +m
busy=
[ "$word" ] && [ ! "$stopper" ] && stop
while tick=; wait $child; code=$?; [ "$tick" ] && [ $code -gt 128 ] && kill -0 $child; do :; done
[ "$word" ] || trap tick=x TERM INT HUP USR1 USR2
if kill -0 $group$child; then
[ "$word" ] || stop
until [ "$killed" ] || ! kill -0 $group$child; do sleep 0.1 || sleep 1; done
fi
[ "$stopper" ] && kill -VTALRM $stopper && wait $stopper
busy=x killed= stopper=
}

arm() {
trap 'halt stopped' TERM INT HUP
trap 'halt max_runtime_reached' USR2
trap 'halt heartbeat_timeout' USR1
}

[ "$late" ] && [ "$(date +%s)" -gt $late ] && say too_late - 125
[ -z "$dir" ] || cd "$dir" || fail 126 "cannot enter workdir $dir"
command -v "${shell%% *}" >/dev/null || fail 127 "no ${shell%% *}"

# A process group of its own: by job control, or by setsid. Job control leaves INT and QUIT alone; what
# is started with & is deaf to them otherwise, and only GNU env can undo that.
mode=+m group=-
if [ ! "$leader" ]; then
set -m
case $- in
*m*) mode=-m;;
*) command -v setsid >/dev/null && leader=setsid || group=
env --default-signal=INT true && leader="$leader env --default-signal=INT,QUIT";;
esac
set +m
fi
trap 'tick=x killed=x; signal KILL' ALRM
arm
[ "$max" ] && aside timer USR2 $max
if [ "$setup" ]; then
phase setup "$setup"
[ "$word" ] || [ $code = 0 ] || fail $code "setup failed with $code"
arm
fi
if [ "$every" ]; then
beating=x
rm -f "$beat"
echo 0 >"$beat.n"
true >"$beat.0"
aside look
fi
phase run "$run" "$@"
case $word in
'') say exited $code $code;;
stopped) say stopped - 143;;
*) say $word - 124;;
esac
