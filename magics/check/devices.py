"""Devices of the abstract run: the meta device, numbered so that its shape rules tell them apart.

`meta` stands for the CPU, `meta:1` for `cuda:0`, `meta:2` for `cuda:1`, and the last for meta.
"""

from __future__ import annotations

from typing import Any

from flambeau.core.devices import device as Device

CPU = Device("meta")
META = Device("meta", 1000)


def shadow_device(place: Any) -> Device:
    """The device that stands for `place`. Raises: RuntimeError if it names no device."""
    found = place if isinstance(place, Device) else Device(place)
    if found.type == "cuda":
        return Device("meta", (found.index or 0) + 1)
    return META if found.type == "meta" else CPU


def told_device(place: Device) -> Device:
    """The device that the user knows as `place`."""
    if place == META:
        return Device("meta")
    return Device("cuda", place.index - 1) if place.index else Device("cpu")
