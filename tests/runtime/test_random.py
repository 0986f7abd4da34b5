"""Random numbers: PyTorch's own streams, generators, state."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

import flambeau as torch

from .recorded import streams as recorded

RECORDED = json.loads(recorded.RECORD.read_text())["streams"]


@pytest.mark.parametrize("name", recorded.STREAMS)
def test_streams_are_as_recorded(name: str) -> None:
    drawn, after = recorded.stream(torch, recorded.STREAMS[name])
    wanted, wanted_after = RECORDED[name]
    # Logarithms and cosines of two libraries differ in the last bit of float32.
    np.testing.assert_allclose(drawn, wanted, rtol=3e-7, atol=1e-7)
    assert after == wanted_after


def test_a_generator_has_a_stream_of_its_own() -> None:
    generator = torch.Generator().manual_seed(5)
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.rand(7)
    assert torch.equal(torch.rand(3, generator=generator), wanted)
    assert generator.initial_seed() == 5


def test_the_state_can_be_kept_and_set() -> None:
    torch.manual_seed(1)
    torch.randn(3)  # leaves half a pair of normal numbers behind
    state = torch.get_rng_state()
    first = torch.randn(5)
    torch.set_rng_state(state)
    assert torch.equal(torch.randn(5), first)


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: torch.randint(5, 5, (2,)), "randint"),
        (lambda: torch.multinomial(torch.ones(3), 4), "multinomial"),
        (lambda: torch.empty(2).uniform_(1.0, 0.0), "from not above to"),
        (lambda: torch.empty(2).normal_(0.0, -1.0), "standard deviation not below 0"),
        (lambda: torch.rand(2, dtype=torch.int64), "int64"),
    ],
)
def test_impossible_draws_are_named(draw: object, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        draw()  # type: ignore[operator]


# -- PyTorch's own numbers, recorded from version 2.13 ---------------------------------------------

BITS = {
    "randn": lambda: torch.randn(40),
    "normal_": lambda: torch.empty(20).normal_(0.1, 0.02),
    "few": lambda: torch.randn(5),
    "uniform_": lambda: torch.empty(20).uniform_(-0.3, 0.7),
    "kaiming": lambda: torch.nn.init.kaiming_normal_(torch.empty(4, 6)),
    "linear": lambda: torch.nn.Linear(5, 4).weight,
    "like": lambda: torch.randn_like(torch.ones(4, 5).t()),
    "log_normal_": lambda: torch.empty(6).log_normal_(),
}
RECORDED_SUMS = {
    "randn": 82979648392,
    "normal_": 20758794255,
    "few": 7374711707,
    "uniform_": 38132567033,
    "kaiming": 44400187304,
    "linear": 46676566777,
    "like": 33983884146,
    "log_normal_": 6440260100,
}


@pytest.mark.parametrize("name", BITS)
def test_float32_numbers_are_pytorchs_to_the_last_bit(name: str) -> None:
    torch.manual_seed(3)
    values = BITS[name]().detach().contiguous().numpy()
    digest = int(values.reshape(-1).view(np.uint32).astype(np.uint64).sum())
    assert digest == RECORDED_SUMS[name]


def test_the_state_has_pytorchs_bytes() -> None:
    """Recorded from PyTorch 2.13 after one float32 and one normal number of seed 5."""
    generator = torch.Generator().manual_seed(5)
    torch.rand(1, generator=generator)
    torch.randn(1, generator=generator)
    packed = generator.get_state().numpy().tobytes()
    assert len(packed) == 5056
    assert struct.unpack_from("<QiiQQQ", packed) == (5, 620, 1, 5, 4081643083, 713234725)
    assert struct.unpack_from("<dddi", packed, 5016) == pytest.approx((0, 0.07146187, 0, 1))


def test_a_state_continues_in_another_generator() -> None:
    first = torch.Generator().manual_seed(1)
    torch.rand(700, generator=first)
    torch.randn(1, generator=first)
    second = torch.Generator()
    assert second.set_state(first.get_state()) is second
    assert torch.equal(torch.randn(5, generator=first), torch.randn(5, generator=second))
    assert second.initial_seed() == 1


def test_poisson_counts_are_pytorchs() -> None:
    """Recorded from PyTorch 2.13, and the stream goes on behind the last number used."""
    torch.manual_seed(3)
    rates = torch.tensor([0.5, 3.0, 0.0, 9.9, 10.0, 50.0, 1000.0])
    assert torch.poisson(rates).tolist() == [0, 2, 0, 11, 5, 66, 1015]
    torch.manual_seed(3)
    for _ in range(20):
        torch.poisson(rates)
    assert torch.rand(2).tolist() == pytest.approx([0.9548, 0.9541], abs=1e-4)
    torch.manual_seed(0)
    drawn = torch.poisson(torch.full((4000,), 20.0))
    assert drawn.mean().item() == pytest.approx(20, abs=0.3)
    assert drawn.var().item() == pytest.approx(20, abs=2)


def test_gamma_variables_are_pytorchs() -> None:
    """Recorded from PyTorch 2.13, small and large concentrations in one call."""
    torch.manual_seed(3)
    a = torch.tensor([0.3, 1.0, 2.5, 10.0, 0.01] * 20, dtype=torch.float64)
    found = torch._standard_gamma(a)
    expected = [5.60070688e-01, 3.18545900e00, 1.49066862e00, 8.42258924e00, 4.05560126e-66]
    assert found[:5].tolist() == pytest.approx(expected, rel=1e-8)
    assert torch.rand(2).tolist() == pytest.approx([0.44153416, 0.75927234])
    torch.manual_seed(0)
    drawn = torch._standard_gamma(torch.full((4000,), 5.0))
    assert drawn.mean().item() == pytest.approx(5, abs=0.15)
    assert drawn.var().item() == pytest.approx(5, abs=0.6)
    assert (torch._standard_gamma(torch.zeros(2)) == torch.finfo(torch.float32).tiny).all()
