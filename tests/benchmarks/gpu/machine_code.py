"""What the compiler made of our own kernels, without a GPU: a line for each.

    python -m tests.benchmarks.gpu.machine_code [--arch sm_90] [PATTERN ...]

Registers, stack and shared memory are read out of the machine code itself; how many blocks a
multiprocessor holds follows from them. Where NVIDIA's `nvdisasm` is on the PATH, instructions are
counted too: loads and stores of global memory by their width, how many loads there are before the
first use of one, accesses of local memory (spills), products of matrices, arithmetic on doubles.
"""

from __future__ import annotations

import argparse
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from flambeau.backends.cuda import (
    attention,
    channels_last,
    formulas,
    launch,
    nvrtc,
    pointwise,
    registry,
)
from flambeau.core.dispatch import operations

REGISTERS, SHARED, MOST_WARPS, MOST_BLOCKS = 64 << 10, 228 << 10, 64, 32
"""Of a multiprocessor of compute capability 9.0 (CUDA C++ Programming Guide, table 27)."""
RESERVED_SHARED = 1 << 10
"""Bytes of shared memory that each block takes for the system; of 9.0, too."""
WARP, REGISTER_UNIT = 32, 256
"""Registers are given to warps in such units."""

# -- the machine code ------------------------------------------------------------------------------

# Attributes of a kernel in sections .nv.info; the formats of their values: none, a byte, two
# bytes, or so many bytes that two say.
REGCOUNT, FRAME_SIZE, MAX_THREADS, SIZED = 0x2F, 0x11, 0x05, 4
SECTION = struct.Struct("<IIQQQQIIQQ")
"""Name, type, flags, address, offset, size, link, info, alignment, size of an entry."""


