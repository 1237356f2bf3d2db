# Wraps the command of a job on one node: runs it, enforces its limits, says how it ended.
# Arguments: nonce max_runtime grace_period not_after beat_interval silent_beats shell workdir setup run [args...]
# The command's group is stopped by TERM and, a grace period later, KILL.
nonce=$1 max=$2 grace=$3 late=$4 every=$5 limit=$6 shell=$7 dir=$8 setup=$9
shift 9
run=$1
shift
rank=${CLUSTERJOBS_NODE_RANK:-0}
[ "$rank" = 0 ] || every=
beat=${CLUSTERJOBS_HEARTBEAT_FILE:=${TMPDIR:-/tmp}/clusterjobs.$nonce.$rank}
export CLUSTERJOBS_HEARTBEAT_FILE
beats=0 silent=0 new=0 old=1
# The shell's own notes ("Killed") are not the job's; the command gets the real stderr back.
exec 3>&2 2>/dev/null

# say WORD CODE STATUS: the last line; STATUS is our own exit status.
say() {
trap '' TERM INT HUP USR1 USR2 ALRM PIPE
[ "$timers" ] && kill -VTALRM $timers && wait $timers
[ "$every" ] && rm -f "$beat" "$beat".[01]
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

# timer SIGNAL FIRST NEXT: signals us after FIRST and then every NEXT seconds.
# It is ended by VTALRM, which we never trap: so it dies even before its own trap is set.
timer() {
(
last=$!
trap '[ "$!" = "$last" ] || kill -9 $!; exit' VTALRM
trap '' TERM INT HUP
pause $2
while kill -$1 $$; do pause $3; done
) </dev/null >/dev/null 3>&- &
timers="$timers $!"
}

signal() {
[ "$child" ] && kill -$1 $group$child
}

stop() {
signal TERM
timer ALRM $grace 1
stopper=$!
}

# halt WORD: a trap; the first word stands.
halt() {
tick=x
[ "$word" ] && return
word=$1
echo "
clusterjobs: $1, stopping the command"
stop
}

# Beats since the last look. The new marker is made before the old one is compared, and equal
# times count as newer, so that no beat is lost where times are coarse.
look() {
new=$old old=$((1-new))
true >"$beat.$new"
[ -e "$beat" ] && ! [ "$beat.$old" -nt "$beat" ] && beats=$((beats+1))
}

check() {
tick=x
if look; then silent=0; else
silent=$((silent+1))
[ $silent -lt $limit ] || halt heartbeat_timeout
fi
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
[ "$word" ] && signal TERM
while tick=; wait $child; code=$?; [ "$tick" ] && [ $code -gt 128 ]; do :; done
[ "$word" ] || trap 'tick=x' TERM INT HUP USR1 USR2
if kill -0 $group$child; then
[ "$word" ] || stop
while [ ! "$killed" ] && kill -0 $group$child; do sleep 0.1 || sleep 1; done
fi
[ "$stopper" ] && kill -VTALRM $stopper && wait $stopper
child= killed= stopper=
}

arm() {
trap 'halt stopped' TERM INT HUP
trap 'halt max_runtime_reached' USR2
trap check USR1
}

[ "$late" ] && [ "$(date +%s)" -gt "$late" ] && say too_late - 125
[ -z "$dir" ] || cd "$dir" || fail 126 "cannot enter workdir $dir"
command -v "${shell%% *}" >/dev/null || fail 127 "no ${shell%% *} on this node"

# A process group of its own: by job control, which leaves INT alone, or by setsid.
mode=+m leader= group=-
set -m
case $- in
*m*) mode=-m;;
*) leader=setsid; command -v setsid >/dev/null || leader= group=;;
esac
set +m
trap 'tick=x killed=x; signal KILL' ALRM
arm
[ "$max" ] && timer USR2 $max 1
if [ "$setup" ]; then
phase setup "$setup"
[ "$word" ] || [ $code = 0 ] || fail $code "setup failed with $code"
arm
fi
if [ "$every" ]; then
rm -f "$beat"
true >"$beat.0"
timer USR1 $every $every
fi
phase run "$run" "$@"
[ "$every" ] && look
case $word in
'') say exited $code $code;;
stopped) say stopped - 143;;
*) say $word - 124;;
esac
