#!/usr/bin/env bash
# run.sh [MODEL.onnx]: makes the page in build/web and serves it on this machine, at port $PORT or 8000, until Ctrl-C.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
"$root/examples/web/site.sh" "$root/build/web" "$@"
echo "http://localhost:${PORT:-8000}"
exec python3 -m http.server "${PORT:-8000}" --bind 127.0.0.1 --directory "$root/build/web"
