"""Upsampling in whole-image coordinates, and the convolution that never builds the upsampled map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from napari_unetsharp.network.bands import blocks, neighbours, pairs
from napari_unetsharp.network.upconv import Window, convolve_upsampled, upsample

FACTORS = [2, 4, 8, 16]
FORMS = ["upsample", "dense", "banded", None]
same_draws_each_time = settings(deadline=None, derandomize=True, max_examples=40)


def normal(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def plain_upsampling(coarse, factor):
    """Bilinear, corners aligned, from its definition, in float64."""
    for axis in (2, 3):
        length = coarse.shape[axis]
        position = np.arange(length * factor) * (length - 1) / max(length * factor - 1, 1)
        lower = np.floor(position).astype(int)
        upper = np.minimum(lower + 1, length - 1)
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        share = (position - lower).reshape(shape)
        coarse = coarse.take(lower, axis) * (1 - share) + coarse.take(upper, axis) * share
    return coarse


def relative(found, wanted):
    found, wanted = (torch.as_tensor(values).double() for values in (found, wanted))
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30))


@same_draws_each_time
@given(st.sampled_from(FACTORS), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**16))
def test_upsampling_follows_its_definition(factor, height, width, seed):
    coarse = normal(seed, 1, 2, height, width)
    window = Window.whole(height * factor, width * factor)
    fine = upsample(coarse, factor, window, 1)
    assert fine.shape == (1, 2, height * factor, width * factor)
    assert relative(fine, plain_upsampling(coarse.double().numpy(), factor)) < 1e-5


def test_a_factor_of_one_changes_nothing():
    coarse = normal(1, 1, 2, 16, 32)
    assert torch.equal(upsample(coarse, 1, Window.whole(16, 32), 1), coarse)


@same_draws_each_time
@given(
    st.sampled_from(FORMS), st.sampled_from(FACTORS), st.integers(1, 12), st.integers(1, 12), st.integers(1, 3),
    st.integers(1, 4), st.integers(0, 2**16),
)  # fmt: skip
def test_convolving_first_equals_upsampling_first(form, factor, height, width, channels, outputs, seed):
    window = Window.whole(height * factor, width * factor)
    coarse, weight = normal(seed, 2, channels, height, width), normal(seed + 1, outputs, channels, 3, 3)
    pull = normal(seed + 2, 2, outputs, height * factor, width * factor)

    def run(form):
        leaves = [tensor.clone().requires_grad_() for tensor in (coarse, weight)]
        fine = form(*leaves)
        fine.backward(pull)
        return fine.detach(), leaves[0].grad, leaves[1].grad

    found = run(lambda x, w: convolve_upsampled(x, w, factor, window, 1, form))
    size = (height * factor, width * factor)
    wanted = run(
        lambda x, w: functional.conv2d(
            functional.interpolate(x.double(), size=size, mode="bilinear", align_corners=True), w.double(), padding=1
        )
    )
    assert found[0].shape == wanted[0].shape
    assert relative(found[0], wanted[0]) < 1e-5
    assert relative(found[1], wanted[1]) < 1e-4
    assert relative(found[2], wanted[2]) < 1e-4


@pytest.mark.parametrize("factor", FACTORS)
def test_large_maps_give_the_same_as_small_ones(factor):
    """Beyond some side another form runs: a long strip must not show where."""
    weight = normal(2, 3, 2, 3, 3)
    for width in (64 // factor, 1024 // factor, 2048 // factor):
        coarse = normal(3, 1, 2, 1, width)
        fine = functional.interpolate(coarse, size=(factor, width * factor), mode="bilinear", align_corners=True)
        found = convolve_upsampled(coarse, weight, factor, Window.whole(factor, width * factor), 1)
        assert relative(found, functional.conv2d(fine, weight, padding=1)) < 1e-5


@st.composite
def tiles(draw):
    """A factor, a scale, and a tile in a whole image: all in steps of 16 image pixels, odd ones too."""
    factor = draw(st.sampled_from(FACTORS))
    scale = draw(st.sampled_from([s for s in (1, 2, 4, 8) if s * factor <= 16]))
    spans = []
    for _ in range(2):
        length = draw(st.integers(5, 9))
        start = draw(st.integers(0, 7))
        spans.append((16 * start, 16 * length, 16 * (start + length + draw(st.integers(0, 6)))))
    (top, height, tall), (left, width, wide) = spans
    return factor, scale, Window(top, left, height, width, tall, wide)


def inner(start, length, whole, margin):
    """Rows of a tile that don't touch the margin; the edges of the image itself have none."""
    return slice(margin if start else 0, length - margin if start + length < whole else length)


