"""The values that a definition's ``secrets`` name, from moto's Secrets Manager and Parameter Store."""

from __future__ import annotations

import json
import re

from .moto_internals import MotoClient


class NoSecret(Exception):
    """The secret or parameter does not exist."""


class EmulatedSecrets:
    """Looks up secrets as the ECS agent does before a container starts."""

    def __init__(self, client: MotoClient) -> None:
        self._client = client

    def value(self, account: str, region: str, source: str) -> str:
        """The value of ``valueFrom``: a secret's or parameter's ARN, or a parameter's name.

        Raises NoSecret.
        """
        try:
            if match := re.match(r"arn:[^:]+:secretsmanager:([^:]+):[^:]+:secret:", source):
                return self._secret(account, match[1], source)
            return self._parameter(account, region, source)
        except (LookupError, ValueError) as error:
            raise NoSecret(str(error)) from error

    def _secret(self, account: str, region: str, source: str) -> str:
        parts = source.split(":")
        arn, key = ":".join(parts[:7]), (parts[7:] or [""])[0]
        body = {"SecretId": arn}
        found = self._client.call(
            account, region, "secretsmanager", "/", body, "secretsmanager.GetSecretValue"
        )
        text = str(found["SecretString"])
        return str(json.loads(text)[key]) if key else text

    def _parameter(self, account: str, region: str, source: str) -> str:
        match = re.match(r"arn:[^:]+:ssm:([^:]+):[^:]+:parameter(/.*)", source)
        name, region = (match[2], match[1]) if match else (source, region)
        # An ARN does not show whether the parameter's name begins with a slash.
        for each in dict.fromkeys((name, name.lstrip("/"))):
            try:
                body = {"Name": each, "WithDecryption": True}
                found = self._client.call(account, region, "ssm", "/", body, "AmazonSSM.GetParameter")
                return str(found["Parameter"]["Value"])
            except LookupError as error:
                failed = error
        raise failed
