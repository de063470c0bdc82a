"""One deadline for all that a notice takes: names are resolved, connections are made and cut within it.

A timeout of a socket counts for one read, so a receiver that answers byte by byte can hold a sender up for ever. Here the
connection itself is ended when the time is over, whatever it is doing.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from insar_anomaly.notify.message import Unreachable

T = TypeVar("T")

_EMBEDDED = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that stand for IPv4 ones (NAT64)."""
_SPECIAL = {ipaddress.ip_address("168.63.129.16")}
"""Looks public, and is the platform service inside a cloud (Azure)."""


class Deadline:
    """So many seconds from now. Every wait is for what is left of them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._watched: list[socket.socket] = []
        self._lock = threading.Lock()

    @property
    def over(self) -> bool:
        """True where nothing is left."""
        return time.monotonic() >= self._end

    @property
    def left(self) -> float:
        """Seconds that are left. Raises Unreachable where there are none."""
        if self.over:
            raise Unreachable(self.words)
        return max(self._end - time.monotonic(), 0.001)

    @property
    def words(self) -> str:
        """What is said of something that took too long."""
        return f"it was given up after {self.seconds:g} s (timeout_s)"

    def wait_for(self, work: Callable[[], T]) -> T:
        """What `work` gives, where it is done in time: for calls that know no timeout, such as those that ask for names."""
        found: list[T] = []
        failed: list[BaseException] = []

        def do() -> None:
            try:
                found.append(work())
            except BaseException as problem:  # noqa: BLE001 - raised again below, in the thread that waits
                failed.append(problem)

        thread = threading.Thread(target=do, name="insar-anomaly names", daemon=True)
        thread.start()
        thread.join(self.left)
        if failed:
            raise failed[0]
        if not found:
            raise Unreachable(self.words)
        return found[0]

    def watch(self, connection: socket.socket) -> None:
        """End this connection when the time is over, also where it was wrapped (TLS) since then."""
        with self._lock:
            self._watched.append(connection.dup())

    @contextmanager
    def running(self) -> Iterator[Deadline]:
        """Ends the watched connections in time, for the length of a ``with``."""
        timer = threading.Timer(max(self._end - time.monotonic(), 0), self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield self
        finally:
            timer.cancel()
            with self._lock:
                for connection in self._watched:
                    connection.close()
                self._watched.clear()

    def _cut(self) -> None:
        with self._lock:
            for connection in self._watched:
                with suppress(OSError):  # it has ended already
                    connection.shutdown(socket.SHUT_RDWR)

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host, in the resolver's order. Raises Unreachable where there are none, or not in time."""
        try:
            found = self.wait_for(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as problem:  # UnicodeError is raised for a name that no host can have
            raise Unreachable(f"the name {host} cannot be resolved: {problem}") from None
        except UnicodeError:
            raise Unreachable(f"{host!r} is not the name of a host") from None
        return list(dict.fromkeys(str(one[4][0]) for one in found))

    def connect(self, host: str, port: int) -> socket.socket:
        """A watched connection to the first address of the host that answers. Raises OSError or Unreachable."""
        problem: OSError | None = None
        for address in self.addresses(host, port):
            try:
                connection = socket.create_connection((address, port), timeout=self.left)
            except OSError as failed:
                problem = failed
            else:
                self.watch(connection)
                return connection
        raise problem or Unreachable(f"{host} has no address")


def insist_public(host: str, addresses: Iterable[str], allowed: Iterable[str]) -> None:
    """Raise Unreachable where one of a host's addresses is not public and the host is not allowed by name."""
    if plain(host) in {plain(one) for one in allowed}:
        return
    for address in addresses:
        if not is_public(address):
            where = f"{host} is {address}" if plain(host) != plain(address) else host
            raise Unreachable(
                f"{where}, which is not a public address (private, loopback, link-local or reserved): nothing was sent; "
                f'if it is meant, write allow_hosts = ["{host}"] into the channel'
            )


def is_public(address: str) -> bool:
    """True for an address that anybody on the internet can reach; the IPv4 address inside an IPv6 one is looked at."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(known, ipaddress.IPv6Address):
        inner = known.ipv4_mapped or known.sixtofour
        if known in _EMBEDDED:
            inner = ipaddress.IPv4Address(int(known) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return known.is_global and not known.is_multicast and known not in _SPECIAL


def plain(host: str) -> str:
    """A host's name as it is compared: without brackets, final dot and capitals."""
    return host.strip("[]").rstrip(".").casefold()
