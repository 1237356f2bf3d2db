"""The local backend: jobs as processes of this machine, owned by a detached runner. Nothing to install."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._lazy import attributes

if TYPE_CHECKING:
    from .backend_type import TYPE as TYPE
else:
    # The runner imports this package too, and must not import pydantic with the settings.
    __getattr__ = attributes(__name__, {".backend_type": ["TYPE"]})
