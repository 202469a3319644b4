"""Checkpoints: round trips, the published layout, and files that must be refused."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from napari_unetsharp.errors import CheckpointError
from napari_unetsharp.images.intensity import PUBLISHED, Intensity
from napari_unetsharp.network.checkpoint import Checkpoint, file_hash, load_checkpoint
from napari_unetsharp.network.grid import NODES
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
SMALL = (2, 3, 4, 3, 2)
HEADS = {"x01": "final1", "x02": "final2", "x03": "final3", "x04": "final4",
         "x40": "final5", "x31": "final6", "x22": "final7", "x13": "final8"}  # fmt: skip


def drawn(seed=0, **settings):
    """A small network whose statistics have seen a batch, in eval mode."""
    torch.manual_seed(seed)
    network = UNetSharp(UNetSharpConfig(**{"widths": SMALL} | settings)).train()
    with torch.no_grad():
        maps = network.features(torch.randn(2, network.config.in_channels, 32, 32))
        network.presence_logits(maps, network.config.level)
    return network.eval()


def published(network):
    """The state dict of a network of ours under the names of the published code."""
    names = HEADS if network.config.deep_supervision else {"x04": "final"}
    state = {}
    for key, value in network.state_dict().items():
        kind, name, rest = key.split(".", 2)
        state[f"conv{name[1]}_{name[2]}.{rest}" if kind == "nodes" else f"{names[name]}.{rest}"] = value
    return state


def same(network, other):
    state, others = network.state_dict(), other.state_dict()
    return list(state) == list(others) and all(torch.equal(value, others[key]) for key, value in state.items())


@pytest.fixture
def network():
    return drawn()


@pytest.fixture
def saved(network, tmp_path):
    path = tmp_path / "ours.safetensors"
    Checkpoint(network).save(path)
    return path


def rewritten(path, tensors=None, config=None, metadata=None, text=None):
    """Our file with something changed, by safetensors alone."""
    with safe_open(path, framework="pt") as file:
        values = json.loads(file.metadata()["unetsharp"])
        held = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    values["config"] |= config or {}
    values["metadata"] |= metadata or {}
    text = json.dumps(values) if text is None else text
    save_file(held if tensors is None else tensors(held), path, metadata={"unetsharp": text})


# Our own files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"guided": True, "classes": 2},
        {"full_scale": "conv", "in_channels": 1},
        {"level": 2},
        {"deep_supervision": False},
        {"level": 3, "deep_supervision": False, "guided": True},
    ],
)
def test_every_form_comes_back_bit_by_bit(settings, tmp_path):
    network = drawn(**settings)
    names = tuple(f"c{index}" for index in range(network.config.classes))
    Checkpoint(network, CheckpointMetadata(class_names=names)).save(tmp_path / "a.safetensors")
    loaded = load_checkpoint(tmp_path / "a.safetensors")
    assert loaded.config == network.config == loaded.network.config
    assert same(loaded.network, network)
    assert not loaded.network.training


def test_all_that_is_known_comes_back(network, tmp_path):
    metadata = CheckpointMetadata(
        "Kerne µ", Intensity("range", mean=(0.1, 0.2, 0.3), deviation=(1.0, 2.0, 3.0)), ("nucleus",), 0.25, 17.5, 64,
        [{"epoch": 1, "loss": 0.5}], {"iou_pooled": {"all": {"x04": 0.8}}}, "ab" * 32, recipe={"seed": 3},
    )  # fmt: skip
    path = tmp_path / "größe" / "a.safetensors"
    Checkpoint(network, metadata).save(path)
    loaded = load_checkpoint(path).metadata
    assert loaded.as_dict() == metadata.as_dict()
    assert loaded.intensity == metadata.intensity
    assert (loaded.layout, loaded.sha256) == ("ours", file_hash(path))


def test_half_files_keep_the_statistics_whole(network, tmp_path):
    with torch.no_grad():
        network.nodes["x00"].bn1.running_var.fill_(1e-7)  # float16 would make it 1.2e-7
        network.nodes["x00"].bn1.running_mean.fill_(1e5)  # float16 would make it infinite
    Checkpoint(network).save(tmp_path / "a.safetensors", half=True)
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        kinds = {key: file.get_tensor(key).dtype for key in file.keys()}  # noqa: SIM118
    loaded = load_checkpoint(tmp_path / "a.safetensors").network.state_dict()
    for key, value in network.state_dict().items():
        if "running_" in key or "num_batches" in key:
            assert kinds[key] == value.dtype
            assert torch.equal(loaded[key], value), key
        else:
            assert kinds[key] == torch.float16
            assert torch.equal(loaded[key], value.half().float()), key
            assert (loaded[key] - value).abs().max() <= 2**-11 * value.abs().max() + 2**-24, key


def test_loading_is_for_use_and_for_training(saved):
    network = load_checkpoint(saved).network
    assert not network.training
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert {p.device.type for p in network.parameters()} == {"cpu"}
    network.train()(torch.zeros(2, 3, 16, 16))["x04"].sum().backward()
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_what_the_caller_knows_counts(saved):
    loaded = load_checkpoint(saved, nucleus_size=30.0, intensity=Intensity("range"))
    assert (loaded.metadata.nucleus_size, loaded.metadata.intensity.kind) == (30.0, "range")


def test_files_of_later_versions_with_more_to_tell_are_read(saved):
    rewritten(saved, metadata={"doi": "10.1/x"})
    assert load_checkpoint(saved).metadata.name == "untitled"


@pytest.mark.parametrize("start", [b"\x80", b"\x80\x02", b"PK"], ids=["pickle", "pickle 2", "archive"])
def test_no_length_of_metadata_passes_for_another_kind_of_file(start, network, tmp_path):
    """A safetensors file begins with the length of its header, and that may be any number."""
    path = tmp_path / "a.safetensors"
    Checkpoint(network, CheckpointMetadata("")).save(path)
    header = int.from_bytes(path.read_bytes()[:8], "little")
    name = "n" * ((int.from_bytes(start, "little") - header) % 256 ** len(start))
    Checkpoint(network, CheckpointMetadata(name)).save(path)
    assert path.read_bytes().startswith(start)
    assert load_checkpoint(path).metadata.name == name


# The published layout ----------------------------------------------------------------------------------

WRAPPERS = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 7, "best": 0.5},
    "model": lambda state: {"model": state},
    "module": lambda state: {f"module.{key}": value for key, value in state.items()},
    "both": lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}},
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("deep", [True, False], ids=["eight heads", "one head"])
def test_published_files_however_they_are_wrapped(wrapper, deep, tmp_path):
    network = drawn(deep_supervision=deep, classes=2)
    torch.save(WRAPPERS[wrapper](published(network)), tmp_path / "theirs.pth")
    loaded = load_checkpoint(tmp_path / "theirs.pth")
    assert same(loaded.network, network)
    assert not loaded.network.training
    assert loaded.config == network.config
    assert (loaded.metadata.layout, loaded.metadata.name) == ("published", "theirs")
    assert loaded.metadata.intensity == PUBLISHED
    assert loaded.metadata.nucleus_size is None
    assert len(loaded.metadata.class_names) == 2


@pytest.mark.parametrize("name", ["weights.pt", "weights.bin", "weights"])
def test_published_files_by_any_name(network, name, tmp_path):
    torch.save(published(network), tmp_path / name)
    assert same(load_checkpoint(tmp_path / name).network, network)


def test_published_files_of_old_torch_and_in_half(network, tmp_path):
    state = {key: value.half() if value.is_floating_point() else value for key, value in published(network).items()}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    loaded = load_checkpoint(tmp_path / "old.pth").network
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.nodes["x04"].conv1.weight, network.nodes["x04"].conv1.weight.half().float())


def test_our_file_is_ours_by_any_name(network, tmp_path):
    Checkpoint(network).save(tmp_path / "ours.pth")
    assert load_checkpoint(tmp_path / "ours.pth").metadata.layout == "ours"


def test_one_channel_needs_its_normalisation_said(tmp_path):
    torch.save(published(drawn(in_channels=1)), tmp_path / "grey.pth")
    with pytest.raises(CheckpointError, match=r"1 channels.*3 means"):
        load_checkpoint(tmp_path / "grey.pth")
    loaded = load_checkpoint(tmp_path / "grey.pth", intensity=Intensity("range"), nucleus_size=12)
    assert loaded.config.in_channels == 1
    assert loaded.metadata.nucleus_size == 12


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the trained published file lies in shared/, which is not here")
def test_a_trained_published_file():
    loaded = load_checkpoint(GOLDEN / "nuclei96_published_layout.pth")
    assert loaded.config == UNetSharpConfig()
    with torch.inference_mode():
        logits = loaded.network(torch.zeros(1, 3, 32, 32))
    assert len(logits) == 8
    assert all(torch.isfinite(x).all() for x in logits.values())


# Files that must be refused ----------------------------------------------------------------------------


class Runs:
    """Unpickling this would create a file."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return (os.mkdir, (str(self.canary),))


