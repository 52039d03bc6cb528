"""The precision that a training computes in: what the hardware is fastest in, as far as that is safe."""

from __future__ import annotations

import importlib.util
import time

import torch

from budget.clock import PEAK_S

PEAK_MATRIX_SIZE = {"cuda": 8192, "cpu": 1024}  # rows and columns of the matrices in the timed product


def choose_precision(training) -> None:
    """Unless set: bfloat16 and TF32 if the hardware has units for them, float16 on older GPUs, which only emulate bfloat16.

    On a CPU, bfloat16 only if that is faster: see `cpu_prefers_bfloat16`.
    """
    cuda = torch.cuda.is_available() and not training.use_cpu
    if training.bf16 is None:
        # DeepSpeed's optimizers for CPUs are written for float32.
        is_faster = (
            torch.cuda.is_bf16_supported(including_emulation=False)
            if cuda
            else not training.deepspeed and cpu_prefers_bfloat16()
        )
        training.bf16 = is_faster and not training.fp16
        training.fp16 = training.fp16 or (cuda and not training.bf16)
    if training.bf16 and not cuda:
        training.use_cpu = True  # otherwise transformers looks for a GPU that can do it
    if training.tf32 is None and cuda and torch.cuda.get_device_capability() >= (8, 0):
        training.tf32 = True
    if training.use_liger_kernel is None:
        training.use_liger_kernel = cuda and importlib.util.find_spec("liger_kernel") is not None


def cpu_prefers_bfloat16() -> bool:
    """Whether this CPU multiplies matrices faster in bfloat16 than in float32.

    With AMX it is several times faster, without any units for it many times slower. An Intel processor whose AMX a virtual
    machine hides still has AVX-512 BF16, and is slower with that than in float32; AMD's has no AMX and is made for it. Not
    measured at each start: beside other processes such a measurement comes out either way.
    """
    found = torch.cpu.get_capabilities()
    return bool(found.get("amx_bf16") or (found.get("avx512_bf16") and "Intel" not in found.get("cpu_name", "")))


def weights_dtype(training) -> torch.dtype:
    """The dtype of the frozen weights."""
    return torch.bfloat16 if training.bf16 else torch.float16 if training.fp16 else torch.float32


def measure_peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second in a large matrix product, the best measured within PEAK_S."""
    size = PEAK_MATRIX_SIZE[device.type]
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best, until = float("inf"), time.perf_counter() + PEAK_S
    while time.perf_counter() < until:
        started = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
