"""Breaks kernels one place at a time and tells which faults the tests don't see.

    python -m tests.runtime.cuda.mutate scans attention     # sources, with or without .cuh
    python -m tests.runtime.cuda.mutate --kinds waits       # only barriers and the like, of all

A copy of the sources has a switch at each place: a barrier or a wait that may be left out, a
comparison that may be off by one, a condition that may be taken for true, a guard that may never
leave. The tests run once with all switches off, which tells what reaches each place; then, for each
place by itself, those tests until one fails. It takes minutes for a source; no test runs it.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flambeau.backends.cuda import launch, presence

from . import shim

TESTS = Path(__file__).parent
KINDS = ("waits", "compares", "masks")
SECONDS = 120
"""That the tests of one fault may take; more counts as seen."""
WAITS = (
    r"__(?:syncthreads|threadfence)\(\);|__syncwarp\([^()]*\);"
    r"|(?<!:)(?:await_groups<\w+>|end_group)\(\);"
)
PRELUDE = r"""
namespace shim {
template <int K, char OPERATOR> struct Compared {};  // a <Compared<7, '<'>()> b is a < b, or a <= b
template <typename A, int K, char OPERATOR> struct Left { A value; };
template <typename A, int K, char OPERATOR>
Left<A, K, OPERATOR> operator<(A value, Compared<K, OPERATOR>) { return {value}; }
template <typename A, typename B, int K, char OPERATOR>
bool operator>(Left<A, K, OPERATOR> left, B b) {
    const A a = left.value;
    const bool is_broken = is_mutant(K);
    if constexpr (OPERATOR == '<') return is_broken ? a <= b : a < b;
    if constexpr (OPERATOR == '>') return is_broken ? a >= b : a > b;
    if constexpr (OPERATOR == 'l') return is_broken ? a < b : a <= b;
    if constexpr (OPERATOR == 'g') return is_broken ? a > b : a >= b;
}
}  // namespace shim
"""


@dataclass(frozen=True)
class Place:
    """Where a source may be broken, and how."""

    file: str
    line: int
    how: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.how}: {self.text}"


def code_of(text: str) -> str:
    """The source with comments, strings, directives and what is known to the compiler blanked."""

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", found[0])

    text = re.sub(r"//[^\n]*|\"(?:\\.|[^\"\\])*\"", blank, text)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.M)
    text = re.sub(r"\b(?:constexpr|static_assert)\b[^;{]*[;{]", blank, text)
    return re.sub(r"^[^\n]*\btemplate\b[^\n]*", blank, text, flags=re.M)


def operand(code: str, at: int, step: int) -> int:
    """The end of the operand of `&&`, `?` or `if (` that begins at `at` and goes on by `step`."""
    opens, closes = ("([{", ")]}") if step > 0 else (")]}", "([{")
    depth = 0
    while 0 <= at < len(code):
        c = code[at]
        pair = code[at : at + 2] if step > 0 else code[at - 1 : at + 1]
        if depth == 0 and (c in closes or c in ";,?{}" or pair in ("&&", "||")):
            break
        is_assignment = c == "=" and code[at - 1] not in "=!<>" and code[at + 1] != "="
        is_plain_colon = c == ":" and "::" not in (code[at - 1 : at + 1], code[at : at + 2])
        if depth == 0 and (is_plain_colon or is_assignment):
            break
        if step < 0 and code[at - 5 : at + 1] == "return":
            break
        depth += (c in opens) - (c in closes)
        at += step
    if step > 0:
        return at
    return at + 1 + len(code[at + 1 :]) - len(code[at + 1 :].lstrip())


def edits_of(file: str, text: str, kinds: set[str]) -> Iterator[tuple[str, int, int, str, str]]:
    """How, from where to where, and what stands before and behind it then; `%` is the number."""
    code = code_of(text)
    if "waits" in kinds:
        for m in re.finditer(WAITS, code):
            yield "left out", m.start(), m.end(), "if (!shim::is_mutant(%)) ", ""
    if "compares" in kinds:
        for m in re.finditer(r"(?<=[a-z0-9_)\]] )(<=|>=|<|>)(?= )", code):
            letter = {"<=": "l", ">=": "g"}.get(m[1], m[1])
            yield "off by one", m.start(), m.end(), f"<shim::Compared<%, '{letter}'>()> /*", "*/"
    if "masks" in kinds:
        for m in re.finditer(r"&&", code):
            for a, b in (
                (operand(code, m.start() - 1, -1), m.start()),
                (m.end(), operand(code, m.end(), 1)),
            ):
                if re.search("[a-z]", code[a:b]):  # not of what the compiler knows
                    yield "true", a, b, " (shim::is_mutant(%) || (", ")) "
        for m in re.finditer(r"\?", code):
            a = operand(code, m.start() - 1, -1)
            if "&&" not in code[a : m.start()] and code[a - 1] != "[":
                yield "true", a, m.start(), " (shim::is_mutant(%) || bool(", ")) "
        for m in re.finditer(r"\bif \(", code):
            end = operand(code, m.end(), 1)
            leaves = re.match(r"\)\s*(?:continue|return|break)\b", code[end:])
            inner = code[m.end() : end]
            if leaves:
                yield "never leaves", m.end(), end, "!shim::is_mutant(%) && (", ")"
            elif end < len(code) and code[end] == ")" and "&&" not in inner:
                yield "true", m.end(), end, "shim::is_mutant(%) || bool(", ")"


def switched(file: str, text: str, first: int, kinds: set[str]) -> tuple[str, list[Place]]:
    """The source with switches from number `first` on."""
    insertions: list[tuple[int, int, str]] = []
    places = []
    for how, begin, end, before, behind in edits_of(file, text, kinds):
        number = str(first + len(places))
        insertions += [(begin, 1, before.replace("%", number)), (end, 0, behind)]
        line = text.count("\n", 0, begin + 1) + 1
        shown = " ".join(text[max(begin - 30, text.rfind("\n", 0, begin) + 1) : end + 30].split())
        places.append(Place(file, line, f"{' '.join(text[begin:end].split())} {how}", shown))
    # Of what begins at one place the outer one first; what ends goes before what begins.
    for at, _, inserted in sorted(insertions, key=lambda i: (i[0], i[1]), reverse=True):
        text = text[:at] + inserted + text[at:]
    return text, places


class Recorder:
    """A plugin of pytest: which test reaches which place."""

    def __init__(self, reached: Any) -> None:
        self.reached, self.tests = reached, defaultdict(list)
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        ctypes.memset(self.reached, 0, len(self.reached))
        start = time.perf_counter()
        yield
        self.seconds[item.nodeid] = time.perf_counter() - start
        for number, is_reached in enumerate(bytes(self.reached)):
            if is_reached:
                self.tests[number].append(item.nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def is_seen(number: int, tests: list[str], switch: Any) -> bool:
    """Whether one of the tests fails if the place of that number is broken."""
    child = os.fork()
    if not child:
        presence._Asked.is_forked = False  # the stand-in lives on
        signal.alarm(SECONDS)
        out = os.open(os.devnull, os.O_WRONLY)
        os.dup2(out, 1)
        os.dup2(out, 2)
        switch.value = number
        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]) != 0))
    return os.waitpid(child, 0)[1] != 0


def main() -> None:
    """Read the command line and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="*")
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument(
        "--tests", nargs="*", default=[str(p) for p in sorted(TESTS.glob("test_*.py"))]
    )
    parser.add_argument("--most", type=int, default=12, help="tests for each place")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "kernels"
        shutil.copytree(launch.KERNELS, copy)
        places = broken_copy(copy, arguments.sources, set(arguments.kinds))
        launch.KERNELS = copy
        report(places, arguments.tests, arguments.most)


