"""What the ranks of a training exchange besides gradients: on the CPU, so that no GPU has to wait.

Everything goes through a separate gloo group, with a limit on how long ranks wait for one that works alone.
"""

from __future__ import annotations

import datetime
import functools
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import distributed

from utils import InputError

LONGEST_WAIT = datetime.timedelta(hours=2)

log = logging.getLogger(__name__)


def is_distributed() -> bool:
    """Whether there is more than one rank."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def is_rank_0() -> bool:
    return not is_distributed() or distributed.get_rank() == 0


@functools.cache
def gloo_group() -> distributed.ProcessGroup:
    """The gloo group; the first call must be made by all ranks together."""
    return distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)


def maximum(values: list[float]) -> list[float]:
    """The maximum of each value over all ranks."""
    return _reduced(values, distributed.ReduceOp.MAX)


def minimum(values: list[float]) -> list[float]:
    """The minimum of each value over all ranks."""
    return _reduced(values, distributed.ReduceOp.MIN)


def _reduced(values: list[float], operation) -> list[float]:
    if not is_distributed():
        return values
    tensor = torch.tensor(values, dtype=torch.float64)
    distributed.all_reduce(tensor, op=operation, group=gloo_group())
    return tensor.tolist()


def broadcast(value: float) -> float:
    """The value of rank 0, on all ranks."""
    if not is_distributed():
        return value
    tensor = torch.tensor([value], dtype=torch.float64)
    distributed.broadcast(tensor, 0, group=gloo_group())
    return tensor.item()


def barrier() -> None:
    """Wait until all ranks are here, at most LONGEST_WAIT."""
    if is_distributed():
        distributed.barrier(group=gloo_group())


def run_on_rank_0(make: Callable[[], Any], what: str) -> Any:
    """Call `make` on rank 0 and return its result on all ranks; its InputError or RuntimeError is raised on all of them."""
    if not is_distributed():
        return make()
    answer: list[Any] = [None, None]
    if distributed.get_rank() == 0:
        log.info("%s on rank 0; the others wait, at most %d minutes", what, LONGEST_WAIT.total_seconds() // 60)
        try:
            answer[0] = make()
        except (InputError, RuntimeError) as error:
            answer[1] = error
    distributed.broadcast_object_list(answer, 0, group=gloo_group())
    if answer[1] is not None:
        raise answer[1]
    return answer[0]


def leave() -> None:
    """End the connections of this rank, at the end of a training.

    Left to the interpreter's exit, gloo's threads may hold tensors longer than Python lives, and abort the process
    (github.com/pytorch/pytorch/pull/179291).
    """
    if distributed.is_available() and distributed.is_initialized():
        gloo_group.cache_clear()
        distributed.destroy_process_group()
