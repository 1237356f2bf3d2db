# The batch script of a job, in sections that script.py puts together around the job's own part.
# Variables that the caller exports must reach the job, so no variable here may have the name of one of them:
# all begin with clusterjobs_. dir is the job's folder, max the number of allowed restarts, ranks the number
# of nodes. script.py replaces NONCE, and by what the scheduler provides: JOBID (the name of the variable with
# the job's id), NODENAME, HOSTS (a command) and SCHEDULER.

## head
clusterjobs_n=0 clusterjobs_how=itself clusterjobs_child= clusterjobs_away= clusterjobs_due=
delete_secrets() { rm -f "$clusterjobs_dir/secrets"; }
report() { echo "clusterjobs: $*" >&2; }

# A signal for the command is passed on, a signal that ends the job ends it; either waits until a child runs.
pass() {
clusterjobs_hit=x clusterjobs_signalled=x
if [ "$clusterjobs_child" ]; then deliver "$1"; else clusterjobs_due="$clusterjobs_due $1"; fi
}
halt() { clusterjobs_how=stopped; pass TERM; }
trap 'pass HUP' HUP
trap 'pass INT' INT
trap 'pass USR1' USR1
trap 'pass USR2' USR2
trap halt TERM QUIT ALRM XCPU

# finish CODE HOW: the final record. A reader of it may rely on all logs being written.
finish() {
trap '' HUP INT USR1 USR2 TERM QUIT ALRM XCPU
[ -z "$clusterjobs_away" ] || rm -rf "$clusterjobs_away"
# A stop may be followed by a requeue.
{ [ "$2" = stopped ] && [ "$clusterjobs_n" -lt "$clusterjobs_max" ]; } || delete_secrets
echo "$1 $2" >"$clusterjobs_dir/ended"
exit "$1"
}

# A token that was submitted twice runs once.
set -C
{ echo "$JOBID" >"$clusterjobs_dir/job"; } 2>/dev/null
set +C
read -r clusterjobs_owner <"$clusterjobs_dir/job"
[ "$clusterjobs_owner" ] || { report "cannot write to $clusterjobs_dir on NODENAME"; exit 126; }
[ "$clusterjobs_owner" = "$JOBID" ] || { report "job $clusterjobs_owner has this token already"; exit 125; }
# A job that has ended by itself does not begin again if it is requeued; a stopped one may have been stopped
# for that.
if [ -e "$clusterjobs_dir/ended" ]; then
read -r clusterjobs_code clusterjobs_was <"$clusterjobs_dir/ended"
[ "$clusterjobs_was" = stopped ] || exit 0
rm -f "$clusterjobs_dir/ended"
fi
while [ -e "$clusterjobs_dir/start.$clusterjobs_n" ]; do clusterjobs_n=$((clusterjobs_n+1)); done
[ "$clusterjobs_n" -le "$clusterjobs_max" ] || { report "started again by SCHEDULER more often than max_restarts allows"; finish 125 over; }

# last RANK: the last line of its sentinel.
last() { tail -c 4096 "$clusterjobs_dir/log.$clusterjobs_n.$1" | tr -d '\r\0' | LC_ALL=C grep '^\[clusterjobs NONCE [a-z_]* exit_code='; }

## again
# Whether it may restart: something failed by itself, no limit struck, and there was no request to stop.
again() {
[ "$clusterjobs_n" -lt "$clusterjobs_max" ] && [ "$clusterjobs_how" = itself ] || return
clusterjobs_rank=0 clusterjobs_failed=
while [ "$clusterjobs_rank" -lt "$clusterjobs_ranks" ]; do
clusterjobs_log=$clusterjobs_dir/log.$clusterjobs_n.$clusterjobs_rank
[ ! -e "$clusterjobs_log" ] || case $(last "$clusterjobs_rank") in
*' exited exit_code=0 '* | *' stopped exit_code='*) ;;
*' exited exit_code='*) clusterjobs_failed=x ;;
# Its sentinel was killed, and the log's folder entry may be late. If the command had not begun, nothing
# of the job has failed.
'') sleep 1; ! LC_ALL=C grep -q '^\[clusterjobs NONCE begun ' "$clusterjobs_log" || clusterjobs_failed=x ;;
*) return 1 ;;
esac
clusterjobs_rank=$((clusterjobs_rank+1))
done
[ "$clusterjobs_failed" ]
}

