"""Backends that break one requirement each, derived from the local backend."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_clusterjobs.backends.local import TYPE
from pytest_clusterjobs.backends.local.settings import capabilities as local_capabilities
from pytest_clusterjobs.backends.protocol import Backend
from pytest_clusterjobs.backends.protocol import BackendContext
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.protocol import BackendType
from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.backends.protocol import FindAnswer
from pytest_clusterjobs.backends.protocol import Found
from pytest_clusterjobs.backends.protocol import NotSubmitted
from pytest_clusterjobs.backends.protocol import SubmissionRejected
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import LogChunk
from pytest_clusterjobs.model import NodeState
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model import Times
from pytest_clusterjobs.model.token import run_prefix
from pytest_clusterjobs.model.token import Token


class LocalWrapper:
    """The local backend, with a method to override for every call and its arguments."""

    everything: dict[str, Handle]
    """Everything that was submitted by any instance of this class."""
    opened: list[LocalWrapper]
    """Instances of this class that have not been closed."""

    stated = staticmethod(local_capabilities)
    """The capabilities that its type declares."""

    def __init_subclass__(cls) -> None:
        cls.everything = {}
        cls.opened = []

    def __init__(self, context: BackendContext) -> None:
        self.opened.append(self)
        self.context = context
        self.inner: Backend = TYPE.open(context)
        self.mine: set[str] = set()

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    def submit(self, spec: JobSpec, token: str) -> Handle:
        handle = self.inner.submit(self.spec(spec), token)
        self.everything[token] = handle
        self.mine.add(token)
        return handle

    def spec(self, spec: JobSpec) -> JobSpec:
        return spec

    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        seen = self.inner.poll(handles)
        return {token: self.observation(token, each) for token, each in seen.items()}

    def observation(self, token: str, seen: Observation) -> Observation:
        return seen

    def cancel(self, handles: Mapping[str, Handle]) -> None:
        self.inner.cancel(handles)

    def logs(
        self,
        handle: Handle,
        *,
        node: int = 0,
        restart: int | None = None,
        cursor: Any = None,
        tail: int | None = None,
    ) -> LogChunk:
        return self.inner.logs(handle, node=node, restart=restart, cursor=cursor, tail=tail)

    def find(self, token: str) -> FindAnswer:
        return self.inner.find(token)

    def sweep(self, run_id: str) -> Mapping[str, Handle]:
        return self.inner.sweep(run_id)

    def close(self) -> None:
        if self in self.opened:
            self.opened.remove(self)
        self.inner.close()


def broken(kind: type[LocalWrapper]) -> BackendType:
    """A backend type that opens a broken backend."""
    return BackendType("broken", kind, TYPE.settings, TYPE.options, capabilities=kind.stated)


def _recode(seen: Observation, change: Callable[[int], int], ranks: tuple[int, ...] = ()) -> Observation:
    nodes = tuple(node if ranks and node.rank not in ranks else _node(node, change) for node in seen.nodes)
    code = None if seen.exit_code is None else change(seen.exit_code)
    return replace(seen, nodes=nodes, exit_code=code)


def _node(node: NodeState, change: Callable[[int], int]) -> NodeState:
    if node.exit_code is None:
        return node
    code = change(node.exit_code)
    return replace(node, exit_code=code, report=SentinelReport(SentinelWord.EXITED, node.rank, code))


class ReportsPendingAsEnded(LocalWrapper):
    def observation(self, token: str, seen: Observation) -> Observation:
        return replace(seen, phase=Phase.ENDED)


class RunsAgainAfterItsEnd(LocalWrapper):
    polls = 0

    def observation(self, token: str, seen: Observation) -> Observation:
        self.polls += seen.phase is Phase.ENDED
        return replace(seen, phase=Phase.RUNNING) if self.polls == 2 else seen


class ReportsQueuedAsRunning(LocalWrapper):
    def observation(self, token: str, seen: Observation) -> Observation:
        return replace(seen, phase=Phase.RUNNING) if seen.phase is Phase.PENDING else seen


class LosesTheExitCode(LocalWrapper):
    def observation(self, token: str, seen: Observation) -> Observation:
        return _recode(seen, lambda code: 0)


class ReportsBareSignals(LocalWrapper):
    def observation(self, token: str, seen: Observation) -> Observation:
        return _recode(seen, lambda code: code - 128 if code > 128 else code)


class ReportsTheFirstRankOnly(LocalWrapper):
    def observation(self, token: str, seen: Observation) -> Observation:
        return _recode(seen, lambda code: 0, ranks=(1, 2))


class OmitsRestarts(LocalWrapper):
    def observation(self, token: str, seen: Observation) -> Observation:
        nodes = tuple(
            replace(node, report=node.report and replace(node.report, restarts=0)) for node in seen.nodes
        )
        return replace(seen, restarts=0, nodes=nodes)


class InventsARestart(LocalWrapper):
    def observation(self, token: str, seen: Observation) -> Observation:
        return replace(seen, restarts=1)


class ReportsMilliseconds(LocalWrapper):
    def observation(self, token: str, seen: Observation) -> Observation:
        return replace(seen, times=Times(*(each and each * 1000 for each in _moments(seen))))


class ReversesTimes(LocalWrapper):
    def observation(self, token: str, seen: Observation) -> Observation:
        return replace(seen, times=Times(*reversed(_moments(seen))))


def _moments(seen: Observation) -> list[float | None]:
    return [seen.times.submitted, seen.times.started, seen.times.ended]


class OmitsTheNativeState(LocalWrapper):
    def observation(self, token: str, seen: Observation) -> Observation:
        return replace(seen, native_state="")


class ReportsASecret(LocalWrapper):
    def observation(self, token: str, seen: Observation) -> Observation:
        return replace(seen, native_reason=os.environ.get("CONFORMANCE_SECRET", ""))


class SecretInTheHandle(LocalWrapper):
    def submit(self, spec: JobSpec, token: str) -> Handle:
        handle = super().submit(spec, token)
        return replace(handle, data={**handle.data, "env": [os.environ[name] for name in spec.secrets]})


class SecretInAFile(LocalWrapper):
    def submit(self, spec: JobSpec, token: str) -> Handle:
        values = [os.environ[name] for name in spec.secrets]
        (self.context.run_dir / "environment").write_text("\n".join(values))
        return super().submit(spec, token)


class SecretOnTheCommandLine(LocalWrapper):
    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, args=(*spec.args, *(os.environ[name] for name in spec.secrets)))


class HandleIsNoJson(LocalWrapper):
    def submit(self, spec: JobSpec, token: str) -> Handle:
        handle = super().submit(spec, token)
        return replace(handle, data={**handle.data, "folder": Path("x")})


class HandleChangesInJson(LocalWrapper):
    def submit(self, spec: JobSpec, token: str) -> Handle:
        handle = super().submit(spec, token)
        return replace(handle, data={**handle.data, "pair": (1, 2)})


class HasNoIds(LocalWrapper):
    def submit(self, spec: JobSpec, token: str) -> Handle:
        return replace(super().submit(spec, token), job_id=None)

    def observation(self, token: str, seen: Observation) -> Observation:
        return replace(seen, handle=None)


class SubmitsTwice(LocalWrapper):
    def submit(self, spec: JobSpec, token: str) -> Handle:
        if token in self.everything:
            parsed = Token.parse(token)
            token = str(replace(parsed, attempt=parsed.attempt + len(self.everything)))
        return super().submit(spec, token)


class HidesARejection(LocalWrapper):
    def submit(self, spec: JobSpec, token: str) -> Handle:
        try:
            return super().submit(spec, token)
        except SubmissionRejected as error:
            raise BackendError(str(error)) from None


class MixesUpJobs(LocalWrapper):
    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        seen = super().poll(handles)
        return dict(zip(seen, reversed(list(seen.values())), strict=True))


class ReportsUnknownTokens(LocalWrapper):
    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        return {**super().poll(handles), "ghost": Observation(Phase.ABSENT)}


class FailsWithoutJobs(LocalWrapper):
    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        assert handles, "poll was called without jobs"
        return super().poll(handles)


class KeepsJobsInMemoryOnly(LocalWrapper):
    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        seen = super().poll(handles)
        return {token: seen[token] if token in self.mine else Observation(Phase.ABSENT) for token in seen}


class NeverFinds(LocalWrapper):
    def find(self, token: str) -> FindAnswer:
        return NotSubmitted()


class FindsAnything(LocalWrapper):
    def find(self, token: str) -> FindAnswer:
        return Found(Handle("1"))


class AnnouncesNothing(LocalWrapper):
    def subscribe(self, changed: Callable[[Collection[str]], None]) -> None:
        pass


class SweepsByPrefix(LocalWrapper):
    def sweep(self, run_id: str) -> Mapping[str, Handle]:
        sweeps = [each.inner.sweep(each.context.run_id) for each in self.opened]
        prefix = run_prefix(run_id)
        return {
            token: handle for sweep in sweeps for token, handle in sweep.items() if token.startswith(prefix)
        }


class SweepsNothing(LocalWrapper):
    def sweep(self, run_id: str) -> Mapping[str, Handle]:
        return {}


class EndsJobsOnClose(LocalWrapper):
    def close(self) -> None:
        if self in self.opened:
            self.inner.cancel(self.inner.sweep(self.context.run_id))
        super().close()


class IgnoresCancels(LocalWrapper):
    def cancel(self, handles: Mapping[str, Handle]) -> None:
        pass


class ReportsACancelOnly(LocalWrapper):
    """Reports the end of a job that keeps running."""

    def __init__(self, context: BackendContext) -> None:
        super().__init__(context)
        self.gone: set[str] = set()

    def cancel(self, handles: Mapping[str, Handle]) -> None:
        self.gone.update(handles)

    def observation(self, token: str, seen: Observation) -> Observation:
        if token not in self.gone:
            return seen
        return replace(seen, phase=Phase.ENDED, reason_hint=Reason.CANCELLED)


class CancelsEverything(LocalWrapper):
    def cancel(self, handles: Mapping[str, Handle]) -> None:
        self.inner.cancel(self.inner.sweep(self.context.run_id))


class CancelsEndedJobs(LocalWrapper):
    def __init__(self, context: BackendContext) -> None:
        super().__init__(context)
        self.gone: set[str] = set()

    def cancel(self, handles: Mapping[str, Handle]) -> None:
        self.gone.update(handles)
        super().cancel(handles)

    def observation(self, token: str, seen: Observation) -> Observation:
        return replace(seen, reason_hint=Reason.CANCELLED) if token in self.gone else seen


class ReportsCancelledAsCompleted(LocalWrapper):
    def observation(self, token: str, seen: Observation) -> Observation:
        return replace(_recode(seen, lambda code: 0), reason_hint=None)


class ReadsOneRankOnly(LocalWrapper):
    def logs(self, handle: Handle, *, node: int = 0, **rest: Any) -> LogChunk:
        return super().logs(handle, node=0, **rest)


class HasOneRankForAll(LocalWrapper):
    """Starts one process for any ``nodes`` and returns its log for each rank, so ``max_nodes`` is 1."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, max_nodes=1)

    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, nodes=1)

    def logs(self, handle: Handle, *, node: int = 0, **rest: Any) -> LogChunk:
        return super().logs(handle, node=0, **rest)


