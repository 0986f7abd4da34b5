"""Samples of the operations that networks are made of."""

from __future__ import annotations

from .kit import Sample

SAMPLES: dict[str, list[Sample]] = {}