## direct
HOSTS >"$clusterjobs_dir/hosts"
# A process started with & ignores INT and QUIT, except by job control, which dash has at a terminal only.
clusterjobs_mode=+m clusterjobs_via=
set -m 2>/dev/null
case $- in
*m*) clusterjobs_mode=-m ;;
*) ! env --default-signal=INT,QUIT true 2>/dev/null || clusterjobs_via='env --default-signal=INT,QUIT' ;;
esac
set +m
begin() {
set $clusterjobs_mode
launch & clusterjobs_child=$!
set +m
}
# A sentinel that has no traps yet would die of a signal: it has all of them once it has that of USR2 (12).
deliver() {
clusterjobs_tries=0
until catches; do
[ "$clusterjobs_tries" -lt 50 ] && [ -e "/proc/$clusterjobs_child" ] || { [ "$1" = TERM ] && break || return 0; }
clusterjobs_tries=$((clusterjobs_tries+1))
sleep 0.1
done
kill -s "$1" "$clusterjobs_child" 2>/dev/null
}
catches() {
# Until it becomes the sentinel, it is a copy of this shell, with traps that it is about to drop.
grep -q NONCE "/proc/$clusterjobs_child/cmdline" || return
while read -r clusterjobs_field clusterjobs_bits; do
[ "$clusterjobs_field" != SigCgt: ] || return $((1-(0x$clusterjobs_bits>>11&1)))
done <"/proc/$clusterjobs_child/status"
return 1
} 2>/dev/null
# A shell may lose the code of a child that ends when a signal is due; the sentinel's last line has it, too.
end() {
[ "$clusterjobs_signalled" ] || return 0
clusterjobs_last=$(last 0)
case $clusterjobs_last in
*' exited exit_code='* | *' start_failed exit_code='[1-9]*)
clusterjobs_code=${clusterjobs_last#* exit_code=}
clusterjobs_code=${clusterjobs_code%% *} ;;
*' stopped exit_code='*) clusterjobs_code=143 ;;
*' start_failed exit_code='*) clusterjobs_code=126 ;;
'') clusterjobs_code=137 ;;
*) clusterjobs_code=124 ;;
esac
}

## home
# A folder on the node for the heartbeat, which is checked all the time. It outlives a start.
clusterjobs_home=${TMPDIR:-/tmp}
[ -d "$clusterjobs_home" ] || clusterjobs_home=/tmp
clusterjobs_home=$clusterjobs_home/clusterjobs.NONCE
if mkdir -m 700 "$clusterjobs_home" 2>/dev/null || { [ -O "$clusterjobs_home" ] && [ ! -h "$clusterjobs_home" ]; }; then
clusterjobs_away=$clusterjobs_home
else
clusterjobs_home=
fi
{ [ "$clusterjobs_home" ] && true >"$clusterjobs_home/beat"; } 2>/dev/null || clusterjobs_home=$clusterjobs_dir

## loop
# bash makes process groups by itself, dash only with the help of four programs. With -p bash takes nothing
# from the environment that would change it (SHELLOPTS, BASH_ENV), and passes on functions and all names
# unchanged.
clusterjobs_sh='/bin/bash -p'
[ -x /bin/bash ] || clusterjobs_sh=/bin/sh
while :; do
clusterjobs_signalled=${clusterjobs_due:+x}
# A start that cannot be recorded must not begin.
{ echo "$JOBID" >"$clusterjobs_dir/start.$clusterjobs_n" && true >>"$clusterjobs_dir/log.$clusterjobs_n.0"; } || finish 126 broken
report "start $clusterjobs_n"
begin
for clusterjobs_some in $clusterjobs_due; do deliver "$clusterjobs_some"; done
clusterjobs_due=
# bash may have lost a child that ended when a signal was due, and would wait for it for ever.
while clusterjobs_hit=; wait "$clusterjobs_child"; clusterjobs_code=$?; [ "$clusterjobs_hit" ] && kill -0 "$clusterjobs_child" 2>/dev/null; do :; done
clusterjobs_child=
end
[ "$clusterjobs_code" != 0 ] && again || break
clusterjobs_n=$((clusterjobs_n+1))
done
finish "$clusterjobs_code" "$clusterjobs_how"
