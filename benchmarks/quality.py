"""Quality benchmark: ``rtae eval`` as a script.

python benchmarks/quality.py PAIRS --models denoise other.onnx --peers rnnoise webrtc-ns -o results/
"""

import sys

from rtae.cli import main

if __name__ == "__main__":
    sys.exit(main(["eval", *sys.argv[1:]]))