@pytest.mark.parametrize("name", ["evil.pth", "evil.pt", "evil.safetensors", "evil.ckpt", "evil"])
@pytest.mark.parametrize("how", ["archive", "old", "pickle", "beside weights"])
def test_code_in_a_file_is_not_run(how, name, network, tmp_path):
    canary, path = tmp_path / "canary", tmp_path / name
    if how == "pickle":
        path.write_bytes(pickle.dumps({"state_dict": Runs(canary)}))
    else:
        inside = Runs(canary) if how != "beside weights" else published(network) | {"extra": Runs(canary)}
        torch.save(inside, path, _use_new_zipfile_serialization=how != "old")
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Runs(canary)))  # the trap is real
    assert canary.exists()


def test_empty_and_missing_files_and_folders(tmp_path):
    (tmp_path / "empty.pth").touch()
    (tmp_path / "empty.safetensors").touch()
    for name in ("empty.pth", "empty.safetensors"):
        with pytest.raises(CheckpointError, match="0 bytes"):
            load_checkpoint(tmp_path / name)
    for path in (tmp_path / "none.pth", tmp_path, tmp_path / "empty.pth" / "x"):
        with pytest.raises(CheckpointError, match="no checkpoint"):
            load_checkpoint(path)


@pytest.mark.parametrize("ending", ["safetensors", "pth", "old"])
def test_truncated_and_damaged_files(ending, network, saved, tmp_path):
    path = saved
    if ending != "safetensors":
        path = tmp_path / "theirs.pth"
        torch.save(published(network), path, _use_new_zipfile_serialization=ending == "pth")
    whole = path.read_bytes()
    for length in (1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            load_checkpoint(path)
    draw = random.Random(5)
    refused = 0
    for _ in range(60):  # bytes flipped anywhere: refused, or one weight differs; never another error
        damaged = bytearray(whole)
        for _ in range(draw.choice([1, 20])):
            damaged[draw.randrange(min(len(whole), 4000))] ^= draw.randrange(1, 256)
        path.write_bytes(damaged)
        try:
            load_checkpoint(path)
        except CheckpointError:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize("text", [b"hello, I am no network", b"{" * 64, b"\x00" * 64, b"PK\x03\x04", b"\x80\x02."])
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_files_of_another_kind(text, name, tmp_path):
    (tmp_path / name).write_bytes(text)
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / name)


