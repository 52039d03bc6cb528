"""The precision that a training computes in."""

from types import SimpleNamespace

import pytest
import torch

from training import precision


@pytest.mark.parametrize("asked", [{}, {"bf16": False}, {"fp16": True}, {"use_cpu": True}], ids=str)
@pytest.mark.parametrize("major", [7, 8])
def test_precision_is_chosen_unless_said(monkeypatch, asked, major):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: major >= 8)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (major, 0))
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    training = SimpleNamespace(bf16=None, fp16=False, tf32=None, use_liger_kernel=False, use_cpu=False, deepspeed=None)
    for name, value in asked.items():
        setattr(training, name, value)
    precision.choose_precision(training)
    new = major == 8
    assert (training.bf16, training.fp16) == {
        (): (new, not new), ("bf16",): (False, False), ("fp16",): (False, True), ("use_cpu",): (False, False),
    }[tuple(asked)]  # fmt: skip
    assert training.tf32 is (True if new and "use_cpu" not in asked else None)
    expected = torch.bfloat16 if training.bf16 else torch.float16 if training.fp16 else torch.float32
    assert precision.weights_dtype(training) == expected


@pytest.mark.parametrize(
    ("units", "changed", "expected"),
    [
        ("amx_bf16", {}, True),
        ("avx512_bf16", {}, True),
        ("avx512_f", {}, False),
        ("amx_bf16", {"bf16": False}, False),
        ("amx_bf16", {"fp16": True}, False),
        ("amx_bf16", {"deepspeed": "zero2.json"}, False),
        ("avx512_f", {"bf16": True}, True),
    ],
)
def test_a_cpu_trains_in_bfloat16_if_it_has_units_for_it(monkeypatch, units, changed, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {units: True, "avx512_bf16_of_another": True})
    options = {
        "bf16": None,
        "fp16": False,
        "tf32": None,
        "use_liger_kernel": False,
        "use_cpu": False,
        "deepspeed": None,
    }
    training = SimpleNamespace(**{**options, **changed})
    precision.choose_precision(training)
    assert (training.bf16, training.use_cpu) == (expected, expected), (
        "transformers wants to be told that there is no GPU"
    )


def test_precision_is_what_the_gpu_has_units_for(monkeypatch):
    """A T4 emulates bfloat16, at a fraction of its speed, and says that it supports it."""
    for major, expected in ((9, (True, False)), (7, (False, True))):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda *_, m=major: SimpleNamespace(major=m))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda m=major: (m, 0))
        own = SimpleNamespace(bf16=None, fp16=False, tf32=None, use_liger_kernel=False, use_cpu=False)
        precision.choose_precision(own)
        assert (own.bf16, own.fp16) == expected


@pytest.mark.parametrize(
    ("name", "amx", "expected"), [("Intel Xeon", False, False), ("Intel Xeon", True, True), ("AMD", False, True)]
)
def test_avx512_alone_is_enough_on_amd_and_not_on_intel(monkeypatch, name, amx, expected):
    """A virtual machine may hide AMX, and what is left of an Intel Xeon is slower in bfloat16 than in float32."""
    found = {"avx512_bf16": True, "amx_bf16": amx, "cpu_name": name}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert precision.cpu_prefers_bfloat16() is expected
