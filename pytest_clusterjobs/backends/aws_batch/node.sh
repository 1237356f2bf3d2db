# Finds out on the node, before the sentinel begins, what the sentinel does not know on AWS Batch. AWS's own
# information is in AWS_BATCH_*. LINGER is replaced. Variables are named like the sentinel's own: no job has
# them, and they are free until the sentinel begins.

## start
export CLUSTERJOBS_RESTARTS=$((${AWS_BATCH_JOB_ATTEMPT:-1}-1)) CLUSTERJOBS_HOSTFILE="${TMPDIR:-/tmp}/clusterjobs.$AWS_BATCH_JOB_ID.hosts"

## one
echo 127.0.0.1 2>/dev/null >"$CLUSTERJOBS_HOSTFILE"

## several
# AWS gives the address of the main node to the children only. The other addresses are unknown: they get
# a name that never resolves, so that a connection attempt fails with that name.
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
# After a signal a fork of bash, which has reported nothing, may get here as well: there the first command's
# code is not reliable.
[ $CLUSTERJOBS_NODE_RANK != 0 ] || trap 'cj_some=$?; if [ "$cj_line" ] && [ $cj_some = 0 ]; then sleep LINGER; fi' EXIT