class LendsTheLastRanksLog(LocalWrapper):
    """Returns the log of the last rank for ranks that the job does not have."""

    def logs(self, handle: Handle, *, node: int = 0, **rest: Any) -> LogChunk:
        seen = self.inner.poll({handle.data["token"]: handle})[handle.data["token"]]
        return super().logs(handle, node=min(node, len(seen.nodes) - 1), **rest)


class AcceptsWiderJobs(LocalWrapper):
    """Starts jobs that are too wide, on the nodes that exist."""

    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, nodes=min(spec.nodes, self.capabilities.max_nodes or 1))


class AcceptsRestartsButDoesNone(LocalWrapper):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, restarts=False)

    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, max_restarts=0)


class AcceptsMoreRestartsThanItDoes(LocalWrapper):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, max_restarts=2)

    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, max_restarts=min(spec.max_restarts, 2))


class IsNarrowerThanItsTypeStates(LocalWrapper):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, max_nodes=2)


class RestartsLessThanItsTypeStates(LocalWrapper):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, restarts=False)


class StatesNoCapabilities(LocalWrapper):
    @staticmethod
    def stated(settings: Any) -> Any:
        return {"max_nodes": 4}


class ReadsOneStartOnly(LocalWrapper):
    def logs(self, handle: Handle, *, restart: int | None = None, **rest: Any) -> LogChunk:
        return super().logs(handle, restart=None, **rest)


