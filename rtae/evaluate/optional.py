"""Packages that only an evaluation needs: the extras ``peers`` and ``codec-peers``."""

from __future__ import annotations

import importlib
from types import ModuleType

from rtae.errors import MissingDependencyError


def require(module: str, extra: str = "peers") -> ModuleType:
    """Import a module of an optional package, which comes with ``extra``.

    Raises
    ------
    MissingDependencyError
        If it is not installed or does not load; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: a shared library inside the package does not load
        package = module.partition(".")[0]
        raise MissingDependencyError(
            f"evaluating needs the package {package}, which does not load ({error}); run: pip install 'rtae[{extra}]'"
        ) from None
