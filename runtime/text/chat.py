"""Conversations as the text that a model was trained on, by the template that comes with it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

Messages = Sequence[Mapping[str, Any]]


def _refuse(message: str) -> None:
    raise ValueError(f"chat template: {message}")


def _as_json(value: Any, indent: int | None = None, **unused: Any) -> str:
    """JSON as it is: Jinja's own filter escapes it for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _now(format: str) -> str:
    return datetime.now().strftime(format)


@functools.lru_cache(maxsize=16)
def _compiled(template: str) -> Any:
    try:
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise ImportError(
            "apply_chat_template: expected the package jinja2, which is not installed. Get it with "
            "pip install 'flambeau[text]'."
        ) from None
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = _as_json
    environment.globals.update(raise_exception=_refuse, strftime_now=_now)
    return environment.from_string(template)


def render(template: str, messages: Messages, add_generation_prompt: bool, **names: Any) -> str:
    """The text of `messages`, dicts with `role` and `content`; with what begins the answer if
    asked. The template runs in a sandbox. Raises: ValueError for messages that it refuses."""
    for message in messages:
        if not isinstance(message, Mapping) or "role" not in message:
            raise ValueError(
                "apply_chat_template: expected messages as dicts with role and content, such as "
                f"{{'role': 'user', 'content': 'Hello'}}. Got {message!r}."
            )
    found: str = _compiled(template).render(
        messages=list(messages), add_generation_prompt=add_generation_prompt, **names
    )
    return found
