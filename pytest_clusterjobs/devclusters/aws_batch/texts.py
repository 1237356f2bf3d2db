"""Messages and status reasons of AWS Batch.

The texts are from its documentation and from public bug reports. Those under "Invented" are not real: tests
should not match them.
"""

from __future__ import annotations

COMMAND_ENDED = "Essential container in task exited"
TIMED_OUT = "Job attempt duration exceeded timeout"
HOST_LOST = "Host EC2 (instance {instance}) terminated."
SPOT_RECLAIMED = "Your Spot Task was interrupted."
NOT_STARTED = "Task failed to start"
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
DEPENDENCY_FAILED = "Dependent Job failed"
CHILD_FAILED = "Array Child Job failed"
OVERRIDES_TOO_LONG = "Container Overrides length must be at most 8192"
QUEUE_LIMIT = "Canceled by JobStateTimeLimit action due to reason: {reason}"
PULL_FAILED = (
    "CannotPullContainerError: pull image manifest has been retried 1 time(s): "
    "failed to resolve ref {image}: {image}: not found"
)
START_FAILED = (
    "CannotStartContainerError: Error response from daemon: failed to create shim task: OCI runtime create "
    'failed: runc create failed: unable to start container process: exec: "{program}": {why}: unknown'
)
SECRET_FAILED = (
    "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: "
    "unable to retrieve secret from asm: {why}"
)
TOO_MANY_NODES = (
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet "
    "the CPU requirement of the job."
)
TOO_LARGE = (
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher "
    "than that can be met by the CE(s) attached to the job queue."
)
TOO_MANY_IDS = (
    "Error executing request, Exception : Maximum number of jobs supported is  100 ., RequestId: {request}"
)
RESTRICTED = "Evaluate on exit condition contains restricted characters."
NO_TARGET = "NodeOverride targets should match job definition. Non matching targets - {target}"
TOO_MANY_REQUESTS = "Too Many Requests"

# Invented.
MAIN_NODE_ENDED = "Main node exited"
ERROR = "Error executing request, Exception : {what}, RequestId: {request}"
