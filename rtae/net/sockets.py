"""Sockets: addresses as people write them, and the thread that listens: :class:`Listener`."""

from __future__ import annotations

import select
import socket
import struct
import sys
import threading
import time
from contextlib import suppress

from rtae.errors import DeviceError, ParameterError
from rtae.net.receiver import Receiver

LOOPBACK = "127.0.0.1"

MOST_BYTES = 2048
"""Longest datagram looked at; voice has some tens of bytes."""

_POLL_S = 0.1
_BATCH = 64
_SIOCGIFADDR = 0x8915  # Linux: the IPv4 address of an interface

clock = time.perf_counter
"""The clock of both ends, in seconds."""


def parse_target(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT`` or ``[IPv6]:PORT``.

    Raises
    ------
    ParameterError
        If it is neither.
    """
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or (":" in bare) != (bare != host):
        raise ParameterError(f"{text!r} is no address; write HOST:PORT, an IPv6 address as [ADDRESS]:PORT")
    return bare, check_port(port)


def check_port(text: str) -> int:
    """Return a port number.

    Raises
    ------
    ParameterError
        If it is none.
    """
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65_535):
        raise ParameterError(f"port is {text!r}; it must be a number from 1 to 65535")
    return int(text)


def connect(host: str, port: int) -> socket.socket:
    """Return a socket that sends to an address.

    Raises
    ------
    DeviceError
        If the name is not known or the network not reachable.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise DeviceError(f"cannot send to {host!r}: {error.strerror or error}; check the name") from None
    try:
        made.connect(address)
    except OSError as error:
        made.close()
        raise DeviceError(f"cannot send to {host} port {port}: {error.strerror}; check the network") from None
    return made


def bind(interface: str | None, port: int) -> socket.socket:
    """Return a socket that receives on one interface: this machine alone if none is named.

    Parameters
    ----------
    interface : str or None
        Name of a network interface, such as eth0 (Linux), or an address of this machine.
    port : int
        UDP port; 0 takes any that is free.

    Raises
    ------
    DeviceError
        If there is no such interface, or the port is taken.
    """
    address = LOOPBACK if interface is None else _address(interface)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.bind((address, port))
    except OSError as error:
        made.close()
        raise DeviceError(
            f"cannot listen on {address} port {port}: {error.strerror}; choose another port, or an own address"
        ) from None
    made.setblocking(False)
    return made


def _address(interface: str) -> str:
    names = [name for _, name in socket.if_nameindex()]
    if interface not in names:
        with suppress(OSError):
            return str(
                socket.getaddrinfo(interface, None, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0][4][0]
            )
        raise DeviceError(f"there is no interface {interface!r}; there are: {', '.join(names)}, or give an address")
    if not sys.platform.startswith("linux"):
        raise DeviceError(f"give the address of {interface!r} instead of its name: only Linux tells it")
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("256s", interface.encode()[:15])
        try:
            return socket.inet_ntoa(fcntl.ioctl(probe, _SIOCGIFADDR, request)[20:24])
        except OSError:
            raise DeviceError(f"interface {interface!r} has no IPv4 address; give an address of it instead") from None


class Listener:
    """A receiver with its socket, in a thread of its own; a context manager.

    Parameters
    ----------
    receiver : Receiver
        Only the thread touches it while it runs, but for its statistics and for pulling audio.
    bound : socket
        From :func:`bind`; closed at the end.
    """

    def __init__(self, receiver: Receiver, bound: socket.socket) -> None:
        self.receiver = receiver
        self._socket = bound
        self._running = True
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="rtae-listen", daemon=True)

    def check(self) -> None:
        """Raise what ended the thread, if something did."""
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Listener:
        """Begin to listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread and close the socket."""
        self._running = False
        self._thread.join()
        self._socket.close()

    def _work(self) -> None:
        try:
            while self._running:
                wait_s = self.receiver.playout.advance(clock()) - clock()
                ready, _, _ = select.select([self._socket], [], [], min(max(wait_s, 0.0), _POLL_S))
                if ready:
                    self._drain()
        except Exception as error:  # whatever it is, the one who waits must know
            self._failure = error

    def _drain(self) -> None:
        # Not for ever: a flood must not keep the playout from its turns.
        for _ in range(_BATCH):
            try:
                data, address = self._socket.recvfrom(MOST_BYTES)
            except BlockingIOError:
                return
            except ConnectionError:  # Windows tells that an earlier datagram of ours found nobody
                continue
            self.receiver.receive(data, address, clock())
