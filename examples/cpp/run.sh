#!/usr/bin/env bash
# run.sh IN.wav OUT.wav [MODEL.onnx [DECODER.onnx]]: builds the host, checks it with the model, runs a recording through it.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: run.sh IN.wav OUT.wav [MODEL.onnx [DECODER.onnx]]" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
build=${BUILD:-$root/build/cpp}
models=("${@:3}")
if [ ${#models[@]} -eq 0 ]; then
    models=("$root/models/denoise.onnx")
fi

if [ -z "${ONNXRUNTIME_ROOT:-}" ]; then
    ONNXRUNTIME_ROOT=$root/build/onnxruntime
    if [ -z "${PYTHON:-}" ] && [ -x "$root/.venv/bin/python" ]; then
        export PYTHON=$root/.venv/bin/python
    fi
    "$here/onnxruntime.sh" "$ONNXRUNTIME_ROOT"
fi
cmake -S "$here" -B "$build" -DCMAKE_BUILD_TYPE=Release -DONNXRUNTIME_ROOT="$ONNXRUNTIME_ROOT" >/dev/null
cmake --build "$build" >/dev/null
"$build/rtae_check" "${models[@]}"
"$build/rtae_process" "${models[@]}" "$1" "$2"
