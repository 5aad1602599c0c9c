#!/usr/bin/env bash
# run.sh IN.wav OUT.wav [MODEL.onnx]: builds the host, checks it with the model, cleans a recording with it.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: run.sh IN.wav OUT.wav [MODEL.onnx]" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
build=${BUILD:-$root/build/cpp}
model=${3:-$root/models/denoise.onnx}

if [ -z "${ONNXRUNTIME_ROOT:-}" ]; then
    ONNXRUNTIME_ROOT=$root/build/onnxruntime
    if [ -z "${PYTHON:-}" ] && [ -x "$root/.venv/bin/python" ]; then
        export PYTHON=$root/.venv/bin/python
    fi
    "$here/onnxruntime.sh" "$ONNXRUNTIME_ROOT"
fi
cmake -S "$here" -B "$build" -DCMAKE_BUILD_TYPE=Release -DONNXRUNTIME_ROOT="$ONNXRUNTIME_ROOT" >/dev/null
cmake --build "$build" >/dev/null
"$build/rtae_check" "$model"
"$build/rtae_denoise" "$model" "$1" "$2"
