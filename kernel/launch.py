"""Starting a kernel of our own, with no kernelspec installed."""

from __future__ import annotations

import os
import socket
import stat
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

AS_TORCH = "FLAMBEAU_AS_TORCH"
"""Environment variable: set to 1, `import torch` means the runtime also where PyTorch is."""

LONGEST_SOCKET_PATH = 100
"""Bytes of a socket's path; the address structure holds 104 on macOS, 108 on Linux."""

LISTENING_PATIENCE = 2.0
"""Seconds for a connection to a kernel's socket, which the system makes, not the kernel."""

TEXT_DOOR = "FLAMBEAU_TEXT_DOOR"
"""Environment variable: set to 1, the front end is a terminal or a log and shows no widgets."""

ENVIRONMENT = {"PYDEVD_DISABLE_FILE_VALIDATION": "1", TEXT_DOOR: "1"}
"""Spares five lines of warning about the debugger at every start, and says who starts it."""


START = (
    "from importlib.util import find_spec as f; "
    "exec(open(f('flambeau').submodule_search_locations[0] + '/asleep.py').read()); "
    "from flambeau.kernel.__main__ import main; main()"
)
"""`python -m flambeau.kernel`, but for the runtime, which sleeps until the first cell."""


def command() -> list[str]:
    """What starts a kernel with this interpreter; Jupyter fills in the connection file."""
    return [sys.executable, "-c", START, "-f", "{connection_file}"]


def manager(asynchronous: bool = False, name: str = "", **options: Any) -> Any:
    """A jupyter-client kernel manager for our kernel, not yet started. Other programs find its
    connection file by `name`, if it is given one.

    Where there are sockets in files, nobody else on the machine can reach the kernel.
    """
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager, KernelManager
    from jupyter_core.paths import jupyter_runtime_dir

    class OnlyOurs(KernelSpecManager):
        """Names our own command under every name."""

        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            return KernelSpec(
                argv=command(), env=ENVIRONMENT, language="python", display_name="Flambeau"
            )

    directory = Path(jupyter_runtime_dir())
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    identity = name or uuid.uuid4().hex[:12]
    make = AsyncKernelManager if asynchronous else KernelManager
    return make(
        kernel_spec_manager=OnlyOurs(),
        connection_file=str(connection_file(identity)),
        **_transport(directory / f"kernel-{identity}-ipc", identity),
        **options,
    )


def connection_file(identity: str) -> Path:
    """Where a kernel of ours writes how to reach it."""
    from jupyter_core.paths import jupyter_runtime_dir

    return Path(jupyter_runtime_dir()) / f"kernel-{identity}.json"


def running_connection(name: str) -> str:
    """The connection file of the running kernel that `name` is a part of, or is the path of; of
    the latest for no name.

    Raises: OSError if there is none.
    """
    from jupyter_client.connect import find_connection_file

    # Beside the files lie sockets whose names begin alike.
    pattern = name if Path(name).is_file() else f"kernel-*{name}*.json"
    try:
        return str(find_connection_file(pattern))
    except OSError:
        sought = f"no connection file matches {name!r}" if name else "none is running"
        raise OSError(f"There is no kernel to attach to: {sought}.") from None


def listens(connection: Mapping[str, Any]) -> bool:
    """Whether a process listens where a connection file says that a kernel's heart beats: at once,
    and also of one that is too busy to answer."""
    ip, port = connection["ip"], connection["hb_port"]
    over_tcp = connection["transport"] == "tcp"
    try:
        with socket.socket(socket.AF_INET if over_tcp else socket.AF_UNIX) as end:
            end.settimeout(LISTENING_PATIENCE)
            end.connect((ip, port) if over_tcp else f"{ip}-{port}")
    except OSError:
        return False
    return True


def connect_stdin(client: Any) -> None:
    """Start the stdin channel of a client whose kernel has answered on another.

    Poll its socket for POLLOUT before running a cell: made with ZMQ_IMMEDIATE, it becomes writable
    when the connection stands. Until then the kernel's questions are lost, and it would wait for
    their answers for ever.
    """
    import zmq

    client.context.setsockopt(zmq.IMMEDIATE, 1)
    try:
        client.stdin_channel.start()
    finally:
        client.context.setsockopt(zmq.IMMEDIATE, 0)
    client.allow_stdin = True


def _transport(sockets: Path, identity: str) -> dict[str, str]:
    if os.name != "posix":
        return {"transport": "tcp"}
    if len(os.fsencode(sockets)) > LONGEST_SOCKET_PATH:
        sockets = _short_directory() / identity
    return {"transport": "ipc", "ip": str(sockets)}


def _short_directory() -> Path:
    """The user's own directory for sockets: one for all kernels, as nobody would remove many."""
    place = Path(tempfile.gettempdir()) / f"flambeau-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    found = place.lstat()
    if found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) == 0o700 and place.is_dir():
        return place
    return Path(tempfile.mkdtemp(prefix="flambeau-"))  # somebody else's, to listen with
