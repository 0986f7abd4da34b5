"""Arguments of magics complete, and every magic has help with an example."""

from __future__ import annotations

import re
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter

from flambeau.magics.extension import INSTRUMENTS


def completed(shell: Any, line: str) -> list[str]:
    with provisionalcompleter():
        return [c.text for c in shell.Completer.completions(line, len(line))]


def all_magics(shell: Any) -> list[tuple[str, Any]]:
    found = []
    for instrument in INSTRUMENTS:
        registered = shell.magics_manager.registry[instrument.__name__]
        for kind, mark in (("line", "%"), ("cell", "%%")):
            found += [(mark + name, f) for name, f in registered.magics[kind].items()]
    return found


def test_options_and_their_choices_complete(shell: Any) -> None:
    assert "--top" in completed(shell, "%mem --t")
    assert completed(shell, "%%profile --sort for") == ["forward"]


def test_names_after_a_magic_are_still_python(shell: Any, run: Any) -> None:
    run("a_long_name = torch.ones(2)")
    assert "a_long_name" in completed(shell, "%graph a_long")
    assert any(c.endswith(".unsqueeze") for c in completed(shell, "%graph a_long_name.unsq"))


def test_every_magic_explains_itself_with_an_example(shell: Any) -> None:
    for name, function in all_magics(shell):
        text = function.__doc__ or ""
        assert re.search(rf"Examples?:[\s\S]*{re.escape(name)}", text), name


def test_help_begins_with_what_a_magic_does_and_then_shows_its_usage(shell: Any) -> None:
    for name, function in all_magics(shell):
        text = function.__doc__ or ""
        assert text[0].isupper(), name
        if getattr(function, "has_arguments", False):
            usage = text.index(f"usage:\n  %{name.strip('%')}")
            assert text.index("Example") < usage


@pytest.mark.parametrize("line", ["--no-such-option", "'unclosed"])
def test_nonsense_is_refused_in_one_line(shell: Any, line: str, run: Any) -> None:
    for name, _ in all_magics(shell):
        cell = f"{name} {line}" + ("\n1" if name.startswith("%%") else "")
        text = run(cell)
        assert "Traceback" not in text, (name, text)
        assert text.strip(), name


def test_a_cell_under_a_magic_keeps_its_number_and_its_lines(run: Any, shell: Any) -> None:
    number = shell.execution_count
    text = run("%%profile\n1 + 1\n2 * 21")
    assert f"Out[{number}]: 42" in text
    number = shell.execution_count
    assert f"Cell In[{number}], line 3" in run("%%trace\n1\n1 / 0")
    assert shell.execution_count == number + 1


def test_loading_again_after_unloading_brings_everything_back(run: Any, shell: Any) -> None:
    assert MemoryError in shell.custom_exceptions
    run("%unload_ext flambeau.magics")
    assert MemoryError not in shell.custom_exceptions
    run("%load_ext flambeau.magics")
    assert shell.custom_exceptions.count(MemoryError) == 1
    text = run("raise MemoryError('full')")
    assert "What would come back" in text