def cut(tensor, window, scale):
    top, left = window.top // scale, window.left // scale
    return tensor[:, :, top : top + window.height // scale, left : left + window.width // scale]


@same_draws_each_time
@given(tiles(), st.sampled_from(FORMS), st.integers(0, 2**16))
def test_a_tile_has_the_same_rows_as_the_whole_image(tile, form, seed):
    factor, scale, window = tile
    low = scale * factor
    whole = normal(seed, 1, 2, window.whole_height // low, window.whole_width // low)
    weight = normal(seed + 1, 3, 2, 3, 3)
    fine = torch.from_numpy(plain_upsampling(whole.double().numpy(), factor))
    convolved = functional.conv2d(fine, weight.double(), padding=1)
    coarse = cut(whole, window, low)
    rows, columns = (
        inner(start // scale, length // scale, full // scale, factor + 1)
        for start, length, full in (
            (window.top, window.height, window.whole_height),
            (window.left, window.width, window.whole_width),
        )
    )
    for found, wanted in (
        (upsample(coarse, factor, window, scale), cut(fine, window, scale)),
        (convolve_upsampled(coarse, weight, factor, window, scale, form), cut(convolved, window, scale)),
    ):
        assert found.shape == wanted.shape
        assert wanted[..., rows, columns].numel() > 0
        assert relative(found[..., rows, columns], wanted[..., rows, columns]) < 1e-5


def test_a_tile_on_its_own_would_differ():
    """The reason for windows: without the whole image's coordinates a tile is shifted."""
    whole = normal(5, 1, 1, 16, 16)
    window = Window(64, 64, 96, 96, 256, 256)
    right = cut(upsample(whole, 16, Window.whole(256, 256), 1), window, 1)[..., 32:64, 32:64]
    coarse = cut(whole, window, 16)
    alone = upsample(coarse, 16, Window.whole(96, 96), 1)[..., 32:64, 32:64]
    placed = upsample(coarse, 16, window, 1)[..., 32:64, 32:64]
    assert relative(placed, right) < 1e-5
    assert relative(alone, right) > 0.05


@pytest.mark.parametrize("form", FORMS)
def test_what_was_computed_for_looking_serves_training_too(form):
    """Interpolation tables are kept; made under inference_mode they must not spoil a later backward."""
    blocks.cache_clear()
    window = Window(16, 48, 80, 112, 592, 1264)  # sizes that no other test uses
    coarse, weight = normal(6, 1, 2, 5, 7), normal(7, 3, 2, 3, 3)
    with torch.inference_mode():
        upsample(coarse, 16, window, 1)
        looked = convolve_upsampled(coarse, weight, 16, window, 1, form).clone()
    weight.requires_grad_()
    fine = convolve_upsampled(coarse.requires_grad_(), weight, 16, window, 1, form)
    fine = fine + upsample(coarse, 16, window, 1).mean()
    fine.sum().backward()
    assert looked.shape == fine.shape
    assert weight.grad.abs().sum() > 0
    assert coarse.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("window", [Window.whole(64, 64), Window(16, 0, 64, 64, 160, 96)])
@pytest.mark.parametrize("form", FORMS)
def test_half_precision_stays_half_and_close(dtype, window, form):
    coarse, weight = normal(8, 1, 4, 16, 16), normal(9, 4, 4, 3, 3)
    exact = convolve_upsampled(coarse, weight, 4, window, 1)
    found = convolve_upsampled(coarse.to(dtype), weight.to(dtype), 4, window, 1, form)
    assert found.dtype == dtype
    assert upsample(coarse.to(dtype), 4, window, 1).dtype == dtype
    assert relative(found, exact) < 0.03


# Blocks ------------------------------------------------------------------------------------------------


@st.composite
def spans(draw):
    """A factor, a block and one axis of a tile, in fine pixels."""
    factor = draw(st.sampled_from(FACTORS))
    start, length, after = (16 * draw(st.integers(low, 40)) for low in (0, 1, 0))
    return factor, draw(st.sampled_from([16, 32, 64])), (start, length, start + length + after)


@same_draws_each_time
@given(spans())
def test_blocks_hold_the_weights_of_every_row_and_tap(case):
    """Put together again they are the upsampling, moved by a row up or down and cut at the edges of the tile."""
    factor, block, span = case
    length, coarse = span[1], span[1] // factor
    below, above, weight = neighbours(*span, factor, torch.device("cpu"))
    rows, upsampling = torch.arange(length), torch.zeros(length, coarse)
    upsampling.index_put_((rows, below), 1 - weight, accumulate=True)
    upsampling.index_put_((rows, above), weight, accumulate=True)
    cut_up = blocks(span, factor, block, torch.float32, torch.device("cpu"))
    for tap in range(3):
        whole = torch.zeros(len(cut_up) * block, coarse + 2 * (block // factor) + 2)
        for i, part in enumerate(cut_up):
            whole[i * block : (i + 1) * block, i * block // factor :][:, : part.shape[2]] += part[:, tap]
        moved = torch.zeros(length + 2, coarse)
        moved[1:-1] = upsampling
        assert torch.equal(whole[:length, 1 : coarse + 1], moved[tap : tap + length])
        assert not whole[length:].any()
        assert not whole[:, 0].any()
        assert not whole[:, coarse + 1 :].any()


@same_draws_each_time
@given(spans())
def test_pairs_are_blocks_of_two(case):
    _, _, span = case
    length = span[1]
    found = pairs(span, torch.float32)
    wanted = blocks(span, 2, 2, torch.float32, torch.device("cpu"))  # (length / 2, row, tap, three coarse rows)
    for row in (0, 1):
        for tap in range(3):
            first = 0 if row + tap <= 1 else 1
            assert torch.equal(found[row, tap, :, :, 0].T, wanted[:, row, tap, first : first + 2])
            assert not wanted[:, row, tap, 2 - 2 * first].any()
    assert found.shape == (2, 3, 2, length // 2, 1)
