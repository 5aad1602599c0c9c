"""All checks of one model, and what follows from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtae.bench.checks import CHECKS, Finding, Subject
from rtae.bench.driver import open_session
from rtae.bench.layout import Layout, recognise
from rtae.bench.nodes import OperatorCost, operator_costs
from rtae.errors import ModelFormatError

MARKS = {"pass": "ok", "fail": "FAIL", "skip": "-"}
_PROFILED = 200


@dataclass(frozen=True)
class Verdict:
    """What the checks of one model found.

    Attributes
    ----------
    model : str
        Name of its file.
    layout : Layout
        How it was driven.
    findings : sequence of Finding
        One a check.
    costs : sequence of OperatorCost
        Time by kind of operator.
    """

    model: str
    layout: Layout
    findings: Sequence[Finding]
    costs: Sequence[OperatorCost]

    @property
    def good(self) -> bool:
        """Whether no check failed."""
        return all(item.verdict != "fail" for item in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as a JSON-ready mapping."""
        return {
            "model": self.model,
            "verdict": "pass" if self.good else "fail",
            "layout": self.layout.as_dict(),
            "findings": [dataclasses.asdict(item) for item in self.findings],
            "operators": [dataclasses.asdict(item) for item in self.costs],
        }

    def to_text(self) -> str:
        """Return a table for a person."""
        layout = self.layout
        lines = [f"{self.model}: {layout.name}, hop {layout.hop} at {layout.sample_rate} Hz", ""]
        lines += [f"  {MARKS[item.verdict]:4} {item.name:15} {item.reason}" for item in self.findings]
        lines += ["", f"  {'operator':28}{'nodes':>6}{'us a step':>11}{'share':>8}"]
        lines += [
            f"  {item.operator:28}{item.nodes:6}{item.microseconds:11.1f}{item.share:8.1%}" for item in self.costs[:8]
        ]
        lines.append(f"  {'all':28}{sum(i.nodes for i in self.costs):6}{sum(i.microseconds for i in self.costs):11.1f}")
        failed = [item.name for item in self.findings if item.verdict == "fail"]
        lines += ["", f"fails: {', '.join(failed)}" if failed else "passes every check that applies"]
        return "\n".join(lines)


def check(
    path: Path, layout: Layout | None = None, *, progress: Callable[[str], object] = lambda name: None
) -> Verdict:
    """Check one streaming ONNX model.

    Parameters
    ----------
    path : Path
        The file.
    layout : Layout, optional
        How to drive it; recognised if left out.
    progress : callable, optional
        Told the name of each check before it is made: some take a while.

    Raises
    ------
    ModelNotFoundError, ModelFormatError
        If it cannot be loaded, or its layout is unknown or does not fit.
    """
    if layout is None:
        layout = recognise(open_session(path))
    subject = Subject(path, layout)
    findings = []
    for function in CHECKS:
        progress(_title(function))
        with np.errstate(all="ignore"):
            findings.append(_made(function, subject))
    return Verdict(path.name, layout, findings, operator_costs(path, layout, subject.frames[:_PROFILED]))


def _title(function: Callable[[Subject], Finding]) -> str:
    return function.__name__.replace("_", " ")


def _made(function: Callable[[Subject], Finding], subject: Subject) -> Finding:
    """Make a check; a model that stops running in it has failed it."""
    try:
        return function(subject)
    except ModelFormatError as error:
        return Finding(_title(function), "fail", str(error))