@pytest.mark.parametrize(
    "values", [[1, 2], {}, {"a": 1}, {"state_dict": {}}, {3: torch.zeros(1)}, torch.zeros(2), None], ids=range(7)
)
def test_archives_of_something_else(values, tmp_path):
    torch.save(values, tmp_path / "a.pth")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "a.pth")


def changed(state, how):
    """A state dict with one thing wrong, and what the message must name."""
    names = list(state)
    first = names[0]
    rest = {key: value for key, value in state.items() if key != first}
    if how == "missing":
        last = next(key for key in names if key.endswith("2_1.conv2.bias") or key.endswith("x21.conv2.bias"))
        return {key: value for key, value in state.items() if key != last}, f"{last} is missing"
    if how == "extra":
        return state | {"dropout.weight": torch.zeros(2)}, "dropout.weight is unknown"
    if how == "shape":
        bias = next(key for key in names if key.endswith("bn1.bias"))
        return state | {bias: torch.zeros(9)}, f"{bias} has shape (9,)"
    if how == "nan":
        return rest | {first: torch.full_like(state[first], torch.nan)}, "NaN or infinite"
    if how == "infinite":
        variance = next(key for key in names if key.endswith("running_var"))
        return state | {variance: torch.full_like(state[variance], torch.inf)}, "NaN or infinite"
    if how == "whole numbers":
        return rest | {first: state[first].to(torch.int32)}, "int32"
    return rest | {first: state[first].to(torch.complex64)}, "complex64"


