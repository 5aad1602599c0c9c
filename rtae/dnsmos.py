"""What evaluation and training share of DNSMOS P.835: where its network is and how its outputs are read.

Reddy, Gopal, Cutler: DNSMOS P.835 (2022). The network is the one in the PyPI package ``speechmos``.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from rtae.errors import MissingDependencyError

SAMPLE_RATE = 16_000
CALIBRATION = np.array(
    [
        [-0.08397278, 1.22083953, 0.0052439],
        [-0.13166888, 1.60915514, -0.39604546],
        [-0.06766283, 1.11546468, 0.04602535],
    ]
)
"""The published mapping of the raw outputs (SIG, BAK, OVRL) to the scale of the listening tests: of x^2, x and 1."""


def model_path() -> Path:
    """Return where the network's ONNX file is.

    Raises
    ------
    MissingDependencyError
        If speechmos is not installed.
    """
    package = importlib.util.find_spec("speechmos")
    if package is None or not package.submodule_search_locations:
        raise MissingDependencyError("the package speechmos is not installed; run: pip install 'rtae[peers]'")
    return Path(package.submodule_search_locations[0]) / "dnsmos_models" / "sig_bak_ovr.onnx"
