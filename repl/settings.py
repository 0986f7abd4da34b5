"""What a person may choose about the REPL, kept in a TOML file.

[repl]
editing_mode = "vi"
theme = "light"
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from .images import PROTOCOLS

CHOICES = {"editing_mode": ("emacs", "vi"), "images": ("auto", *PROTOCOLS)}


def settings_path() -> Path:
    """$FLAMBEAU_CONFIG, or `flambeau/config.toml` in the user's XDG configuration directory."""
    chosen = os.environ.get("FLAMBEAU_CONFIG")
    if chosen:
        return Path(chosen).expanduser()
    directory = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(directory).expanduser() / "flambeau" / "config.toml"


class SettingsError(ValueError):
    """A setting that does not exist or cannot have that value; the text says what could be."""


@dataclass(frozen=True)
class Settings:
    """One value per choice; the defaults suit any terminal."""

    editing_mode: str = "emacs"  # or vi
    theme: str = "terminal"  # its 16 colours; or dark, light, or a style of pygments
    images: str = "auto"  # or one of images.PROTOCOLS
    autosuggest: bool = True  # the rest of an earlier cell, dim, behind the cursor
    completion: bool = True  # the menu comes while one types, not only at Tab
    diagnostics: bool = True  # faults are underlined before the cell runs
    hints: bool = True  # shapes stand dim at the ends of lines
    status: bool = True  # device, memory and policy in the last row
    menu_rows: int = 6  # kept free below the prompt for the menu

    def with_value(self, name: str, value: Any) -> Settings:
        """The same but for one setting; text is read as TOML would. Raises: SettingsError."""
        known = {field.name: type(field.default) for field in fields(self)}
        if name not in known:
            raise SettingsError(f"Expected one of {', '.join(known)}. Got {name!r}.")
        wanted = known[name]
        if isinstance(value, str) and wanted is not str:
            value = _read(value)
        elif isinstance(value, str):
            value = value.strip("\"'")
        if type(value) is not wanted:
            kind = {bool: "true or false", int: "a number", str: "text"}[wanted]
            raise SettingsError(f"{name}: expected {kind}. Got {value!r}.")
        choices = CHOICES.get(name)
        if choices and value not in choices:
            raise SettingsError(f"{name}: expected {' or '.join(choices)}. Got {value!r}.")
        changes: dict[str, Any] = {name: value}
        return replace(self, **changes)

    def table(self) -> str:
        """A line per setting, as it stands in the file."""
        return "\n".join(f"{name} = {_written(value)}" for name, value in asdict(self).items())


def load(path: Path) -> tuple[Settings, str | None]:
    """The settings of the file, and what is wrong with it; what is right counts all the same."""
    settings, faults = Settings(), []
    try:
        given = tomllib.loads(path.read_text()).get("repl", {})
    except FileNotFoundError:
        return settings, None
    except (OSError, ValueError) as error:
        return settings, f"{path}: {error}"
    for name, value in given.items():
        try:
            settings = settings.with_value(name, value)
        except SettingsError as error:
            faults.append(str(error))
    return settings, f"{path}: {' '.join(faults)}" if faults else None


def save(path: Path, name: str, value: Any) -> None:
    """Write one setting into the file and leave its other lines alone. Raises: OSError."""
    line = f"{name} = {_written(value)}"
    lines = path.read_text().splitlines() if path.exists() else []
    section = next((k for k, text in enumerate(lines) if text.strip() == "[repl]"), None)
    if section is None:
        lines += ["", "[repl]"] if lines else ["[repl]"]
        section = len(lines) - 1
    at = section + 1
    while at < len(lines) and not lines[at].lstrip().startswith("["):
        if lines[at].split("=")[0].strip() == name:
            lines[at] = line
            break
        at += 1
    else:
        lines.insert(section + 1, line)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text("\n".join(lines) + "\n")
    partial.replace(path)


def _read(text: str) -> Any:
    plain = {"True": "true", "False": "false", "on": "true", "off": "false"}
    try:
        return tomllib.loads(f"value = {plain.get(text.strip(), text)}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
