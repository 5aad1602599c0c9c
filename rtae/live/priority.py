"""Real-time priority for every thread of the engine process."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

REALTIME_PRIORITY = 5
"""Priority where the system grants one: below the sound server's own threads."""

_TASKS = Path("/proc/self/task")


def raise_priorities() -> None:
    """Ask for a real-time priority of all threads of this process that have none; a refusal is no fault.

    All of them, not only the one that processes: the audio callback waits for whoever holds the interpreter's lock, and
    on a busy machine a thread of normal priority may be off its processor for many blocks while it does. Some sound
    systems call from threads of normal priority, too. Threads started later take after those that start them.
    """
    for task in _TASKS.iterdir() if _TASKS.exists() else ():
        # One that has ended meanwhile is refused as well.
        with contextlib.suppress(OSError):
            if os.sched_getscheduler(int(task.name)) == os.SCHED_OTHER:
                os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(REALTIME_PRIORITY))
