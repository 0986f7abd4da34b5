"""Philox on the GPU: its words, the numbers made of them, and the generator's state."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from scipy import stats

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.backends.cuda.launch import Kernel, Source
from flambeau.core.dispatch import operations

from .shim import HostDriver

FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]

WORDS = """
#include "philox.cuh"
__global__ void four(unsigned* out, const Stream stream, int64 sequence) {
    const Words words = Philox(stream, sequence).next();
    for (int k = 0; k < 4; ++k) out[k] = words.at[k];
}
"""


@pytest.mark.parametrize(
    ("seed", "counter", "sequence", "wanted"),
    [  # Known answers of the authors' library Random123, file kat_vectors.
        (0, 0, 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (2**64 - 1, 2**64 - 1, 2**64 - 1, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (0x299F31D0A4093822, 0x85A308D3243F6A88, 0x0370734413198A2E,
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_philox_gives_the_known_answers(
    host: HostDriver, seed: int, counter: int, sequence: int, wanted: str
) -> None:
    cupy = sys.modules["cupy"]
    out, held = cupy.zeros(4, np.uint32), cupy.asarray(np.array([seed, 0], np.uint64))
    kernel = Kernel(
        Source("words.cu", WORDS.replace("next();", f"at({counter}ull);")), "four", "PQQPQ"
    )
    kernel(1, 1, out.data.ptr, 0, 0, held.data.ptr, sequence)
    assert " ".join(f"{word:08x}" for word in out.get()) == wanted


def test_numbers_are_pytorchs(host: HostDriver) -> None:
    """The first numbers that PyTorch users get on a GPU after manual_seed(0)."""
    torch.manual_seed(0)
    assert torch.rand(3, device="cuda").tolist() == pytest.approx(
        [0.3990, 0.5167, 0.0249], abs=5e-5
    )
    torch.manual_seed(0)
    wanted = [-0.9247, -0.4253, -2.6438, 0.1452]
    assert torch.randn(4, device="cuda").tolist() == pytest.approx(wanted, abs=5e-5)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("count", [0, 1, 5, 4_000, 20_000])
def test_uniform_numbers_fill_their_interval(host: HostDriver, dtype: Any, count: int) -> None:
    torch.manual_seed(1)
    x = torch.zeros(count, device="cuda", dtype=dtype).uniform_(-2.0, 3.0)
    values = x.cpu().double().numpy()
    assert x.dtype is dtype
    assert ((values >= -2) & (values < 3)).all()
    if count >= 4_000 and dtype.itemsize > 2:
        assert stats.kstest((values + 2) / 5, "uniform").pvalue > 1e-3
        assert len(np.unique(values)) > 0.99 * count  # threads and rounds draw different numbers


@pytest.mark.parametrize("dtype", FLOATS)
def test_normal_numbers_are_normal(host: HostDriver, dtype: Any) -> None:
    torch.manual_seed(2)
    values = torch.zeros(9_999, device="cuda", dtype=dtype).normal_(1.0, 0.5).cpu().double().numpy()
    assert stats.kstest((values - 1) / 0.5, "norm").statistic < (
        0.02 if dtype.itemsize > 2 else 0.03
    )


def test_exponential_numbers_are_exponential_and_never_0(host: HostDriver) -> None:
    torch.manual_seed(3)
    values = torch.empty(9_999, device="cuda").exponential_(2.0).cpu().numpy()
    assert stats.kstest(2 * values, "expon").pvalue > 1e-3
    assert values.min() > 0


@pytest.mark.parametrize(("low", "high"), [(-3, 5), (0, 2**40), (-(2**63), 2**63 - 1)])
def test_integers_lie_in_their_range(host: HostDriver, low: int, high: int) -> None:
    torch.manual_seed(4)
    values = torch.randint(low, high, (5_000,), device="cuda").cpu().numpy()
    assert values.min() >= low
    assert values.max() < high
    shares = (values.astype(np.float64) - low) / (high - low)
    assert stats.kstest(shares + 0.5 / (high - low), "uniform").statistic < (
        0.1 if high - low < 100 else 0.03
    )


def test_permutations_have_each_number_once(host: HostDriver) -> None:
    torch.manual_seed(5)
    found = torch.randperm(1_000, device="cuda").tolist()
    assert sorted(found) == list(range(1_000))
    assert found != list(range(1_000))


def test_bernoulli_follows_its_probability(host: HostDriver) -> None:
    torch.manual_seed(6)
    for dtype in (torch.float32, torch.int64, torch.bool):
        x = torch.zeros(8_000, device="cuda", dtype=dtype).bernoulli_(0.3)
        assert x.dtype is dtype
        assert x.sum().item() == pytest.approx(2_400, abs=4 * math.sqrt(8_000 * 0.21))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("count", [3, 6_400, 6_401])
def test_dropout_keeps_or_scales(host: HostDriver, dtype: Any, count: int) -> None:
    torch.manual_seed(7)
    x = torch.ones(count, device="cuda", dtype=dtype, requires_grad=True)
    y = F.dropout(x, 0.75)
    y.backward(torch.ones_like(y))
    values = y.detach().cpu().double().numpy()
    assert set(np.unique(values)) <= {0.0, 4.0}
    assert torch.equal(x.grad.cpu(), y.detach().cpu())
    if count > 3:
        assert (values != 0).mean() == pytest.approx(0.25, abs=0.025)


@pytest.mark.parametrize("count", [1, 2_051, 8_000])
def test_dropout_draws_what_array_code_draws(host: HostDriver, count: int) -> None:
    how = {"probability": 0.3, "value": 2.0, "seed": 2**40 + 5, "offset": 12, "held": 0}
    x = np.random.default_rng(0).normal(size=count).astype(np.float32)
    wanted = operations["philox_dropout"].array(np, x, threads=512, **how)
    for dtype in FLOATS:
        given = torch.tensor(x).to(dtype).cuda()
        found = given._key.philox_dropout(given._array, threads=512, **how).get()
        assert host.launched[-1].startswith("dropout")
        np.testing.assert_array_equal(found != 0, wanted != 0)
        np.testing.assert_allclose(found.astype(np.float64), wanted, rtol=1e-2)


def test_a_state_goes_on_where_it_was_taken(host: HostDriver) -> None:
    torch.manual_seed(8)
    torch.rand(10_000, device="cuda")
    state = torch.cuda.get_rng_state()
    assert (state.dtype, tuple(state.shape), state.device.type) == (torch.uint8, (16,), "cpu")
    # Ten thousand numbers of 1,536 threads take two rounds of four words each.
    assert state.numpy().view(np.int64).tolist() == [8, 8]
    wanted = torch.rand(5, device="cuda").tolist()
    torch.cuda.set_rng_state(state)
    assert torch.rand(5, device="cuda").tolist() == wanted
    torch.cuda.set_rng_state_all([state])
    assert torch.rand(5, device="cuda").tolist() == wanted
    generator = torch.Generator("cuda")
    generator.set_state(state)
    assert torch.rand(5, device="cuda", generator=generator).tolist() == wanted
    assert generator.initial_seed() == 8
    with pytest.raises(RuntimeError, match=r"16 elements.*'cuda'"):
        generator.set_state(torch.get_rng_state())


def test_fork_rng_leaves_the_gpus_stream_alone(host: HostDriver) -> None:
    torch.manual_seed(9)
    with torch.random.fork_rng():
        wanted = torch.rand(3, device="cuda").tolist()
    assert torch.rand(3, device="cuda").tolist() == wanted


def test_checkpoints_drop_the_same_elements_again(host: HostDriver) -> None:
    torch.manual_seed(10)
    x = torch.ones(64, device="cuda", requires_grad=True)
    y = torch.utils.checkpoint.checkpoint(lambda x: F.dropout(x) ** 2, x, use_reentrant=False)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.cpu().numpy(), 2 * y.detach().cpu().numpy())


def test_replays_of_a_graph_draw_on(host: HostDriver) -> None:
    torch.manual_seed(11)
    wanted = [torch.rand(6, device="cuda").tolist() for _ in range(5)]
    generator = torch.Generator("cuda").manual_seed(11)
    held = sys.modules["cupy"].zeros(2, np.uint64)
    found = [torch.rand(6, device="cuda", generator=generator).tolist()]

    def launches() -> None:  # those of a graph: what they are given never changes
        generator.philox.start_recording(held)
        found.extend(torch.rand(6, device="cuda", generator=generator).tolist() for _ in range(2))

    launches()
    del found[1:]  # a graph that is being recorded computes nothing
    recorded = generator.philox.end_recording()
    for _ in range(2):
        recorded.prepare()
        launches()
        generator.philox.end_recording()
    assert found == wanted


COUNT = 6_000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["cauchy_", "log_normal_", "geometric_"])
def test_other_distributions_are_filled_in_one_launch(
    host: HostDriver, name: str, dtype: Any
) -> None:
    torch.manual_seed(12)
    x = torch.empty(COUNT, device="cuda", dtype=dtype)
    args = {"cauchy_": (0.5, 2.0), "log_normal_": (0.3, 0.8), "geometric_": (0.25,)}[name]
    host.launched.clear()
    values = getattr(x, name)(*args).cpu().double().numpy()
    assert len(host.launched) == 1
    if name == "geometric_":
        seen = np.bincount(values.astype(int), minlength=60)[1:9]
        chances = stats.geom.pmf(np.arange(1, 9), 0.25)
        np.testing.assert_allclose(seen / COUNT, chances, atol=5 * np.sqrt(0.2 / COUNT))
        assert values.min() == 1
    else:
        wanted = (
            stats.cauchy(0.5, 2).cdf if name == "cauchy_" else stats.lognorm(0.8, 0, np.e**0.3).cdf
        )
        assert stats.kstest(values, wanted).pvalue > 1e-3


@pytest.mark.parametrize("concentration", [0.3, 1.0, 7.5])
def test_gamma_numbers_are_gamma(host: HostDriver, concentration: float) -> None:
    torch.manual_seed(13)
    given = torch.full((COUNT,), concentration, dtype=torch.float64, device="cuda")
    values = torch._standard_gamma(given).cpu().numpy()
    assert any(name.startswith("one_by_one") for name in host.launched)
    assert stats.kstest(values, stats.gamma(concentration).cdf).pvalue > 1e-3


@pytest.mark.parametrize("rate", [0.0, 0.7, 6.0, 40.0])
def test_poisson_counts_are_poisson(host: HostDriver, rate: float) -> None:
    torch.manual_seed(14)
    values = torch.poisson(torch.full((COUNT,), rate, device="cuda")).cpu().numpy()
    assert abs(values.mean() - rate) <= 5 * np.sqrt(rate / COUNT)
    if rate:
        assert abs(values.var() / rate - 1) < 0.15
        edges = stats.poisson.ppf(np.linspace(0.1, 0.9, 9), rate)
        found = [(values <= e).mean() for e in edges]
        np.testing.assert_allclose(found, stats.poisson.cdf(edges, rate), atol=0.04)


def test_coins_fall_with_their_own_probabilities(host: HostDriver) -> None:
    torch.manual_seed(15)
    p = torch.tensor([0.0, 0.2, 0.9, 1.0]).repeat(COUNT // 4)
    for draw in (
        lambda: torch.bernoulli(p.cuda()),
        lambda: torch.empty(COUNT, dtype=torch.int32, device="cuda").bernoulli_(p.cuda()),
    ):
        host.launched.clear()
        found = draw().cpu().double().numpy().reshape(-1, 4)
        assert sum(name.startswith("decide") for name in host.launched) == 1
        assert set(found.ravel()) == {0.0, 1.0}
        np.testing.assert_allclose(found.mean(0), [0, 0.2, 0.9, 1], atol=0.06)
        assert found[:, 0].max() == 0
        assert found[:, 3].min() == 1
    torch.bernoulli(torch.tensor([0.5, 1.5]).cuda())
    with pytest.raises(RuntimeError, match=r"probabilities from 0 to 1\. Got others"):
        torch.cuda.synchronize()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("count", "replacement"), [(1, False), (2, False), (40, True)])
def test_multinomial_draws_in_proportion(
    host: HostDriver, dtype: Any, count: int, replacement: bool
) -> None:
    torch.manual_seed(16)
    weights = np.array([[1.0, 0.0, 2.0, 1.0], [0.0, 3.0, 1.0, 0.0]])
    rows = 400 if count < 3 else 20
    given = torch.tensor(np.repeat(weights, rows, 0)).to(dtype).cuda()
    found = torch.multinomial(given, count, replacement)
    assert found.dtype is torch.int64
    picks = found.cpu().numpy().reshape(2, rows, count)
    for row, chosen in zip(weights, picks, strict=True):
        assert (row[chosen] > 0).all()
        first = np.bincount(chosen[:, : 1 if count == 2 else None].ravel(), minlength=4)
        np.testing.assert_allclose(first / first.sum(), row / row.sum(), atol=0.08)
        if count == 2:
            assert (chosen[:, 0] != chosen[:, 1]).all()
    few = given[::100]
    torch.manual_seed(16)
    again = torch.multinomial(few, count, replacement)
    torch.manual_seed(16)
    assert torch.equal(torch.multinomial(few, count, replacement), again)
    assert torch.multinomial(given[0], count, replacement).shape == (count,)


def test_wrong_weights_are_told_at_the_next_wait(host: HostDriver) -> None:
    for wrong in ([1.0, -1.0], [np.nan, 1.0], [np.inf, 1.0]):
        for count in (1, 3):
            torch.multinomial(torch.tensor(wrong).cuda(), count, True)
            with pytest.raises(RuntimeError, match=r"finite weights, none negative.*Got others"):
                torch.cuda.synchronize()
    with pytest.raises(RuntimeError, match="at most 2 samples"):
        torch.multinomial(torch.ones(2).cuda(), 3)
