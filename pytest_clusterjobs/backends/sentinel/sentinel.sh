# Wraps the command of a job on one node: runs it, enforces its limits, reports how it ended.
# Arguments: nonce max_runtime tick grace_period leader command workdir script [setup] [args...]
# Durations are centiseconds, measured by /proc/uptime. SHELL, OPTIONS, EVERY and SILENT are replaced; a block
# between #+ NAME and #- is delivered if it is needed. Names begin with cj_, since the job's own variables are
# here too; they are shortened for delivery, like everything else.
#
# Three things that are not obvious:
# - A here-document is a pipe (in an old bash, a nameless file) that costs no process. Descriptor 9 has
#   messages of the command's shell (b: it began), the watcher of heartbeats (n: how many) and the wrapper (x:
#   exit code); writers open it by its path, so that no process of the job inherits it. Descriptor 8 leads the
#   job's output to tee: a job that reopens or truncates its own output reaches a pipe; tee keeps reading when
#   the disk is full.
# - The exit code of a timer identifies its limit: 42 or 43, which no signal can produce.
# - bash loses the exit code of a child that ends while a trap is due: there a wrapper writes it to descriptor 9.
cj_nonce=$1 cj_max=$2 cj_tick=$3 cj_grace=$4 cj_leader=$5 cj_command=$6
cj_rank=${CLUSTERJOBS_NODE_RANK:-0} cj_mark="[clusterjobs $cj_nonce "
cj_id="node=$cj_rank restarts=${CLUSTERJOBS_RESTARTS:-0}"
cj_file=${CLUSTERJOBS_HEARTBEAT_FILE:=${TMPDIR:-/tmp}/clusterjobs.$cj_nonce.$cj_rank}
export CLUSTERJOBS_HEARTBEAT_FILE
cj_begun=0 cj_beats=0 cj_busy=x cj_group=- cj_sent=" " cj_out=1 cj_alive=: cj_notes=/proc/$$/fd/
# The shell's own messages ("Killed") are not part of the job's output.
exec 2>/dev/null 8<<_ 9<<_
y
_
y
_

# say WORD CODE STATUS [NOTE]: the last line; STATUS is the sentinel's own exit status.
cj_say() {
cj_clock
cj_line="
$cj_mark$1 exit_code=$2 $cj_id heartbeats=$cj_beats begun=$cj_begun cs=$((cj_now-cj_start))$cj_cut]$4"
echo "$cj_line"
exit $3
}

cj_fail() { cj_say start_failed $1 $1 " $2"; }

