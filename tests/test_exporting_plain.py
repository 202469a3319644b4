"""The plain form is the network, written with nothing but torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from small_networks import one_thread, seeded, seeing_brightness  # noqa: F401

from napari_unetsharp.errors import SaveError
from napari_unetsharp.exporting import plain
from napari_unetsharp.exporting.check import checked, compare, example, expected
from napari_unetsharp.exporting.depth import cut
from napari_unetsharp.exporting.plain_form import description, one_view, plain_network
from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.images.intensity import Intensity

GREY, _ = draw_fluorescence(3, 64, 96, 8)
PICTURE = np.repeat(GREY[..., None], 3, axis=2)
KINDS = [
    {},
    {"full_scale": "conv", "classes": 2},
    {"guided": True, "extras": ("core", "border")},
    {"in_channels": 1, "intensity": Intensity()},
]


def run(network):
    return lambda image: {name: values.numpy() for name, values in network(torch.from_numpy(image)).items()}


@pytest.mark.parametrize("settings", KINDS)
@pytest.mark.parametrize("level", [1, 4])
def test_it_gives_what_the_network_gives(settings, level):
    part = cut(seeded(PICTURE, **settings), level)
    plain_one = plain_network(part.network, part.config.heads)
    assert len(list(checked(run(plain_one), part, shapes=[(1, 48, 80), (2, 32, 32), (1, 112, 48)]))) == 3


def test_a_network_that_sees_brightness_sees_it_in_the_plain_form():
    """Every node hands on the image, so the answer can be worked out by hand: bright from 0.5 on."""
    part = cut(seeing_brightness(), 4)
    image = np.full((1, 3, 32, 32), 0.2, np.float32)
    image[..., 16:] = 0.9
    found = run(plain_network(part.network, part.config.heads))(image)
    assert (found["x04"][0, 0, :, :16] < 0.01).all()
    assert (found["x04"][0, 0, :, 16:] > 0.99).all()
    assert found["x40"].shape == (1, 1, 2, 2)


def test_one_view_leaves_out_what_it_does_not_need():
    part = cut(seeded(PICTURE, guided=True), 4)
    view = one_view(part.network, "x02")
    image = example(part, (1, 48, 64))
    np.testing.assert_allclose(view(torch.from_numpy(image)).numpy(), expected(part, image)["x02"], atol=1e-5)
    assert set(view.nodes) == {"x00", "x10", "x01", "x20", "x11", "x02"}
    assert not view.guides


def test_its_file_needs_torch_alone(tmp_path):
    """As it travels in a package: the file, its arguments as JSON and the weights, in a Python without this project."""
    part = cut(seeded(PICTURE, full_scale="conv", classes=2), 2)
    image = example(part, (1, 32, 48))
    torch.save(one_view(part.network, "x02").state_dict(), tmp_path / "weights.pt")
    shutil.copyfile(str(plain.__file__), tmp_path / "network.py")
    (tmp_path / "arguments.json").write_text(json.dumps(description(part.network, ("x02",), guided=False)))
    np.save(tmp_path / "image.npy", image)
    code = (
        "import sys, json, numpy, torch, network\n"
        "one = network.OneView(**json.load(open('arguments.json'))).eval()\n"
        "one.load_state_dict(torch.load('weights.pt', weights_only=True))\n"
        "assert 'napari_unetsharp' not in sys.modules\n"
        "numpy.save('found.npy', one(torch.from_numpy(numpy.load('image.npy'))).detach().numpy())\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected(part, image)["x02"], atol=1e-5)


# The check -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def part():
    return cut(seeded(PICTURE), 2)


def test_a_difference_of_two_ten_thousandths_at_one_pixel_is_refused(part):
    def wrong(image):
        found = {name: values.copy() for name, values in expected(part, image).items()}
        found["x01"][0, 0, 3, 5] += 2e-4
        return found

    with pytest.raises(SaveError, match=r"x01 differs from the model by 0\.0002 on 1 × 48 × 80"):
        list(checked(wrong, part))


def test_a_view_that_is_missing_turned_or_nan_is_refused():
    wanted = {"x01": np.zeros((1, 1, 16, 32), np.float32)}
    for found in ({}, {"x01": wanted["x01"].transpose(0, 1, 3, 2)}, {"x01": wanted["x01"] * np.nan}):
        with pytest.raises(SaveError, match="nothing was written"):
            compare(found, wanted, (1, 16, 32))


def test_the_examples_are_nuclei_in_the_scale_of_the_model(part):
    image = example(part, (2, 48, 80))
    assert image.shape == (2, 3, 48, 80)
    assert image.dtype == np.float32
    assert not np.array_equal(image[0], image[1])
    intensity = part.metadata.intensity
    back = image * np.array(intensity.deviation)[:, None, None] + np.array(intensity.mean)[:, None, None]
    assert back.min() > -1e-6
    assert 0.2 < back.max() < 1 + 1e-6
