"""What the ranks of a training tell one another beside its gradients: on the CPU, so that no GPU waits for it.

Everything goes over a gloo group of its own, with a limit on how long a rank waits for another that is at work alone.
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
    """Whether there is another rank."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


@functools.cache
def gloo_group() -> distributed.ProcessGroup:
    """The group; all ranks have to come here together the first time."""
    return distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)


def maximum(values: list[float]) -> list[float]:
    """The largest of each value over all ranks."""
    return _reduced(values, distributed.ReduceOp.MAX)


def minimum(values: list[float]) -> list[float]:
    """The smallest of each value over all ranks."""
    return _reduced(values, distributed.ReduceOp.MIN)


def _reduced(values: list[float], operation) -> list[float]:
    if not is_distributed():
        return values
    tensor = torch.tensor(values, dtype=torch.float64)
    distributed.all_reduce(tensor, op=operation, group=gloo_group())
    return tensor.tolist()


def broadcast(value: float) -> float:
    """What rank 0 says, on all ranks."""
    if not is_distributed():
        return value
    tensor = torch.tensor([value], dtype=torch.float64)
    distributed.broadcast(tensor, 0, group=gloo_group())
    return tensor.item()


def barrier() -> None:
    """Until all ranks are here, at most LONGEST_WAIT."""
    if is_distributed():
        distributed.barrier(group=gloo_group())


def run_on_rank_0(make: Callable[[], Any], what: str) -> Any:
    """What `make` returns on rank 0, on all ranks; an InputError or RuntimeError there is one on all of them."""
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
