"""Real-time priority for every thread of a process."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

REALTIME_PRIORITY = 5
"""Priority where the system grants one: below the sound server's own threads."""


def raise_priorities(process: int = 0) -> None:
    """Ask for a real-time priority of all threads of a process that have none; a refusal is no fault.

    All of them, not only the one that processes: the audio callback waits for whoever holds the interpreter's lock, and
    on a busy machine a thread of normal priority may be off its processor for many blocks while it does. Some sound
    systems call from threads of normal priority, too. Threads started later take after those that start them.

    Parameters
    ----------
    process : int, default 0
        Its number, 0 for this one.
    """
    tasks = Path(f"/proc/{process or 'self'}/task")
    for task in tasks.iterdir() if tasks.exists() else ():
        # One that has ended meanwhile is refused as well.
        with contextlib.suppress(OSError):
            if os.sched_getscheduler(int(task.name)) == os.SCHED_OTHER:
                os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(REALTIME_PRIORITY))
