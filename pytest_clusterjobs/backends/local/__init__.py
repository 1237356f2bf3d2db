"""The local backend: jobs as processes of this machine, owned by a detached runner. Nothing to install."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .backend_type import TYPE as TYPE
else:

    def __getattr__(name: str) -> object:
        # The runner imports this package too, and must not import pydantic with the settings.
        if name != "TYPE":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .backend_type import TYPE

        return TYPE
