#!/usr/bin/env bash
# site.sh FOLDER [MODEL.onnx]: puts the page, onnxruntime-web and a model into FOLDER, ready for any static host.
set -euo pipefail
if [ $# -lt 1 ]; then
    echo "usage: site.sh FOLDER [MODEL.onnx]" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ ! -d "$here/node_modules/onnxruntime-web" ]; then
    npm install --prefix "$here" --omit=dev --ignore-scripts --no-package-lock --no-audit --no-fund --silent
fi
mkdir -p "$1/onnxruntime-web"
cp -r "$here"/index.html "$here"/page.js "$here"/style.css "$here"/src "$1/"
cp "$here"/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs \
    "$here"/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm "$1/onnxruntime-web/"
cp "${2:-$here/../../models/denoise.onnx}" "$1/denoise.onnx"