@dataclass
class Resources:
    """What a kernel takes: registers of a thread, bytes of its stack, bytes of shared memory of a
    block beside those asked for at the launch, threads of a block at most; and the instructions."""

    registers: int = 0
    stack: int = 0
    shared: int = 0
    threads: int = 1024
    counts: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0

    def blocks(self, dynamic: int = 0, threads: int | None = None) -> int:
        """How many blocks of so many `threads`, each with `dynamic` bytes of shared memory more, a
        multiprocessor holds."""
        warps = -(-(threads or self.threads) // WARP)
        of_warp = -(-self.registers * WARP // REGISTER_UNIT) * REGISTER_UNIT
        by_registers = REGISTERS // of_warp // warps
        by_shared = SHARED // (self.shared + dynamic + RESERVED_SHARED)
        return min(by_registers, by_shared, MOST_WARPS // warps, MOST_BLOCKS)


def _text(code: bytes, offset: int) -> str:
    return code[offset : code.index(b"\0", offset)].decode()


def _sections(code: bytes) -> dict[str, tuple[int, int, int, int]]:
    """Offset, size, the number of the linked section, and the type of each section of an ELF."""
    (start,) = struct.unpack_from("<Q", code, 0x28)
    size, count, names = struct.unpack_from("<HHH", code, 0x3A)
    heads = [SECTION.unpack_from(code, start + k * size) for k in range(count)]
    return {_text(code, heads[names][4] + h[0]): (h[4], h[5], h[6], h[1]) for h in heads}


def _attributes(part: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + 4 <= len(part):
        kind, attribute, size = struct.unpack_from("<BBH", part, place)
        place += 4
        if kind == SIZED:
            yield attribute, part[place : place + size]
            place += size


def resources(code: bytes) -> dict[str, Resources]:
    """What each kernel of a cubin takes, by symbol."""
    sections = _sections(code)
    symbols, _, _, _ = sections[".symtab"]
    strings = sections[".strtab"][0]

    def symbol(k: int) -> str:
        return _text(code, strings + struct.unpack_from("<I", code, symbols + 24 * k)[0])

    found = {name[6:]: Resources() for name in sections if name.startswith(".text.")}
    offset, size, _, _ = sections[".nv.info"]
    for attribute, value in _attributes(code[offset : offset + size]):
        if attribute in (REGCOUNT, FRAME_SIZE):
            of, number = struct.unpack("<II", value)
            kernel = found.get(symbol(of))
            if kernel is not None and attribute == REGCOUNT:
                kernel.registers = number
            elif kernel is not None:
                kernel.stack = number
    for name, kernel in found.items():
        offset, size, _, _ = sections[f".nv.info.{name}"]
        for attribute, value in _attributes(code[offset : offset + size]):
            if attribute == MAX_THREADS:
                x, y, z = struct.unpack("<III", value)
                kernel.threads = x * y * z
        shared = sections.get(f".nv.shared.{name}")
        kernel.shared = max(0, shared[1] - RESERVED_SHARED) if shared else 0
    return found


# -- instructions ----------------------------------------------------------------------------------

DISASSEMBLER = shutil.which("nvdisasm")
INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][A-Z0-9_.]*)\s*([^;]*);")
KERNEL = re.compile(r"^\.text\.(\S+):")
REGISTER = re.compile(r"\bR(\d+)\b")
ACCESSES = {"LDG", "STG", "LDGSTS"}
LOCAL = {"LDL", "STL"}
DOUBLE = {"DADD", "DMUL", "DFMA", "DSETP", "DMNMX"}
TENSOR = {"HMMA", "HGMMA", "IMMA"}


def count_instructions(code: bytes, found: dict[str, Resources]) -> None:
    """Add to each kernel how often it has which instruction, and its loads in flight."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "code.cubin")
        place.write_bytes(code)
        command = [str(DISASSEMBLER), "-c", str(place)]
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kernel, pending, loads = Resources(), set[int](), 0
    for line in listing.splitlines():
        if head := KERNEL.match(line):
            kernel, pending, loads = found.get(head[1], Resources()), set(), 0
        elif parts := INSTRUCTION.match(line):
            name, operands = parts[1], parts[2]
            base, *modifiers = name.split(".")
            width = next((m for m in modifiers if m in ("128", "64", "U16", "U8", "S8")), "32")
            counted = f"{base}.{width}" if base in ACCESSES else base
            kernel.counts[counted] += 1
            to, _, rest = operands.partition(",")
            if base == "LDG":
                first = int(REGISTER.findall(to)[0])
                words = {"128": 4, "64": 2}.get(width, 1)
                pending.update(range(first, first + words))
                loads += 1
                kernel.in_flight = max(kernel.in_flight, loads)
            elif pending & {int(r) for r in REGISTER.findall(rest)}:
                pending, loads = set(), 0


# -- the report ------------------------------------------------------------------------------------

FORMULA_DTYPES = ("float32", "bfloat16")


def programs(patterns: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Label, source and kernels of everything that a pattern fits."""
    registry.launchers()
    files: dict[str, list[str]] = defaultdict(list)
    for template in launch.templates:
        files[template.file] += map(template.expression, template.combinations())
    for file, expressions in files.items():
        yield file, launch.source(file).text, [e for e in expressions if _fits(e, file, patterns)]
    for dtype in FORMULA_DTYPES:
        text, names = '#include "pointwise.cuh"\n', []
        for operation in [o for o in operations.values() if o.formula and not o.derived]:
            expression, name = operation.expression({}), f"{operation.name}_{dtype}"
            if formulas.is_supported(expression, dtype) and _fits(name, "formulas", patterns):
                made = pointwise.formula_of(operation, expression, dtype)
                count = len(made.inputs)
                width = pointwise.VECTOR_BYTES // (4 if dtype == "float32" else 2)
                text += made.code(
                    formulas.Layout((dtype,) * count, ("vector",) * count, width, 1), name
                )
                names.append(name)
        yield "formulas", text, names


def _fits(expression: str, file: str, patterns: list[str]) -> bool:
    return not patterns or any(fnmatch(expression, f"*{p}*") or fnmatch(file, p) for p in patterns)


def measured(label: str, text: str, names: list[str], arch: str) -> dict[str, Resources]:
    """What the kernels of a source take, by their names in C++, compiled as for use."""
    code, symbols = nvrtc.compiled(text, label, names, launch.options(arch))
    found = resources(code)
    if DISASSEMBLER:
        count_instructions(code, found)
    return {name: found[symbol] for name, symbol in zip(names, symbols, strict=True)}


def dynamic_shared(expression: str) -> int:
    """Bytes of shared memory that the launcher of a kernel asks for."""
    name, _, rest = expression.partition("<")
    values = rest.rstrip(">").split(", ")
    itemsize = 4 if values[0] == "float32" else 2
    if name.startswith("attention") and len(values) == 3:
        width = int(values[1])
        return attention.tiling(name, values[0], width, values[2] == "true").bytes(width, itemsize)
    if name.endswith("_vectors"):
        return channels_last.shared_bytes(name, int(values[1]), itemsize)
    return 0


def line(name: str, kernel: Resources) -> str:
    """The line of the report."""
    dynamic = dynamic_shared(name)
    blocks = kernel.blocks(dynamic)
    text = (
        f"{kernel.registers:4} {kernel.stack:5} {(kernel.shared + dynamic) / 1024:6.1f} "
        f"{blocks:3} x {kernel.threads:<4} {blocks * kernel.threads / 20.48:4.0f}%  "
    )
    if DISASSEMBLER:
        counts = kernel.counts
        moved = [f"{k}:{n}" for k, n in sorted(counts.items()) if k.partition(".")[0] in ACCESSES]
        for title, of in (("local", LOCAL), ("double", DOUBLE), ("tensor", TENSOR)):
            if total := sum(counts[k] for k in of):
                moved.append(f"{title}:{total}")
        text += f"{kernel.in_flight:3} {sum(counts.values()):5}  {' '.join(moved):70}"
    return f"{text} {name}"


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu.machine_code")
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("pattern", nargs="*", help="of kernels or files, such as 'softmax'")
    given = parser.parse_args()
    more = " fly  size  accesses" + 64 * " " if DISASSEMBLER else ""
    print(f" reg stack    KiB  blocks of  full {more}kernel")
    for label, text, names in programs(given.pattern):
        if names:
            for name, kernel in measured(label, text, names, given.arch).items():
                print(line(name, kernel))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
