"""Copies of a module on several GPUs, whose gradients go back to the module's parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...cuda import comm
from ..modules.module import Module

__all__ = ["replicate"]


def replicate(network: Module, devices: Sequence[Any], detach: bool = False) -> list[Module]:
    """`network` once on each of `devices`. Parameters are copies that lead back to the originals,
    unless `detach`; where the network lies, parameters and buffers are its own."""
    modules = list(network.modules())
    parameters = list(network.parameters())
    buffers = list(network.buffers())
    given = [p.detach() for p in parameters] if detach else parameters
    replicas = []
    for tensors, held in zip(
        comm.broadcast_coalesced(given, devices),
        comm.broadcast_coalesced(buffers, devices),
        strict=True,
    ):
        copies = {id(t): c for t, c in zip(parameters, tensors, strict=True)}
        copies.update({id(t): c for t, c in zip(buffers, held, strict=True)})
        made = {id(module): _shallow(module) for module in modules}
        for module in made.values():
            module.__dict__["_parameters"] = {
                n: p if p is None else copies[id(p)] for n, p in module._parameters.items()
            }
            module.__dict__["_buffers"] = {
                n: b if b is None else copies[id(b)] for n, b in module._buffers.items()
            }
            module.__dict__["_modules"] = {
                n: m if m is None else made[id(m)] for n, m in module._modules.items()
            }
        replicas.append(made[id(network)])
    return replicas


def _shallow(module: Module) -> Module:
    replica = module.__new__(type(module))
    replica.__dict__ = {**module.__dict__, "_is_replica": True}
    return replica