def broken_copy(folder: Path, sources: list[str], kinds: set[str]) -> list[Place]:
    """Put switches into the sources of a folder; all of them where none is named."""
    places: list[Place] = []
    for path in sorted(folder.glob("*.cu*")):
        text = path.read_text()
        if not sources or path.name in sources or path.stem in sources:
            text, found = switched(path.name, text, len(places) + 1, kinds)
            places += found
        if path.name == "types.cuh":
            text += PRELUDE
        path.write_text(text)
    return places


def report(places: list[Place], tests: list[str], most: int) -> None:
    """Run the tests for each place, and print those that no test sees."""
    machine = ctypes.CDLL(str(shim.machine()))
    switch = ctypes.c_int.in_dll(machine, "mutant")
    recorder = Recorder((ctypes.c_char * shim.MOST_MUTANTS).in_dll(machine, "reached"))
    pytest.main(["-q", "-p", "no:cacheprovider", *tests], plugins=[recorder])
    if recorder.failed:
        sys.exit(f"{len(recorder.failed)} tests fail as it is")
    quickest = sorted(recorder.seconds, key=recorder.seconds.__getitem__)[:most]
    if is_seen(0, quickest, switch):
        sys.exit("The tests fail once more where nothing is broken.")
    unseen = 0
    for number, place in enumerate(places, 1):
        reaching = sorted(recorder.tests[number], key=recorder.seconds.__getitem__)
        spread = reaching[:: max(1, len(reaching) // most)]
        if spread and is_seen(number, spread, switch):
            continue
        unseen += 1
        print(f"{place} -- {f'unseen by {len(spread)}' if spread else 'never reached'}", flush=True)
    print(f"{len(places)} places, {unseen} unseen")


if __name__ == "__main__":
    main()
