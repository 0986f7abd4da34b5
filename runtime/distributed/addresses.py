"""At which addresses of this machine other processes may reach it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct

from .failures import DistNetworkError
from .store import Store

SIOCGIFADDR = 0x8915  # asks Linux for the address of a network interface
LOOPBACK = "127.0.0.1"
CHOICE = "GLOO_SOCKET_IFNAME"


def addresses(store: Store) -> list[str]:
    """Addresses to try in turn: of the interface that GLOO_SOCKET_IFNAME names, else the one that
    reaches the store, else what the machine's name stands for, and those of all its interfaces.

    Raises: DistNetworkError for an interface that is not there.
    """
    name = os.environ.get(CHOICE, "").split(",")[0]
    if name:
        return [_of_interface(name)]
    known = store.local_address()
    if known is not None:
        return [known]
    found = []
    with contextlib.suppress(OSError):
        found.append(socket.gethostbyname(socket.gethostname()))
    for _, name in socket.if_nameindex():
        with contextlib.suppress(DistNetworkError):  # one without an address
            found.append(_of_interface(name))
    # A name may stand for 127.0.1.1, as on Debian: others do not reach that.
    return [*dict.fromkeys(a for a in found if not is_loopback(a)), LOOPBACK]


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, says itself that it leads nowhere else."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _of_interface(name: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            found = fcntl.ioctl(asker, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
        except OSError as error:
            names = ", ".join(n for _, n in socket.if_nameindex())
            raise DistNetworkError(
                f"{CHOICE}: expected one of the interfaces {names}, with an address. Got {name!r}: "
                f"{error.strerror}."
            ) from error
    return socket.inet_ntoa(found[20:24])
