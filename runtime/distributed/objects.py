"""Collectives of any Python objects, which are pickled. Use them among processes you trust: what is
unpickled can run code."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from ..core.creation import from_numpy
from . import schedules
from .collectives import _require_count, _source
from .group import is_member, world
from .lanes import Lanes
from .point_to_point import recv, send
from .process_group import ProcessGroup


def _sizes(lanes: Lanes, count: int) -> list[int]:
    own = memoryview(np.array([count], np.int64).view(np.uint8))
    return [int(np.asarray(data).view(np.int64)[0]) for data in schedules.gather_small(lanes, own)]


def _gathered(group: ProcessGroup, name: str, obj: Any) -> list[Any]:
    """The objects of all processes, by rank."""
    if group.size() == 1:
        return [pickle.loads(pickle.dumps(obj))]
    pickled = pickle.dumps(obj)
    found: list[Any] = []

    def move(lanes: Lanes) -> None:
        pieces = [memoryview(bytearray(n)) for n in _sizes(lanes, len(pickled))]
        pieces[lanes.rank][:] = pickled
        schedules.all_gather(lanes, pieces)
        found[:] = pieces

    group.run(name, move)
    return [pickle.loads(piece) for piece in found]


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """Put the object of each process into `object_list`."""
    if is_member(group):
        _require_count("all_gather_object", "object_list", object_list, world(group))
        object_list[:] = _gathered(world(group), "all_gather_object", obj)


def gather_object(
    obj: Any,
    object_gather_list: list[Any] | None = None,
    dst: int | None = None,
    group: Any = None,
    group_dst: int | None = None,
) -> None:
    """Put the object of each process into the list of process `dst`."""
    if not is_member(group):
        return
    here = world(group)
    root = _source("gather_object", here, dst, group_dst, None)
    if here.rank() == root:
        _require_count("gather_object", "object_gather_list", object_gather_list, here)
    found = _gathered(here, f"gather_object to {root}", obj)
    if here.rank() == root and object_gather_list is not None:
        object_gather_list[:] = found


def broadcast_object_list(
    object_list: list[Any],
    src: int | None = None,
    group: Any = None,
    device: Any = None,
    group_src: int | None = None,
) -> None:
    """Give every process the objects that process `src` has, in a list of the same length."""
    if not is_member(group):
        return
    here = world(group)
    root = _source("broadcast_object_list", here, src, group_src, None)
    is_root = here.rank() == root
    pickled = pickle.dumps(list(object_list)) if is_root else b""
    found: list[Any] = []

    def move(lanes: Lanes) -> None:
        count = np.array([len(pickled)], np.int64)
        schedules.broadcast(lanes, memoryview(count.view(np.uint8)), root)
        data = memoryview(bytearray(pickled or int(count[0])))
        schedules.broadcast(lanes, data, root)
        found.append(data)

    here.run(f"broadcast_object_list of {len(object_list)} from {root}", move)
    if not is_root and found:
        object_list[:] = pickle.loads(found[0])


def scatter_object_list(
    scatter_object_output_list: list[Any],
    scatter_object_input_list: list[Any] | None = None,
    src: int | None = None,
    group: Any = None,
    group_src: int | None = None,
) -> None:
    """Give each process its object out of the list of process `src`, as the first of its output
    list."""
    if not is_member(group):
        return
    here = world(group)
    root = _source("scatter_object_list", here, src, group_src, None)
    if not scatter_object_output_list:
        raise ValueError("scatter_object_list: expected an output list of one. Got an empty one.")
    given: list[Any] = []
    if here.rank() == root:
        given = _require_count(
            "scatter_object_list", "scatter_object_input_list", scatter_object_input_list, here
        )
    sent = [pickle.dumps(obj) for obj in given]
    found: list[Any] = [sent[root] if sent else None]

    def move(lanes: Lanes) -> None:
        sizes = np.array([len(data) for data in sent] or [0] * lanes.size, np.int64)
        schedules.broadcast(lanes, memoryview(sizes.view(np.uint8)), root)
        if lanes.rank != root:
            found[0] = memoryview(bytearray(int(sizes[lanes.rank])))
        pieces = [memoryview(data) for data in sent]
        schedules.scatter(lanes, pieces, memoryview(found[0]), root)

    here.run(f"scatter_object_list from {root}", move)
    scatter_object_output_list[0] = pickle.loads(found[0])


def send_object_list(
    object_list: list[Any],
    dst: int | None = None,
    group: Any = None,
    device: Any = None,
    group_dst: int | None = None,
) -> None:
    """Send objects to one process, which calls `recv_object_list` with a list of that length."""
    data = np.frombuffer(pickle.dumps(list(object_list)), np.uint8).copy()
    send(from_numpy(np.array([data.size], np.int64)), dst, group, OBJECTS, group_dst)
    send(from_numpy(data), dst, group, OBJECTS, group_dst)


def recv_object_list(
    object_list: list[Any],
    src: int | None = None,
    group: Any = None,
    device: Any = None,
    group_src: int | None = None,
) -> int:
    """Fill the list with the objects that process `src`, or any, sends; the rank they came from."""
    count = from_numpy(np.zeros(1, np.int64))
    sender = recv(count, src, group, OBJECTS, group_src)
    if sender < 0:
        return sender
    data = np.empty(int(count.item()), np.uint8)
    recv(from_numpy(data), sender, group, OBJECTS)
    object_list[:] = pickle.loads(data.data)
    return sender


OBJECTS = -1
"""The tag of objects, which no message of the user's has."""
