"""The checks of each layer, made once, before any cell is built."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace

from ..model import ANY
from ..model import REASON_CLASSES
from ..model.text import did_you_mean
from ..model.text import quoted
from .errors import Reporter
from .merge import Layer
from .resolved import BackendTarget
from .synonyms import unknown_reason
from .where import BACKEND
from .where import check_where
from .where import Selection
from .where import Where


@dataclass(frozen=True)
class LayerCheck:
    """The names that a matrix may use, and the check of a layer against them."""

    target: BackendTarget | None
    backends: Collection[str]
    """Every backend NAME and type that the site knows."""
    known: Mapping[str, Collection[str]]
    """The values of each axis, as text."""
    variables: Collection[str]
    """The axes that are environment variables."""
    reasons: Collection[str]
    reporter: Reporter

    def where(self, where: Where) -> Selection | None:
        """A selection with its names checked; ``None``, and errors, if some are unknown."""
        return check_where(where, self.known, self.backends, self.reporter)

    def layer(self, layer: Layer, *, only_backend: bool = False) -> Layer:
        """The layer with its ``only`` resolved; ``only_backend``: it may not name an axis."""
        self._env(layer)
        self._expect(layer)
        self._classification(layer)
        self._options(layer)
        only = layer.content.get("only")
        if only is None:
            return layer
        content = {key: value for key, value in layer.content.items() if key != "only"}
        if only_backend and any(term.axis != BACKEND for term in only.terms):
            self.reporter.error(
                only.location,
                "`only` may name only `backend` here: `where`, or the include, selects the cells",
            )
            return replace(layer, content=content)
        selection = self.where(only)
        return replace(layer, content=content if selection is None else {**content, "only": selection})

    def _env(self, layer: Layer) -> None:
        own, further, _ = layer.name.partition(" ")
        for name in layer.content.get("env") or ():
            if name in self.variables and not (further and name == own and not _fragment_sets(layer, name)):
                self.reporter.error(
                    layer.key("env", name), f"env: {name} is an axis: each cell sets its value"
                )
        for name in layer.content.get("secrets") or ():
            if name in self.variables:
                self.reporter.error(
                    layer.at("secrets", name), f"secrets: {name} is an axis: each cell sets its value"
                )

    def _expect(self, layer: Layer) -> None:
        for reason in (layer.content.get("expect") or {}).get("reason") or ():
            if reason != ANY:
                self._reason(layer, reason, "expect", "reason", reason)

    def _classification(self, layer: Layer) -> None:
        for at, rule in enumerate(layer.content.get("classify") or ()):
            if rule.reason is not None:
                self._reason(layer, rule.reason, "classify", at, "reason")
        for key, reason in (layer.content.get("translate") or {}).items():
            if reason is not None:
                self._reason(layer, reason, "translate", key)
        for reason in layer.content.get("reasons") or ():
            if reason in REASON_CLASSES or reason == ANY:
                self.reporter.error(
                    layer.key("reasons", reason),
                    f"reasons: {reason} is a built-in reason: choose another name",
                )

    def _reason(self, layer: Layer, reason: str, *path: object) -> None:
        if reason not in self.reasons:
            self.reporter.error(layer.at(*path), unknown_reason(reason, self.reasons))

    def _options(self, layer: Layer) -> None:
        """Report unknown backends and, for the backend in use, unknown options."""
        for name, options in (layer.content.get("options") or {}).items():
            if name not in self.backends:
                hint = did_you_mean(name, self.backends)
                self.reporter.error(
                    layer.key("options", name), f"options: unknown backend {quoted(name)}{hint}"
                )
            elif self.target is not None and name in self.target.names:
                for key in options or ():
                    if key not in self.target.type.options:
                        self._unknown_option(layer, name, key, sorted(self.target.type.options))

    def _unknown_option(self, layer: Layer, backend: str, key: str, known: list[str]) -> None:
        hint = did_you_mean(key, known) if known else "; this backend has no options"
        message = f"options.{backend}: unknown option {quoted(key)}{hint}"
        self.reporter.error(layer.key("options", backend, key), message)


def vocabulary(layers: Iterable[Layer]) -> list[str]:
    """The built-in reasons, and those that any layer adds."""
    added = (reason for layer in layers for reason in layer.content.get("reasons") or ())
    return list(dict.fromkeys([*map(str, REASON_CLASSES), *added]))


def _fragment_sets(layer: Layer, name: str) -> bool:
    """Whether an axis value's fragment sets a variable itself."""
    env = layer.raw.get("env") if isinstance(layer.raw, dict) else None
    return isinstance(env, dict) and name in env
