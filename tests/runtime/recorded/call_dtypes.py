"""Writes call_dtypes.json: types of results by the type of the tensors, as in PyTorch 2.13.

Run by hand where PyTorch and the tests' own needs are installed:
python -m tests.runtime.recorded.call_dtypes
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from ..properties.calls import RECORDED, Row, drawn_call
from ..properties.drawing import EVERY_DTYPE, examples
from ..properties.test_calls import ROWS


def tensor(array: Any) -> torch.Tensor:
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.astype("float32")).to(torch.bfloat16)
    return torch.from_numpy(array)


def flat(result: Any) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    return [t for part in result for t in flat(part)]


def types(row: Row, dtype: Any) -> str:
    """The types of the results, joined by +; - where every call is refused."""
    if dtype not in row.only:
        return "-"
    found: set[str] = set()

    @given(data=st.data())
    @examples(12)
    def run(data: Any) -> None:
        drawn = drawn_call(data.draw, row, dtype)
        try:
            results = flat(drawn.call(torch, map(tensor, drawn.arrays)))
        except (RuntimeError, TypeError, IndexError, ValueError):
            return
        names = [str(t.dtype).removeprefix("torch.") for t in results]
        if drawn.arrays[0].size:  # PyTorch takes anything where there is nothing to compute
            found.add("+".join(names if len(set(names)) > 1 else names[:1]))

    run()
    longest = max(found, key=len, default="-")
    assert all(longest.startswith(f) for f in found), (row.identity, dtype, found)
    return longest


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    table = {row.identity: " ".join(types(row, d) for d in EVERY_DTYPE) for row in ROWS}
    RECORDED.write_text(json.dumps(table, indent=0) + "\n")
