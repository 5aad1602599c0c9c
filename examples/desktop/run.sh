#!/usr/bin/env bash
# run.sh [--file SOUND] [--start]: starts the program; the first time makes build/desktop, a Python environment for it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ -z "${PYTHON:-}" ]; then
    environment=${ENVIRONMENT:-$root/build/desktop}
    PYTHON=$environment/bin/python
    if [ ! -e "$environment/ready" ]; then
        python3 -m venv "$environment"
        "$PYTHON" -m pip --disable-pip-version-check install --quiet --no-input \
            --requirement "$here/requirements.txt" --editable "$root[live]"
        touch "$environment/ready"
    fi
fi
PYTHONPATH=$here exec "$PYTHON" -m rtae_desktop "$@"
