"""Collectives among real processes: their values, and what happens when processes disagree."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.distributed as dist

from .ranks import in_ranks

SIZES = [5, 40_000]  # exchanged whole, and in parts
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8,
          torch.bool, torch.complex64]  # fmt: skip


def values(rank: int, size: int) -> Any:
    return np.random.RandomState(rank).randint(1, 9, size).astype(np.float64)


def reduced(rank: int, size: int) -> Any:
    found = {}
    for op in dist.ReduceOp:
        x = torch.tensor(values(rank, size)).long()
        dist.all_reduce(x, op)
        found[op.name] = x.numpy()
    return found


@pytest.mark.parametrize("count", [2, 3, 5])
def test_all_reduce_combines_the_values_of_all(count: int) -> None:
    for size in SIZES:
        whole = np.stack([values(k, size) for k in range(count)]).astype(np.int64)
        expected = {
            "SUM": whole.sum(0), "AVG": whole.sum(0) // count, "PRODUCT": whole.prod(0),
            "MIN": whole.min(0), "MAX": whole.max(0), "BAND": np.bitwise_and.reduce(whole),
            "BOR": np.bitwise_or.reduce(whole), "BXOR": np.bitwise_xor.reduce(whole),
        }  # fmt: skip
        for found in in_ranks(count, reduced, size):
            for name, value in expected.items():
                assert np.array_equal(found[name], value), (name, size)


def every_dtype(rank: int) -> Any:
    found = []
    for dtype in DTYPES:
        x = torch.ones(3, 4).mul(rank + 1).to(dtype).t()  # not row-major
        dist.all_reduce(x)
        found.append(x.to(torch.complex64).tolist())
        dist.all_reduce(torch.zeros(0).to(dtype))
    scalar = torch.tensor(0.5)
    dist.all_reduce(scalar, dist.ReduceOp.AVG)
    return found, scalar.item()


def test_every_dtype_and_layout_is_combined_in_place() -> None:
    for found, scalar in in_ranks(3, every_dtype):
        for dtype, value in zip(DTYPES, found, strict=True):
            assert value == [[1 if dtype is torch.bool else 6] * 3] * 4, dtype
        assert scalar == 0.5


def random_sum(rank: int) -> Any:
    found = []
    for size in (7, 100_001):
        torch.manual_seed(rank)
        x = torch.randn(size)
        dist.all_reduce(x)
        found.append(x.numpy())
    return found


def test_all_processes_end_with_the_same_bits_again_and_again() -> None:
    first, *others = [*in_ranks(3, random_sum), *in_ranks(3, random_sum)]
    for other in others:
        for a, b in zip(first, other, strict=True):
            assert a.tobytes() == b.tobytes()


def moved(rank: int, size: int) -> None:
    n = dist.get_world_size()

    def own(value: float) -> Any:
        return torch.full((size,), float(value))

    def firsts(tensors: Any) -> list[float]:
        assert all((t == t[0]).all() for t in tensors)
        return [t[0].item() for t in tensors]

    x = own(rank)
    dist.broadcast(x, 1)
    assert firsts([x]) == [1]
    x = own(rank)
    dist.reduce(x, 1)
    assert firsts([x]) == [sum(range(n)) if rank == 1 else rank]
    parts = [own(-1) for _ in range(n)]
    dist.all_gather(parts, own(rank))
    assert firsts(parts) == list(range(n))
    whole = torch.zeros(n, size)
    dist.all_gather_into_tensor(whole, own(rank))
    assert firsts(whole) == list(range(n))
    dist.gather(own(rank), parts if rank == 2 else None, 2)
    assert firsts(parts) == list(range(n))
    dist.scatter(x, [own(10 * k) for k in range(n)] if rank == 0 else None)
    assert firsts([x]) == [10 * rank]
    dist.reduce_scatter(x, [own(k) for k in range(n)])
    assert firsts([x]) == [n * rank]
    dist.reduce_scatter_tensor(x, torch.cat([own(k) for k in range(n)]), dist.ReduceOp.AVG)
    assert firsts([x]) == [rank]
    dist.all_to_all(parts, [own(10 * rank + k) for k in range(n)])
    assert firsts(parts) == [10 * k + rank for k in range(n)]
    rows = torch.arange(6.0) + 10 * rank  # rank k gets k + 1 of the six from each
    out = torch.zeros(n * (rank + 1))
    dist.all_to_all_single(out, rows, [rank + 1] * n, [1, 2, 3])
    begin = sum(range(rank + 1))
    assert out.tolist() == [10 * k + begin + j for k in range(n) for j in range(rank + 1)]


def test_tensors_are_moved_where_they_belong() -> None:
    for size in SIZES:
        assert in_ranks(3, moved, size) == [None] * 3


def objects(rank: int) -> Any:
    n = dist.get_world_size()
    everyone: list[Any] = [None] * n
    dist.all_gather_object(everyone, {"rank": rank, "text": "x" * 50_000 * rank})
    assert [o["rank"] for o in everyone] == list(range(n))
    gathered = [None] * n if rank == 1 else None
    dist.gather_object(rank, gathered, 1)
    assert gathered == ([0, 1, 2] if rank == 1 else None)
    pair: list[Any] = [rank, "b" * 100_000 if rank == 2 else None]
    dist.broadcast_object_list(pair, 2)
    assert (pair[0], len(pair[1])) == (2, 100_000)
    mine = [None]
    dist.scatter_object_list(mine, [{"to": k} for k in range(n)] if rank == 0 else None)
    assert mine == [{"to": rank}]
    if rank == 0:
        dist.send_object_list(["a", {"b": 1}], 1)
    elif rank == 1:
        dist.recv_object_list(both := [None, None])
        assert both == ["a", {"b": 1}]


def test_objects_of_any_size_are_moved() -> None:
    assert in_ranks(3, objects) == [None] * 3


def messages(rank: int) -> Any:
    n = dist.get_world_size()
    out, back = torch.full((300_000,), float(rank)), torch.zeros(300_000)
    after, before = (rank + 1) % n, (rank - 1) % n
    works = dist.batch_isend_irecv(
        [dist.P2POp(dist.isend, out, after), dist.P2POp(dist.irecv, back, before)]
    )
    for work in works:
        work.wait()
    assert (back == before).all()
    x = torch.zeros(2)
    if rank == 0:
        seen = {dist.recv(x) for _ in range(2)}  # from anybody
        assert seen == {1, 2}
        dist.recv(x, 1, tag=5)
        assert x.tolist() == [5, 5]
        dist.recv(x, 1, tag=4)  # sent before
        assert x.tolist() == [4, 4]
    else:
        dist.send(torch.ones(2), 0)
        if rank == 1:
            dist.send(torch.full((2,), 4.0), 0, tag=4)
            dist.send(torch.full((2,), 5.0), 0, tag=5)
    with pytest.raises(ValueError, match="another process"):
        dist.send(x, rank)


def test_messages_arrive_by_sender_and_tag() -> None:
    assert in_ranks(3, messages) == [None] * 3


def under_way(rank: int) -> Any:
    tensors = [torch.full((50_000,), float(k)) for k in range(6)]
    works = [dist.all_reduce(t, async_op=True) for t in tensors]
    done = [f.then(lambda f: f.value()[0].sum().item()) for f in map(dist.Work.get_future, works)]
    dist.all_reduce(last := torch.ones(1))  # after all that was begun
    assert all(work.is_success() for work in works)
    assert last.item() == 2
    return [f.wait() for f in done]


def test_collectives_go_on_in_order_while_the_program_does() -> None:
    assert in_ranks(2, under_way) == [[50_000 * 2 * k for k in range(6)]] * 2


def groups(rank: int) -> Any:
    pair = dist.new_group([2, 0])
    x = torch.tensor([rank + 1.0])
    dist.all_reduce(x, group=pair)
    assert x.item() == (2 if rank == 1 else 4)
    if rank == 1:
        assert pair is dist.GroupMember.NON_GROUP_MEMBER
        assert dist.get_rank(pair) == -1
    else:
        assert dist.get_process_group_ranks(pair) == [0, 2]
        assert dist.get_group_rank(pair, 2) == 1
        dist.broadcast(x, 2, group=pair)
        with pytest.raises(ValueError, match=r"rank of the group \[0, 2\]"):
            dist.broadcast(x, 1, group=pair)
    own, everyone = dist.new_subgroups(1)
    assert dist.get_process_group_ranks(own) == [rank]
    assert len(everyone) == 3
    with pytest.raises(ValueError, match="different ranks"):
        dist.new_group([0, 7])
    dist.destroy_process_group(pair)
    dist.barrier()


def test_groups_of_some_processes_have_their_own_ranks() -> None:
    assert in_ranks(3, groups) == [None] * 3


DISAGREEMENTS = {
    "shapes": lambda rank: dist.all_reduce(torch.ones(3 + rank)),
    "dtypes": lambda rank: dist.all_reduce(torch.ones(3).to([torch.float32, torch.int64][rank])),
    "calls": lambda rank: dist.barrier() if rank else dist.all_reduce(torch.ones(3)),
    "operations": lambda rank: dist.all_reduce(torch.ones(3), list(dist.ReduceOp)[rank]),
    "large ones": lambda rank: dist.all_reduce(torch.ones(100_000 + rank)),
}


@pytest.mark.parametrize("name", list(DISAGREEMENTS))
def test_processes_that_disagree_are_told_what_the_other_does(name: str) -> None:
    for error in in_ranks(2, DISAGREEMENTS[name]):
        assert isinstance(error, dist.DistBackendError), error
        assert "same calls with the same shapes" in str(error)
        assert "ank 0 is in call 1" in str(error)
        assert "ank 1 is in call 1" in str(error)


def other_roots(rank: int) -> None:
    dist.broadcast(torch.ones(2), rank)  # each sends, and nobody reads
    dist.barrier()


def test_two_roots_of_one_broadcast_are_noticed_by_the_next_call() -> None:
    for error in in_ranks(2, other_roots):
        assert "is in call 2, barrier; rank" in str(error)
        assert "is in call 1, broadcast from" in str(error)


def sizes_of_pairs(rank: int) -> None:
    out = [torch.zeros(2), torch.zeros(2)]
    sent = [torch.zeros(2), torch.zeros(2)]
    sent[1 - rank] = torch.zeros(2 + rank)
    dist.all_to_all(out, sent)
    dist.barrier()  # where the one that got what it expected hears of it


def test_a_pair_that_disagrees_about_sizes_is_told_both() -> None:
    errors = in_ranks(2, sizes_of_pairs)
    assert any("expected 8 bytes from rank 1 at rank 0. Got 12" in str(e) for e in errors)
    assert all(isinstance(e, dist.DistBackendError) for e in errors)


def other_message(rank: int) -> None:
    dist.recv(torch.ones(3), 1) if rank == 0 else dist.send(torch.ones(4).long(), 0)


def test_a_message_of_another_shape_is_refused_with_both() -> None:
    error, _ = in_ranks(2, other_message)
    assert "expected float32 (3,) from rank 1" in str(error)
    assert "sent int64 (4,)" in str(error)


def one_dies(rank: int, size: int) -> None:
    dist.barrier()
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        dist.all_reduce(torch.ones(size))


@pytest.mark.parametrize("size", SIZES)
def test_a_killed_process_fails_all_others_by_its_rank(size: int) -> None:
    first, dead, last = in_ranks(3, one_dies, size)
    assert dead == -signal.SIGKILL
    for error in (first, last):
        assert isinstance(error, dist.DistBackendError)
        assert "rank 1 ended without leaving" in str(error)


def one_is_late(rank: int) -> None:
    if rank == 1:
        first = torch.zeros(1)
        with pytest.raises(dist.DistBackendError):
            dist.recv(first, 0)  # until the others gave up
        raise RuntimeError("late")
    dist.group.WORLD.set_timeout(0.5)
    dist.all_reduce(torch.ones(1))


def test_a_process_that_does_not_come_is_named_after_the_timeout() -> None:
    first, _, last = in_ranks(3, one_is_late)
    assert any(isinstance(e, dist.DistTimeoutError) for e in (first, last))
    for error in (first, last):
        assert "expected rank 1 within 0.5 s" in str(error)


def interrupted(rank: int) -> None:
    if rank == 0:
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            dist.all_reduce(torch.ones(1))
        with pytest.raises(dist.DistBackendError, match="begin anew"):
            dist.barrier()
    else:
        dist.recv(torch.ones(1), 0)


def test_an_interrupted_collective_ends_the_group_everywhere() -> None:
    first, second = in_ranks(2, interrupted)
    assert first is None
    assert "Rank 0 was interrupted in all_reduce" in str(second)


def anew(rank: int, directory: str) -> float:
    with pytest.raises(dist.DistBackendError):
        dist.all_reduce(torch.ones(1 + rank))
    dist.destroy_process_group()
    dist.init_process_group(init_method=f"file://{directory}/b", rank=rank, world_size=2)
    dist.all_reduce(x := torch.ones(1))
    return float(x.item())


def test_after_a_failure_a_new_group_can_be_formed(tmp_path: Any) -> None:
    assert in_ranks(2, anew, str(tmp_path)) == [2, 2]


def barrier_without_one(rank: int) -> None:
    if rank == 1:
        with pytest.raises(dist.DistBackendError):
            dist.recv(torch.ones(1), 0)
    else:
        dist.monitored_barrier(timeout=0.3, wait_all_ranks=True)


def test_a_monitored_barrier_names_who_did_not_come() -> None:
    for error in in_ranks(3, barrier_without_one)[::2]:
        assert "Rank 1 did not come" in str(error)


def refused(rank: int) -> None:
    x = torch.ones(2)
    cases: list[tuple[Any, str]] = [
        (lambda: dist.all_reduce(x, dist.ReduceOp.BAND), "integers or bools"),
        (lambda: dist.all_reduce(torch.ones(2, dtype=torch.complex64), dist.ReduceOp.MAX), "order"),
        (lambda: dist.all_gather([x], x), "a list of 2"),
        (lambda: dist.all_gather([x, torch.ones(3)], x), "2 elements in output 1"),
        (lambda: dist.broadcast(x, 2), "rank of the group"),
        (lambda: dist.reduce_scatter_tensor(x, torch.ones(3)), "times 2 processes"),
        (lambda: dist.all_reduce([x]), "expected a tensor"),
        (lambda: dist.all_gather([x, x.long()], x), "one dtype"),
        (lambda: dist.all_reduce(torch.ones(2, device="meta")), "meta"),
        (lambda: dist.all_reduce(torch.ones(1).expand(2)), "that was expanded"),
    ]
    for call, words in cases:
        with pytest.raises((ValueError, RuntimeError, TypeError), match=words):
            call()
    dist.barrier()  # nothing of that went out


def test_what_one_process_can_refuse_leaves_the_group_whole() -> None:
    assert in_ranks(2, refused) == [None] * 2


def through_gradients(rank: int) -> Any:
    found = []
    for call in (
        lambda x: dist.nn.all_reduce(x),
        lambda x: sum(dist.nn.all_gather(x)),
        lambda x: dist.nn.broadcast(x, 1),
        lambda x: dist.nn.reduce(x, 0) if rank == 0 else 0 * dist.nn.reduce(x, 0),
        lambda x: dist.nn.reduce_scatter(torch.zeros(1), [x[:1], x[1:]]),
        lambda x: dist.nn.all_to_all([torch.zeros(1)] * 2, [x[:1], x[1:]])[0],
    ):
        x = torch.tensor([1.0, 2.0]) * (rank + 1)
        x.requires_grad = True
        (call(x) * (rank + 1)).sum().backward()
        found.append(x.grad.tolist())
    return found


def test_gradients_pass_collectives() -> None:
    # The sum over ranks of (rank + 1) times what each gets, by what each gives.
    assert in_ranks(2, through_gradients) == [
        [[3, 3], [3, 3], [0, 0], [1, 1], [1, 2], [1, 2]],
        [[3, 3], [3, 3], [3, 3], [1, 1], [1, 2], [0, 0]],
    ]


def on_two_machines(rank: int) -> Any:
    from flambeau.distributed import machines

    machines.machine = lambda: f"machine {rank // 2}"  # type: ignore[assignment]
    both = dist.new_group()
    torch.manual_seed(rank)
    x = torch.randn(100_003)
    own = x.numpy().copy()
    dist.all_reduce(x, group=both)
    parts = [torch.zeros(20_000) for _ in range(4)]
    dist.all_gather(parts, torch.full((20_000,), float(rank)), both)
    dist.broadcast(y := torch.full((50_000,), float(rank)), 3, both)
    return own, x.numpy(), [p[0].item() for p in parts], y[0].item()


def test_machines_of_several_processes_add_up_within_and_then_across() -> None:
    results = in_ranks(4, on_two_machines)
    expected = sum(own.astype(np.float64) for own, *_ in results)
    for _, total, firsts, y in results:
        assert np.abs(total - expected).max() < 1e-6
        assert total.tobytes() == results[0][1].tobytes()
        assert firsts == [0, 1, 2, 3]
        assert y == 3


def without_shared_memory(rank: int) -> Any:
    from flambeau.distributed import machines

    machines.machine = lambda: f"machine {rank}"  # type: ignore[assignment]
    apart = dist.new_group()
    dist.all_reduce(x := torch.full((300_000,), rank + 1.0), group=apart)
    dist.broadcast(y := torch.full((300_000,), float(rank)), 1, apart)
    dist.reduce(z := torch.ones(300_000), 2, group=apart)
    return [sorted(set(t.tolist())) for t in (x, y, z)]


def test_machines_of_one_process_each_send_all_over_the_network() -> None:
    assert [r[:2] for r in in_ranks(3, without_shared_memory)] == [[[6], [1]]] * 3
