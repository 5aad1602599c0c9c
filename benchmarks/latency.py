"""Latency benchmark: declared and measured delay through the real engine, at several rates and block sizes.

python benchmarks/latency.py [MODEL ...] [-o latency.json]

Exit status 1 if one differs by more than half a sample.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rtae import RtaeError
from rtae.bench.report import table
from rtae.cli.latency import prove
from rtae.evaluate.environment import describe

RATES = (8_000, 16_000, 44_100, 48_000)
BLOCKS = (None, 480)
"""None is the block size the engine chooses."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="*", default=["denoise"], help="shipped models or model files")
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args(argv)

    budgets = [
        (model, block, prove(model, rate=rate, block=block))
        for model in options.models
        for rate in RATES
        for block in BLOCKS
    ]
    rows = [
        [
            Path(model).stem,
            str(budget.sample_rate),
            str(block or "chosen"),
            f"{budget.milliseconds(budget.reported):.2f}",
            str(budget.reported),
            "none" if budget.measured is None else f"{budget.measured:.2f}",
            f"{budget.deviation:.2f}",
            f"{budget.confidence:.0%}",
            "yes" if budget.agrees else "NO",
        ]
        for model, block, budget in budgets
    ]
    heading = ["model", "Hz", "block", "ms", "declared samples", "measured", "deviation", "confidence", "agrees"]
    print(table(heading, rows))
    if options.output:
        figures = [{"model": model, "block": block, **budget.as_dict()} for model, block, budget in budgets]
        options.output.write_text(json.dumps({"budgets": figures, "environment": describe()}, indent=2) + "\n")
    return 0 if all(budget.agrees for _, _, budget in budgets) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RtaeError as error:
        sys.exit(f"latency: {error}")
