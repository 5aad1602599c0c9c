"""The engine process, where it stands alone."""

from __future__ import annotations

import subprocess
import sys

STUCK = """
import queue, threading, time
import rtae.live.child as child
child.PATIENCE_S = 0.2
threading.Thread(target=child._listen, args=(queue.SimpleQueue(),), daemon=True).start()
print("stuck", flush=True)
time.sleep(60)  # as a call into a sound server that never answers
"""


def test_an_engine_that_hangs_ends_after_its_host():
    with subprocess.Popen(
        [sys.executable, "-c", STUCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as engine:
        assert engine.stdout.readline() == "stuck\n"
        assert engine.poll() is None
        engine.stdin.close()
        assert engine.wait(timeout=20) == 1