cj_clock() { read -r cj_some _ </proc/uptime && cj_now=$((${cj_some%.*}*100+1${cj_some#*.}-100)); }

# Some versions of sleep do not accept fractions: round up then.
cj_pause() {
sleep $(($1/100)).$(($1/10%10))$(($1%10)) & wait $!
[ $? != 1 ] || { sleep $(($1/100+1)) & wait $!; }
}

# Time in which the job could run. A killed sleep is repeated for the rest. A tick that is far too long was a
# suspension.
cj_count() {
cj_left=$1
while [ $cj_left -gt 0 ]; do
cj_nap=$((cj_left<cj_tick?cj_left:cj_tick))
cj_clock
cj_was=$cj_now
cj_pause $cj_nap
cj_clock
cj_took=$((cj_now-cj_was))
[ $cj_took -le $((cj_nap+300)) ] || cj_took=$cj_nap
cj_left=$((cj_left-cj_took))
done
}

# The group may not exist yet when the command has just been started.
cj_signal() { kill -$1 $cj_child || { cj_pause 10; kill -$1 $cj_child; }; }

# aside COMMAND...: runs a function in a subshell. VTALRM, which the sentinel never traps, ends the subshell
# even before it has its own trap.
cj_aside() {
(
cj_last=$!
trap '[ "$!" = "$cj_last" ] || kill -9 $!; cj_beat; exit' 26
trap '' $cj_all
"$@"
) >/dev/null 7>&- &
cj_timers="$cj_timers $!"
}

cj_beat() { :; }

# strike CODE: run by a timer after its limit has passed. From here on it exits with CODE, whatever ends it.
cj_strike() {
trap "kill -9 \$!; exit $1" 26
cj_end
exit $1
}

cj_end() {
cj_signal 15
cj_tick=500
cj_count $cj_grace
cj_signal 9
}

cj_limit() {
cj_count $cj_max
cj_strike 42
}

# Traps. While the sentinel starts a process they must not fork, since that would change $!. After a stop no
# signal counts any more, and a process that is started then must not die of one.
cj_halt() {
cj_hit=x cj_word=stopped
trap '' $cj_all
[ "$cj_busy" ] || cj_aside cj_end
}

cj_pass() {
cj_hit=x cj_sent="$cj_sent$1 "
[ "$cj_busy" ] || kill -$1 $cj_child
}

#+ heartbeat
cj_fresh() { [ -e "$cj_file" ] && ! [ "$cj_file.$cj_old" -nt "$cj_file" ]; }

# Beats since the last check: the new marker is made before the old one is compared, and equal times count as
# newer, so that no beat is lost if times are coarse. A time in the future is not a beat.
cj_look() {
cj_old=0
cj_beat() {
cj_fresh && cj_beats=$((cj_beats+1))
echo n$cj_beats >>$cj_notes
}
#+ setup
until [ "$cj_some" = b ]; do
cj_count EVERY
read -r cj_some <&9
done
echo b >>$cj_notes
#-
cj_silent=0
while [ $cj_silent -lt SILENT ]; do
cj_count EVERY
cj_silent=$((cj_silent+1)) cj_new=$((1-cj_old))
true >"$cj_file.$cj_new"
cj_fresh && ! [ "$cj_file" -nt "$cj_file.$cj_new" ] && cj_silent=0 cj_beats=$((cj_beats+1))
cj_old=$cj_new
done
cj_beat
cj_strike 43
}

#-
cj_all="1 2 3 10 12 14 15 24"
cj_clock
cj_start=$cj_now
#+ workdir
cd "$7" || cj_fail 126 "no workdir $7"
#-
shift 7
command -v SHELL >/dev/null || cj_fail 127 "no SHELL"
if [ -p ${cj_notes}8 ]; then
read -r cj_some <&8
exec 7>${cj_notes}8
(
trap '' $cj_all
exec tee /dev/null
) <&8 7>&- 8<&- &
cj_tee=$! cj_out=7
fi
exec 8<&-
cj_notes=${cj_notes}9

# A process group of its own: by job control, or by setsid. Job control leaves INT and QUIT alone; otherwise
# a process that is started with & ignores them, and only GNU env can undo that.
[ "$cj_leader" ] || {
set -m
case $- in
*m*) cj_mode=-m cj_alive="kill -0";;
*) command -v setsid >/dev/null && cj_leader=setsid || cj_group=
cj_some="env --default-signal=INT,QUIT"
$cj_some true && cj_leader="$cj_leader $cj_some"
esac
set +m
}
#+ heartbeat
rm -f "$cj_file"
true >"$cj_file.0" && true >"$cj_file.1" || cj_fail 126 "no $cj_file"
#-
trap cj_halt 3 14 15 24
for cj_some in 1 2 10 12; do trap "cj_pass $cj_some" $cj_some; done
[ "$cj_word" ] && cj_say stopped - 143
cj_go() { exec $cj_leader SHELL OPTIONS -c "$cj_command" run $cj_notes "${cj_mark}begun $cj_id]" "$@" 2>&1; }
set +m $cj_mode
(
[ $cj_mode ] || cj_go "$@"
trap : $cj_all
(cj_go "$@")
echo x$? >>$cj_notes
) </dev/null >&$cj_out 7>&- 9<&- &
cj_child=$cj_group$!
set +m
cj_aside cj_limit
#+ heartbeat
[ $cj_rank != 0 ] || cj_aside cj_look
#-
cj_busy=
[ "$cj_word" ] && cj_aside cj_end
for cj_some in $cj_sent; do cj_signal $cj_some; done
# A wait that a trap has interrupted returns more than 128; so does one for a child that died of a signal, for
# which wait is called again. bash would wait for ever for a child that it has forgotten.
while cj_hit=; wait ${cj_child#-}; cj_code=$?; [ $cj_hit ] && [ $cj_code -gt 128 ] && $cj_alive ${cj_child#-}; do :; done
# Signals that arrive now change nothing, and must not interrupt the waits below.
trap '' $cj_all
exec 7>&-
for cj_some in $cj_timers; do
kill -26 $cj_some
wait $cj_some
case $?$cj_word in
42) cj_word=max_runtime_reached;;
43) cj_word=heartbeat_timeout
esac
done
[ "$cj_word" ] || kill -15 $cj_child
# A dead process whose parent does not reap it never disappears.
while [ $cj_grace -gt 0 ] && kill -0 $cj_child; do cj_pause 10; cj_grace=$((cj_grace-10)); done
kill -9 $cj_child
while read -r cj_some; do
case $cj_some in
b) cj_begun=1;;
n*) cj_beats=${cj_some#n};;
x*) cj_code=${cj_some#x} cj_mode=
esac
done <&9
# A process that broke away may keep the output open: the wait for it is short; its output is not the job's.
for cj_some in 0 9 99; do [ ! -e /proc/$cj_tee/exe ] || cj_pause $cj_some; done
kill -9 $cj_tee
wait $cj_tee
[ $? != 1 ] || cj_cut=" log=cut"
#+ heartbeat
rm -f "$cj_file" "$cj_file".[01]
#-
# A command that dies of a signal that the sentinel received was stopped from outside, and so was a wrapper
# that left no exit code.
case $cj_sent$cj_mode in *" $((cj_code-128)) "* | *m) cj_word=${cj_word:-stopped};; esac
case $cj_word in
'') [ $cj_begun != 0 ] || cj_say start_failed $cj_code $((cj_code?cj_code:126))
cj_say exited $cj_code $cj_code;;
stopped) cj_say stopped - 143;;
*) cj_say $cj_word - 124
esac
