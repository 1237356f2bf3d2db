# What the sentinel does not know by itself on AWS Batch, found out on the node before it begins. What AWS tells is
# in AWS_BATCH_*. LINGER is replaced. Variables are the sentinel's own, which are no job's, and free until it begins.

## start
export CLUSTERJOBS_RESTARTS=$((${AWS_BATCH_JOB_ATTEMPT:-1}-1)) CLUSTERJOBS_HOSTFILE="${TMPDIR:-/tmp}/clusterjobs.$AWS_BATCH_JOB_ID.hosts"

## one
echo 127.0.0.1 2>/dev/null >"$CLUSTERJOBS_HOSTFILE"

## several
# AWS tells the children where the main node is, and the main node nothing. Who is where else, nobody knows:
# a name that will never be one says so to whoever tries it.
cj_took=$(hostname -i 2>/dev/null)
cj_took=${cj_took%% *}
export CLUSTERJOBS_NODE_RANK=$AWS_BATCH_JOB_NODE_INDEX CLUSTERJOBS_MASTER_ADDR="${AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS:-${cj_took:-0.0.0.0}}"
cj_some=0
while [ $cj_some -lt $CLUSTERJOBS_NUM_NODES ]; do
case $cj_some in
0) echo "$CLUSTERJOBS_MASTER_ADDR";;
$CLUSTERJOBS_NODE_RANK) echo "${cj_took:-127.0.0.1}";;
*) echo "rank-$cj_some.invalid";;
esac
cj_some=$((cj_some+1))
done 2>/dev/null >"$CLUSTERJOBS_HOSTFILE"
# AWS Batch stops the other nodes as soon as this one has ended.
# A signal may let a fork of bash come there as well, which has said nothing: there the first command's code is not to be believed.
[ $CLUSTERJOBS_NODE_RANK != 0 ] || trap 'cj_some=$?; if [ "$cj_line" ] && [ $cj_some = 0 ]; then sleep LINGER; fi' EXIT
