"""``python -m rtae``: the command line."""

import sys

from rtae.cli import main

if __name__ == "__main__":
    sys.exit(main())