WRONG = ["missing", "extra", "shape", "nan", "infinite", "whole numbers", "complex"]


@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize("wrapper", ["bare", "both"])
def test_published_weights_that_dont_fit_are_named_as_the_file_names_them(how, wrapper, network, tmp_path):
    state, named = changed(published(network), how)
    torch.save(WRAPPERS[wrapper](state), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=re.escape(named)):
        load_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("how", WRONG)
def test_our_weights_that_dont_fit_are_named(how, saved):
    named = []

    def spoil(held):
        state, what = changed(held, how)
        named.append(what)
        return state

    rewritten(saved, spoil)
    with pytest.raises(CheckpointError, match=re.escape(named[0])):
        load_checkpoint(saved)


def test_three_differences_are_named_and_the_others_counted(network, tmp_path):
    state = {key: value for key, value in published(network).items() if not key.startswith("conv2_2.")}
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(CheckpointError) as refused:
        load_checkpoint(tmp_path / "a.pth")
    text = str(refused.value)
    assert text.count("is missing") == 3
    assert text.count("conv2_2.") == 3
    assert "11 more" in text  # two convolutions of 2 and two norms of 5 make 14


def test_the_first_convolution_or_the_head_missing_is_named_too(network, tmp_path):
    for gone in ("conv3_0.conv1.weight", "final4.weight"):
        torch.save({key: value for key, value in published(network).items() if key != gone}, tmp_path / "a.pth")
        with pytest.raises(CheckpointError, match=f"{gone} is missing"):
            load_checkpoint(tmp_path / "a.pth")


def test_a_weight_that_is_there_twice(tmp_path):
    state = published(drawn(deep_supervision=False))
    torch.save(state | {"final4.weight": state["final.weight"] + 1}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="twice"):
        load_checkpoint(tmp_path / "a.pth")


def test_few_bytes_that_claim_many_weights(network, tmp_path):
    """One number spread over a huge shape costs nothing in the file and everything in memory."""
    wide = UNetSharpConfig(widths=(4096,) * 5, deep_supervision=False)
    with torch.device("meta"):
        shapes = published(UNetSharp(wide))
    spread = {key: torch.zeros((), dtype=value.dtype).expand(value.shape) for key, value in shapes.items()}
    torch.save(spread, tmp_path / "a.pth")
    assert (tmp_path / "a.pth").stat().st_size < 2**20
    with pytest.raises(CheckpointError, match="plain"):
        load_checkpoint(tmp_path / "a.pth")


def test_safetensors_of_others(tmp_path, network):
    save_file(network.state_dict(), tmp_path / "a.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="not of UNet#"):
        load_checkpoint(tmp_path / "a.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="not of UNet#"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_many_tensors_are_refused_by_count(saved):
    rewritten(saved, lambda held: held | {f"t{index}": torch.zeros(0) for index in range(20_000)})
    with pytest.raises(CheckpointError, match=r"t0 is unknown; .* and 19997 more"):
        load_checkpoint(saved)


def lying(header):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 2) + b"{]",
        lying({"a": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}),
        lying({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}) + b"\0" * 4,
        lying({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}) + b"\0" * 4,
        lying({key: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for key in "ab"}) + b"\0" * 4,
        lying({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}) + b"\0" * 4,
        lying({"__metadata__": {"unetsharp": 5}}),
    ],
    ids=["header", "json", "size", "shape", "negative", "overlap", "type", "metadata"],
)
def test_safetensors_that_lie(data, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "text",
    [
        "", "nonsense", "[]", "null", "{}", '{"config": {}}', '{"config": [], "metadata": {}}',
        '{"config": {}, "metadata": []}', "[" * 100_000, '{"a": ' * 100_000, "9" * 10_000,
        '{"config": {"widths": "../../etc/passwd"}, "metadata": {}}',
    ],
    ids=range(12),
)  # fmt: skip
def test_metadata_that_is_no_metadata(text, saved):
    rewritten(saved, text=text)
    with pytest.raises(CheckpointError):
        load_checkpoint(saved)


