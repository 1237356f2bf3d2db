"""The conformance suite: the requirements on every backend, one small test each."""

from __future__ import annotations

from pkgutil import iter_modules

from pytest import register_assert_rewrite

# pytest explains the assertions of a module only if it is registered before its import.
register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))
