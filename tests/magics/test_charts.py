"""Small charts: sparklines and SVG lines."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from flambeau.magics.charts import line_chart, sparkline


def test_sparklines_span_low_to_high() -> None:
    assert sparkline([0, 1, 2, 3], log=False) == "▁▃▆█"
    assert sparkline([1, 10, 100]) == "▁▅█"
    assert sparkline([5, 5]) == "▁▁"
    assert sparkline([1, math.nan, 2]) == "▁✗█"
    assert len(sparkline(list(range(1, 100)))) == 16


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [0.0, math.inf, 5.0], [2.0], [], [math.nan]])
def test_charts_are_xml_whatever_the_values(values: list[float], log: bool) -> None:
    text = line_chart({"a<b": values, "c": values}, log=log, title='"loss"')
    ElementTree.fromstring(text)
    assert "nan" not in re.sub("aria-label.*?>", "", text)


def test_larger_values_stand_higher_and_axes_are_labelled() -> None:
    text = line_chart({"loss": [1.0, 100.0]}, xs=[0.1, 10.0], log=True, log_x=True)
    ys = [float(y) for y in re.findall(r'cy="([\d.]+)"', text)]
    assert ys[0] > ys[1]
    assert "1e1" in text
    assert ">loss<" in text