class IgnoresTheCursor(LocalWrapper):
    def logs(self, handle: Handle, *, cursor: Any = None, **rest: Any) -> LogChunk:
        return super().logs(handle, cursor=None, **rest)


class ReadsTheHeadForTheTail(LocalWrapper):
    def logs(self, handle: Handle, *, tail: int | None = None, **rest: Any) -> LogChunk:
        chunk = super().logs(handle, **rest)
        return chunk if tail is None else replace(chunk, text=chunk.text[:tail])


class CompletesALogTooEarly(LocalWrapper):
    def logs(self, handle: Handle, **rest: Any) -> LogChunk:
        return replace(super().logs(handle, **rest), complete=True)


class NeverCompletesALog(LocalWrapper):
    def logs(self, handle: Handle, **rest: Any) -> LogChunk:
        return replace(super().logs(handle, **rest), complete=False)


class CutsLogs(LocalWrapper):
    def logs(self, handle: Handle, **rest: Any) -> LogChunk:
        chunk = super().logs(handle, **rest)
        return replace(chunk, text=chunk.text[-65536:])


class SplitsCharacters(LocalWrapper):
    def logs(self, handle: Handle, **rest: Any) -> LogChunk:
        chunk = super().logs(handle, **rest)
        data = chunk.text.encode()
        text = "".join(data[i : i + 1001].decode(errors="replace") for i in range(0, len(data), 1001))
        return replace(chunk, text=text)


