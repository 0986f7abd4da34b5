"""Small charts: sparklines and SVG lines."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

import flambeau as torch
from flambeau.magics.charts import line_chart, sparkline
from flambeau.magics.graph import graph
from flambeau.magics.profile import profile_report, profiling


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


def test_styles_hold_for_their_own_drawing_only() -> None:
    x = torch.ones(2, requires_grad=True)
    with profiling() as profiler:
        y = x.exp()
    for drawing in (line_chart({"a": [1.0, 2.0]}), graph(y)._repr_svg_(),
                    profile_report(profiler).flame):  # fmt: skip
        root = ElementTree.fromstring(drawing)
        (style,) = root.iter("{http://www.w3.org/2000/svg}style")
        selectors = re.findall(r"([^{}]+)\{", style.text or "")
        assert selectors
        assert all(s.startswith(f".{root.get('class')} ") for s in selectors), selectors


def test_few_positions_are_named_by_whole_numbers_and_many_lines_are_counted() -> None:
    text = line_chart({f"line {k}": [1.0, 2.0, 3.0] for k in range(20)})
    assert re.findall(r'text-anchor="middle">([^<]+)<', text) == ["0", "1", "2"]
    assert "and 7 more" in text
