#!/usr/bin/env bash
# onnxruntime.sh FOLDER: puts onnxruntime's C++ headers into FOLDER/include and its library into FOLDER/lib.
#
# The library is the one inside the Python wheel (pip install onnxruntime, 1.31 or newer), the headers are those of the
# package libonnxruntime-dev: of this system's own archive where it has one, else of Debian 13. Neither is installed and
# no rights are needed. A library runs programs built with older headers, not the other way round.
set -euo pipefail
mkdir -p "$1/lib"
folder=$(cd "$1" && pwd)
python=${PYTHON:-python3}

if [ ! -e "$folder/include/onnxruntime_cxx_api.h" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cd "$work"
    if ! apt-get -qq download libonnxruntime-dev 2>/dev/null; then
        mkdir -p lists/partial cache/archives/partial
        keys=/usr/share/keyrings/debian-archive-keyring.gpg
        echo "deb [signed-by=$keys] http://deb.debian.org/debian trixie main" >sources.list
        apt=(apt-get -qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
            -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
        "${apt[@]}" update
        "${apt[@]}" download libonnxruntime-dev
    fi
    dpkg-deb --extract libonnxruntime-dev_*.deb .
    rm -rf "$folder/include"
    mv usr/include/onnxruntime "$folder/include"
fi

library=$("$python" - <<'PYTHON'
import importlib.util
from pathlib import Path

found = importlib.util.find_spec("onnxruntime")
libraries = sorted(Path(found.origin).parent.glob("capi/libonnxruntime.so.1.*")) if found else []
print(libraries[-1] if libraries else "")
PYTHON
)
if [ -z "$library" ]; then
    echo "onnxruntime.sh: $python has no onnxruntime wheel with libonnxruntime.so; pip install 'onnxruntime>=1.31'" >&2
    exit 1
fi
ln -sf "$library" "$folder/lib/libonnxruntime.so.1"
ln -sf libonnxruntime.so.1 "$folder/lib/libonnxruntime.so"
