"""`flambeau kernel install`: the kernelspec where Jupyter looks for it.

The wheel brings the kernelspec into its own environment; this puts it elsewhere, naming the
interpreter that has Flambeau.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

from .launch import command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the sub-command."""
    parser.add_argument("action", choices=["install"], help="what to do with the kernelspec")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help="for this user's Jupyter (the default)")
    where.add_argument("--sys-prefix", action="store_true", help="for this environment only")
    where.add_argument("--prefix", help="below this folder, in share/jupyter/kernels")
    parser.add_argument("--name", default="flambeau", help="the kernel's short name")
    parser.add_argument("--display-name", default="Flambeau", help="the name that Jupyter shows")


def run(arguments: argparse.Namespace) -> int:
    """Install as asked and say where; 1 if the folder cannot be written."""
    prefix = sys.prefix if arguments.sys_prefix else arguments.prefix
    try:
        place = install(arguments.name, arguments.display_name, prefix)
    except (OSError, ValueError) as error:
        print(f"flambeau kernel install: {error}", file=sys.stderr)
        return 1
    print(f"Installed the kernel {arguments.name!r} in {place}")
    return 0


def install(name: str, display_name: str, prefix: str | None = None) -> str:
    """Write the kernelspec `name` for the running interpreter, below `prefix` or for the user.

    Returns the folder. Raises: OSError if it cannot be written, ValueError for an invalid name.
    """
    from jupyter_client.kernelspec import KernelSpecManager

    with (
        tempfile.TemporaryDirectory() as folder,
        as_file(files(__package__) / "kernelspec") as ours,
    ):
        copy = Path(folder) / name
        shutil.copytree(ours, copy)
        spec = json.loads((copy / "kernel.json").read_text())
        spec.update(argv=command(), display_name=display_name)
        (copy / "kernel.json").write_text(json.dumps(spec, indent=1) + "\n")
        return KernelSpecManager().install_kernel_spec(
            str(copy), name, user=prefix is None, prefix=prefix
        )