def test_metadata_that_is_too_long(saved):
    rewritten(saved, metadata={"name": "n" * 20_000_000})
    with pytest.raises(CheckpointError, match="20,000,"):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    ("config", "metadata"),
    [
        ({"widths": [10**9] * 5}, {}),
        ({"widths": [60_000] * 5}, {}),
        ({"in_channels": 2.5}, {}),
        ({"level": 7}, {}),
        ({"surprise": 1}, {}),
        ({}, {"crop": "wide"}),
        ({}, {"crop": -16}),
        ({}, {"name": ["a"]}),
        ({}, {"history": {"a": 1}}),
        ({}, {"nucleus_size": -3.0}),
        ({}, {"nucleus_size": float("nan")}),
        ({}, {"pixel_size": "small"}),
        ({}, {"class_names": ["a", "b"]}),
        ({}, {"class_names": "n"}),
        ({}, {"intensity": {"kind": "magic"}}),
        ({}, {"intensity": {"deviation": [0.0]}}),
        ({}, {"intensity": {"deviation": [float("nan")], "mean": [0.5]}}),
        ({}, {"intensity": {"deviation": [1.0, 1.0], "mean": [0.5, 0.5]}}),
        ({}, {"intensity": {"code": "import os"}}),
    ],
)
def test_metadata_that_makes_no_sense(config, metadata, saved):
    rewritten(saved, config=config, metadata=metadata)
    with pytest.raises(CheckpointError):
        load_checkpoint(saved)


# Saving ------------------------------------------------------------------------------------------------


def test_saving_again_replaces_and_leaves_nothing_beside(saved):
    other = drawn(seed=1)
    Checkpoint(other).save(saved)
    assert same(load_checkpoint(saved).network, other)
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


@pytest.mark.skipif(os.name != "posix", reason="permissions are a matter of POSIX")
def test_others_may_read_it_as_any_file(network, tmp_path):
    (tmp_path / "plain").touch()
    path = tmp_path / "a.safetensors"
    Checkpoint(network).save(path)
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    path.chmod(0o640)
    Checkpoint(network).save(path)
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_cant_be_told_is_refused_before_the_old_file_is_touched(network, saved):
    before = saved.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        Checkpoint(network, CheckpointMetadata(metrics={"iou": float("nan")})).save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_place_that_cant_be_written_to(network, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="can't be written"):
        Checkpoint(network).save(tmp_path / "file" / "a.safetensors")
    with pytest.raises(CheckpointError, match="can't be written"):
        Checkpoint(network).save(tmp_path)


FULL_DISK = """
import resource, signal, sys
from napari_unetsharp.errors import CheckpointError
from napari_unetsharp.network.checkpoint import load_checkpoint
checkpoint = load_checkpoint(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    checkpoint.save(sys.argv[1])
except CheckpointError:
    sys.exit(42)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits on file sizes are a matter of POSIX")
def test_a_full_disk_leaves_the_old_file(saved):
    before = saved.read_bytes()
    assert len(before) > 2000
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(saved)], check=False)
    assert done.returncode == 42
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


KILLED = """
import os, random, signal, sys, time
import torch
torch.set_num_threads(1)
from pathlib import Path
from napari_unetsharp.network.checkpoint import load_checkpoint
path, draw = Path(sys.argv[1]), random.Random(6)
versions = [load_checkpoint(path), load_checkpoint(sys.argv[2])]
known = {path.read_bytes(), Path(sys.argv[2]).read_bytes()}
seen = set()
for attempt in range(60):
    before, child = path.stat().st_mtime_ns, os.fork()
    if not child:
        while True:
            for version in versions:
                version.save(path)
    while path.stat().st_mtime_ns == before:
        time.sleep(0.0005)
    time.sleep(draw.uniform(0, 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    now = path.read_bytes()
    if now not in known:
        sys.exit(f"attempt {attempt}: the file is neither the old nor the new one")
    seen.add(now)
sys.exit(0 if seen == known else "nothing was ever saved")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
def test_a_kill_in_the_middle_leaves_the_old_file_or_the_new_one(saved, tmp_path):
    other = tmp_path / "other.safetensors"
    Checkpoint(drawn(seed=1)).save(other)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(saved), str(other)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    load_checkpoint(saved)


def test_names_follow_the_grid(network):
    """A checkpoint is read by other programs too: its names are the paper's coordinates."""
    names = {key.split(".")[1] for key in network.state_dict() if key.startswith("nodes.")}
    assert names == set(NODES)
