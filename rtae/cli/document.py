"""What a measuring command prints with ``--json``: :func:`document`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

VERSION = 1
"""Version of every schema; a field is never given another meaning within one."""


def document(schema: str, content: Mapping[str, Any]) -> str:
    """Return a JSON document that says what it is, and where and with what it was measured.

    Parameters
    ----------
    schema : str
        Name of the document, as in ``rtae-latency``.
    content : mapping
        What was measured, ready for JSON.
    """
    from rtae.evaluate.environment import describe

    return json.dumps({"schema": schema, "version": VERSION, "machine": describe(), **content}, indent=2)
