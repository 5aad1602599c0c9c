"""Program: ``rtae latency --loopback --json`` for one model after the other, in one process.

python latency_of_each.py MODEL... -- ARGUMENT...

Prints ``null`` for one that ended with an error.
"""

from __future__ import annotations

import sys

from rtae.cli import main

if __name__ == "__main__":
    at = sys.argv.index("--")
    for model in sys.argv[1:at]:
        if main(["latency", "--loopback", "--json", "-m", model, *sys.argv[at + 1 :]]) > 1:
            print("null")
