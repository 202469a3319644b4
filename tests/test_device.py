"""Which device is chosen, and the reason that is given."""

from __future__ import annotations

import pytest
import torch

from napari_unetsharp import errors
from napari_unetsharp.errors import DeviceError
from napari_unetsharp.network.device import choose_device, why_no_cuda, why_no_mps


def machine(monkeypatch, cuda=False, mps=False, built=True):
    """A machine with these GPUs, as torch reports them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *arguments: "NVIDIA Test 9000")
    monkeypatch.setattr(torch.version, "cuda", "12.8" if built else None)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "kind", "name"),
    [(True, True, "cuda", "NVIDIA Test 9000"), (True, False, "cuda", "NVIDIA Test 9000"),
     (False, True, "mps", "Apple GPU"), (False, False, "cpu", "CPU")],
)  # fmt: skip
def test_auto_takes_the_fastest_there_is(monkeypatch, cuda, mps, kind, name):
    machine(monkeypatch, cuda, mps)
    device = choose_device()
    assert device.kind == kind
    assert name in device.name
    assert device.reason
    assert device.torch == torch.device(kind)


@pytest.mark.parametrize("kind", ["cuda", "mps", "cpu"])
def test_what_is_there_can_be_asked_for(monkeypatch, kind):
    machine(monkeypatch, cuda=True, mps=True)
    device = choose_device(kind)
    assert (device.kind, device.reason) == (kind, "as asked")


@pytest.mark.parametrize(
    ("kind", "built", "reason"),
    [("cuda", True, "no NVIDIA GPU or driver"), ("cuda", False, "built without CUDA"), ("mps", True, "MPS|Apple GPU")],
)
def test_what_is_not_there_is_refused_with_the_reason(monkeypatch, kind, built, reason):
    machine(monkeypatch, built=built)
    with pytest.raises(DeviceError, match=f"{kind} was asked for but .*({reason}).*; choose auto or cpu"):
        choose_device(kind)


def test_the_cpu_says_why_no_gpu_is_used(monkeypatch):
    machine(monkeypatch, built=False)
    assert choose_device().reason == why_no_cuda() == "this torch is built without CUDA"


@pytest.mark.parametrize("wish", ["", "gpu", "CUDA", "cuda:0"])
def test_unknown_devices_are_refused(wish):
    with pytest.raises(DeviceError, match="choose one of auto, cuda, mps, cpu"):
        choose_device(wish)


def test_this_machine_has_one():
    device = choose_device("auto")
    assert torch.zeros(1, device=device.torch).item() == 0
    assert bool(why_no_cuda()) != torch.cuda.is_available()
    assert bool(why_no_mps()) != torch.backends.mps.is_available()


def test_no_error_of_ours_is_a_runtime_error():
    """napari's generator workers swallow those; and all are caught as one kind."""
    ours = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(ours) >= 8
    for kind in ours:
        assert issubclass(kind, errors.UNetSharpError)
        assert not issubclass(kind, RuntimeError)
