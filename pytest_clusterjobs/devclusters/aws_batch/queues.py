"""Job queues and compute environments of moto, and a cache of the queues' ARNs."""

from __future__ import annotations

from .errors import BadRequest
from .moto_internals import MotoClient

COMPUTE_ENVIRONMENT = "local"
ROLE = f"arn:aws:iam::{{account}}:role/{COMPUTE_ENVIRONMENT}"


class Queues:
    """The queues' ARNs, cached until a queue changes."""

    def __init__(self, client: MotoClient) -> None:
        self._client = client
        self._known: dict[tuple[str, str, str], str] = {}

    def arn(self, account: str, region: str, name: str) -> str | None:
        """The ARN of an enabled queue by name or ARN. Raises BadRequest if it is disabled."""
        key = (account, region, name)
        if key not in self._known:
            body = {"jobQueues": [name]}
            found = self._client.call(account, region, "batch", "/v1/describejobqueues", body)["jobQueues"]
            if not found or not name:
                return None
            if found[0]["state"] != "ENABLED":
                raise BadRequest(f"JobQueue {name} is disabled.")
            self._known[key] = found[0]["jobQueueArn"]
        return self._known[key]

    def clear_cache(self) -> None:
        """Call this when a queue may have changed."""
        self._known.clear()

    def ensure(self, account: str, region: str, name: str) -> None:
        """Create a queue with this name, unless it exists."""
        if self.arn(account, region, name) is not None:
            return
        environment = self._environment(account, region)
        order = [{"order": 1, "computeEnvironment": environment}]
        body = {
            "jobQueueName": name,
            "state": "ENABLED",
            "priority": 1,
            "computeEnvironmentOrder": order,
        }
        self._client.call(account, region, "batch", "/v1/createjobqueue", body)
        self.clear_cache()

    def _environment(self, account: str, region: str) -> str:
        path = "/v1/describecomputeenvironments"
        body = {"computeEnvironments": [COMPUTE_ENVIRONMENT]}
        found = self._client.call(account, region, "batch", path, body)["computeEnvironments"]
        if not found:
            self._client.create_role(account, region, COMPUTE_ENVIRONMENT)
            made = {"computeEnvironmentName": COMPUTE_ENVIRONMENT, "type": "UNMANAGED", "state": "ENABLED"}
            made["serviceRole"] = ROLE.format(account=account)
            self._client.call(account, region, "batch", "/v1/createcomputeenvironment", made)
            found = self._client.call(account, region, "batch", path, body)["computeEnvironments"]
        arn: str = found[0]["computeEnvironmentArn"]
        return arn
