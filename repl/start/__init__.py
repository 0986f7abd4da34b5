"""Where the `flambeau` command begins: outside the package, whose import loads all of the runtime.

The front end computes nothing itself. With the runtime asleep its prompt is there sooner, and the
cores are the kernel's while that starts.
"""

from importlib.util import find_spec

INTERRUPTED = 130  # as a shell has it for a program that SIGINT ended


def main() -> int:
    """Run the command line; the exit status."""
    package = find_spec("flambeau")
    assert package is not None
    assert package.submodule_search_locations is not None
    with open(f"{package.submodule_search_locations[0]}/asleep.py") as file:
        exec(file.read(), {"__name__": __name__})
    try:
        from flambeau.repl.cli import main as command

        return command()
    except KeyboardInterrupt:  # while it begins or ends; what runs hears it itself
        return INTERRUPTED
