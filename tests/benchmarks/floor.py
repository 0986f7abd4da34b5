"""`python -m tests.benchmarks.floor FILE`: how near both sides come to what the processor can do.

FILE holds rows that `THREADS=1 python -m tests.benchmarks cpu` printed. A row is told in GFLOP/s,
those of its matrix products, convolutions and attention alone; the peak is that of fused
multiply-adds in registers, measured at the start. The last column is the ratio that a row would
reach at the peak with everything else free of cost: no program that multiplies as the definition
says can be below.
"""

from __future__ import annotations

import math
import struct
import sys
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

import flambeau
from flambeau.backends.cpu.loops.language import Program
from flambeau.backends.cpu.loops.machine import Code

from . import convolutions, images, recurrent, transformers

CHAINS, TURNS, TRIES = 12, 2_000_000, 12
"""Independent sums, enough to hide the latency of an addition; rounds of them; the best counts."""


def peak() -> float:
    """GFLOP/s of one core that does nothing but multiply and add in float32."""
    program = Program("fused_multiply_adds")
    place = program.array(0)
    x = program.spread(program.load(place, program.constant(0), "float32"), program.lanes)
    chains = [program.variable(x) for _ in range(CHAINS)]
    with program.loop(program.begin, program.end):
        for chain in chains:
            chain.value = program.intrinsic("fma", chain.value, x, x)
    for k, chain in enumerate(chains):
        program.store(chain.value, place, program.constant(k * program.lanes))
    code, array = Code(program.name, program.text()), np.full(CHAINS * 16, 0.5, np.float32)
    best = math.inf
    for _ in range(TRIES):
        array[:] = 0.5
        started = process_time()
        code.call(struct.pack("=q", id(array)), 0, TURNS)
        best = min(best, process_time() - started)
    return 2 * CHAINS * program.lanes * TURNS / best / 1e9


def of_layers(model: Any, *inputs: Any) -> float:
    """GFLOP of the convolutions and linear layers in one forward pass."""
    total = 0

    def count(layer: Any, _: Any, output: Any) -> None:
        nonlocal total
        total += 2 * output.numel() * math.prod(layer.weight.shape[1:])

    for layer in model.modules():
        if isinstance(layer, flambeau.nn.Conv2d | flambeau.nn.Linear):
            layer.register_forward_hook(count)
    with flambeau.no_grad():
        model(*inputs)
    return total / 1e9


def of_convolution(shape: tuple[int, ...]) -> float:
    """GFLOP of the three maps of a row of `convolutions`."""
    channels, out, size, kernel, stride, groups = shape
    pixels = convolutions.BATCH * (size // stride) ** 2
    return 6 * pixels * out * channels // groups * kernel**2 / 1e9


def work() -> dict[str, float]:
    """GFLOP of one call, by the name that a row begins with."""
    found = {f"matmul {n}": 2 * n**3 / 1e9 for n in (256, 1024, 2048)}
    found["bmm"] = 64 * 2 * 128**3 / 1e9
    for name, shape in convolutions.SHAPES.items():
        found[f"conv {name}, batch"] = of_convolution(shape)
    pictures = partial(flambeau.zeros, dtype=flambeau.float32)
    found["ResNet-18"] = 3 * of_layers(images.resnet18(flambeau), pictures(32, 3, 32, 32))
    for n in (1, 8):
        resnet = images.resnet50(flambeau).eval()
        found[f"ResNet-50 224, batch {n},"] = of_layers(resnet, pictures(n, 3, 224, 224))
    steps, width = recurrent.BATCH * recurrent.LENGTH, recurrent.WIDTH
    cells = 2 * 2 * steps * 4 * width * 2 * width
    found["LSTM"] = 3 * (cells + 2 * steps * width * recurrent.VOCABULARY) / 1e9
    tokens = flambeau.zeros(8, 256, dtype=flambeau.int64)
    model = transformers.gpt(flambeau, vocabulary=65, width=384, depth=6, heads=6, length=256)
    causal = 6 * 4 * tokens.numel() * 384 * (256 / 2) / 1e9
    found["GPT"] = 3 * (of_layers(model, tokens) + causal)
    encoder = transformers.bert(flambeau, vocabulary=30522, width=384, depth=6, heads=12)
    for n in (1, 32):
        tokens = flambeau.zeros(n, 128, dtype=flambeau.int64)
        mixing = 6 * 4 * tokens.numel() * 384 * 128 / 1e9
        found[f"MiniLM 6x384, T 128, batch {n},"] = of_layers(encoder, tokens) + mixing
    return found


def main() -> None:
    """Print a line for each row of the file whose work is known."""
    rate, known = peak(), work()
    print(f"peak of one core: {rate:.1f} GFLOP/s, fused multiply-adds of 16 floats in registers")
    print(f"{'work':54} {'GFLOP':>8} {'ours':>12} {'PyTorch':>12} {'ratio':>6} {'at peak':>8}")
    for line in Path(sys.argv[1]).read_text().splitlines():
        flop = next((f for name, f in known.items() if line.startswith(name)), None)
        if flop is None or " ms " not in line:
            continue
        name, ours, theirs, ratio = line[:58].strip(), *line[58:].replace(" ms ", " ").split()[:3]
        rates = [flop / float(ms) * 1e3 for ms in (ours, theirs)]
        sides = " ".join(f"{r:6.1f} {r / rate:5.0%}" for r in rates)
        print(f"{name:54} {flop:8.3f} {sides} {ratio:>6} {rates[1] / rate:8.2f}")


if __name__ == "__main__":
    main()
