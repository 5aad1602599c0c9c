"""Speed benchmark: ``rtae bench`` as a script. The column "error" holds each result against a plain loop.

python benchmarks/speed.py denoise other.onnx --peers rnnoise webrtc-ns -o results/
"""

import sys

from rtae.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
