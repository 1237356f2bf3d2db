"""Public names that are imported when they are first used (PEP 562).

A plain pytest run imports the package for its plugin, and must not pay for anything else of it.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from importlib import import_module
from itertools import chain
from typing import Any

Modules = Mapping[str, Sequence[str]]
"""The public names by their modules, which are relative to the package."""


def names(modules: Modules) -> list[str]:
    """The ``__all__`` of the package."""
    return list(chain.from_iterable(modules.values()))


def attributes(package: str, modules: Modules) -> Callable[[str], Any]:
    """The ``__getattr__`` of ``package``."""
    module_of = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(module_of[name], package), name)

    return get