class JoinsArguments(LocalWrapper):
    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, args=tuple(" ".join(spec.args).split()))


class StripsValues(LocalWrapper):
    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, env={name: value.strip() for name, value in spec.env.items()})


class QuotesTheScriptOnce(LocalWrapper):
    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, run=f'{spec.shell} -c "{spec.run}"')


class DropsSecrets(LocalWrapper):
    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, secrets=(), env={**spec.env, **dict.fromkeys(spec.secrets, "")})


class IgnoresHeartbeats(LocalWrapper):
    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, heartbeat_timeout=None)


class CountsTheRunTimeOverAllStarts(LocalWrapper):
    """Approximately: each start gets half of the run time."""

    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, max_runtime=spec.max_runtime / 2)


class IgnoresTheRunTime(LocalWrapper):
    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, max_runtime=7200.0)


class GivesNoGrace(LocalWrapper):
    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, grace_period=0.01)


class RestartsByDefault(LocalWrapper):
    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, max_restarts=2)


class NeverRestarts(LocalWrapper):
    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, max_restarts=0)


class RunsSetupInTheCommand(LocalWrapper):
    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, setup=None, run=f"{spec.setup}\n{spec.run}")


class IgnoresTheWorkdir(LocalWrapper):
    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, workdir=None)


class GivesEveryRankTheSameNumber(LocalWrapper):
    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, run=f"export CLUSTERJOBS_NODE_RANK=0\n{spec.run}")


class GivesTheWrongName(LocalWrapper):
    def spec(self, spec: JobSpec) -> JobSpec:
        return replace(spec, name=shlex.quote(f" {spec.name}"))


class LosesTheBeginning(LocalWrapper):
    """Returns logs without their first line."""

    def logs(self, handle: Handle, *, cursor: Any = None, **rest: Any) -> LogChunk:
        chunk = super().logs(handle, cursor=cursor, **rest)
        return chunk if cursor else replace(chunk, text=chunk.text.partition("\n")[2])


class LosesTheEnd(LocalWrapper):
    """Returns logs without their last line."""

    def logs(self, handle: Handle, **rest: Any) -> LogChunk:
        chunk = super().logs(handle, **rest)
        return replace(chunk, text=chunk.text.rpartition("\n[clusterjobs ")[0] or chunk.text)


class MixesUpRanks(LocalWrapper):
    """Returns the log of the next rank."""

    def logs(self, handle: Handle, *, node: int = 0, **rest: Any) -> LogChunk:
        try:
            chunk = super().logs(handle, node=node + 1, **rest)
        except BackendError:
            chunk = LogChunk("")
        return chunk if chunk.text else super().logs(handle, node=0, **rest)


class GivesOneRanksReportForAll(LocalWrapper):
    def observation(self, token: str, seen: Observation) -> Observation:
        reports = [node.report for node in seen.nodes]
        return replace(
            seen,
            nodes=tuple(
                replace(node, exit_code=0, report=reports[0] and replace(reports[0], node=node.rank))
                for node in seen.nodes
            ),
        )


class ReportsSignalsAsLimits(LocalWrapper):
    """Reports a job that was stopped by a signal as ended by a limit."""

    def observation(self, token: str, seen: Observation) -> Observation:
        return replace(seen, reason_hint=Reason.MAX_RUNTIME_REACHED) if _was_stopped(seen) else seen


class TrustsTheClusterForADeadSentinel(LocalWrapper):
    """Invents the report that a killed sentinel did not write."""

    def observation(self, token: str, seen: Observation) -> Observation:
        if seen.phase is not Phase.ENDED:
            return seen
        nodes = (
            node
            if node.report is not None
            else replace(node, report=SentinelReport(SentinelWord.EXITED, node.rank, node.exit_code or 0))
            for node in seen.nodes
        )
        return replace(seen, nodes=tuple(nodes))


class ReportsSetupAsTheCommand(LocalWrapper):
    def observation(self, token: str, seen: Observation) -> Observation:
        nodes = (
            replace(
                node, report=node.report and replace(node.report, begun=True, word=_as_command(node.report))
            )
            for node in seen.nodes
        )
        return replace(seen, nodes=tuple(nodes))


def _was_stopped(seen: Observation) -> bool:
    return any(node.report is not None and node.report.word is SentinelWord.STOPPED for node in seen.nodes)


def _as_command(report: SentinelReport) -> SentinelWord:
    return SentinelWord.EXITED if report.word is SentinelWord.START_FAILED else report.word
