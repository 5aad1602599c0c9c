"""PipeWire's graph, entered through its JACK interface: the way from a microphone to a virtual one of least delay.

A program in the graph runs in the cycle of the nodes it is linked to; the PulseAudio protocol queues on both sides.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

from rtae.errors import DeviceError

LIBRARIES = ("usr/lib/*/pipewire-*/jack/libjack.so.0", "usr/lib*/pipewire-*/jack/libjack.so.0")
"""Where systems keep PipeWire's own ``libjack`` beside the original one."""

_TIMEOUT_S = 5.0


def node_name() -> str:
    """Name of this process in the graph."""
    return f"rtae-{os.getpid()}"


def prepare(block: int) -> bool:
    """Let PortAudio's JACK host enter PipeWire's graph at cycles of `block` samples; return whether there is a way.

    For a process that has not initialised PortAudio since: what a program is in the graph is read from its environment
    then, and a ``libjack`` that is loaded is not looked for again.
    """
    if shutil.which("pw-link") is None:
        return False
    for library in (path for pattern in LIBRARIES for path in sorted(Path("/").glob(pattern))):
        try:
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        break
    # Without a library of its own the system's may be PipeWire's: the devices it lists will tell.
    os.environ["PIPEWIRE_PROPS"] = f"{{ node.name = {node_name()} node.force-quantum = {block} }}"
    return True


def link(source: str, sink: str) -> None:
    """Link this process's input to a node's output and its output to a node's input, and to nothing else.

    Parameters
    ----------
    source : str
        Node of a microphone, or one with ``.monitor`` behind it: what a sink plays.
    sink : str
        Node to play into.

    Raises
    ------
    DeviceError
        If a node is not there, or PipeWire refuses.
    """
    ours = f"{node_name()}:"
    for output, taken in _links():
        if output.startswith(ours) or taken.startswith(ours):
            _pw_link("--disconnect", output, taken)
    node, monitor = source.removesuffix(".monitor"), source.endswith(".monitor")
    heard = [port for port in _ports("--output", node) if port.startswith(f"{node}:monitor_") == monitor]
    _join(heard, _ports("--input", node_name()), source)
    # The output last: a circle through the sink's own monitor, however short, would cost a cycle for ever.
    _join(_ports("--output", node_name()), _ports("--input", sink), sink)


def _join(outputs: list[str], inputs: list[str], what: str) -> None:
    if not outputs or not inputs:
        raise DeviceError(f"PipeWire lists no ports of {what!r}; it may just have gone, try again")
    # One channel goes to all; of two, each to its own side. Two on one input would be added up.
    for place, taken in enumerate(inputs):
        _pw_link(outputs[place % len(outputs)], taken)


def _ports(side: str, node: str) -> list[str]:
    return [port for port in _pw_link(side).splitlines() if port.startswith(f"{node}:")]


def _links() -> list[tuple[str, str]]:
    """Return all links as (output port, input port)."""
    found, port = [], ""
    for line in _pw_link("--links").splitlines():
        if not line.startswith(" "):
            port = line
        elif "|->" in line:
            found.append((port, line.split("|->", 1)[1].strip()))
    return found


def _pw_link(*words: str) -> str:
    try:
        done = subprocess.run(["pw-link", *words], capture_output=True, text=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"cannot link in PipeWire's graph: {error}") from None
    if done.returncode:
        raise DeviceError(f"cannot link {' to '.join(words)} in PipeWire's graph: {done.stderr.strip()}")
    return done.stdout
