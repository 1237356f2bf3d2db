# The script that the job's shell gets with -c, joined to one line, so that line numbers in its messages are
# those of the job's script.
# Arguments: notes mark script [setup] [args...]. MODE and ARGS are replaced; a block between #+ NAME and #-
# is delivered if it is needed.
# Signals that are passed on reach a program that has a handler; the shell around it survives them. A TERM
# ends the shell only after its program has ended: otherwise the children would go to a process that may not
# reap them.
trap : 1 2 10 12
trap 'exit 143' 15
#+ setup
cj_notes=$1 cj_mark=$2 cj_run=$3
eval "set --;$4"
cj_some=$?
[ $cj_some = 0 ] || exit $cj_some
MODE
echo
echo "$cj_mark"
echo b >>$cj_notes || exit 126
set -- ARGS
eval "unset cj_notes cj_mark cj_run cj_some;$cj_run"
#-
#+ plain
echo "$2"
echo b >>$1 || exit 126
eval "shift 3;$3"
#-
