"""The settings file: what it may say, and how one setting is changed in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flambeau.repl.settings import Settings, SettingsError, load, save


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert load(tmp_path / "none.toml") == (Settings(), None)


def test_what_is_right_counts_and_what_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[repl]\nediting_mode = "vi"\nhints = "perhaps"\ncolour = 3\n')
    settings, fault = load(path)
    assert settings == Settings(editing_mode="vi")
    assert fault is not None
    assert "hints: expected true or false. Got 'perhaps'." in fault
    assert "Got 'colour'" in fault


def test_a_broken_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[repl\n")
    settings, fault = load(path)
    assert settings == Settings()
    assert fault is not None
    assert str(path) in fault


def test_saving_leaves_other_lines_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "config.toml"
    save(path, "hints", False)
    assert path.read_text() == "[repl]\nhints = false\n"
    path.write_text("# mine\n[other]\nhints = 1\n[repl]\ntheme = 'dark'  # dim\n[last]\nx = 2\n")
    save(path, "hints", True)
    save(path, "theme", "light")
    assert path.read_text() == (
        '# mine\n[other]\nhints = 1\n[repl]\nhints = true\ntheme = "light"\n[last]\nx = 2\n'
    )
    assert load(path) == (Settings(hints=True, theme="light"), None)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("hints", "False", False), ("menu_rows", "9", 9), ("theme", "'dark'", "dark")],
)
def test_values_are_read_as_they_are_typed(name: str, text: str, value: object) -> None:
    assert getattr(Settings().with_value(name, text), name) == value


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("editing_mode", "vim", "expected emacs or vi. Got 'vim'"),
        ("menu_rows", "many", "expected a number"),
        ("nothing", "1", "Expected one of editing_mode"),
    ],
)
def test_wrong_values_are_refused_in_words(name: str, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Settings().with_value(name, text)
