"""The hybrid loss by hand-worked values, and what a weight of zero must mean."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from napari_unetsharp.training.losses import (
    at_scale,
    branch_loss,
    dice_loss,
    focal_loss,
    hybrid_loss,
    lovasz_hinge,
    presence_loss,
)

LN2 = float(np.log(2))
SCALES = {"x01": 1, "x02": 1, "x03": 1, "x04": 1, "x13": 2, "x22": 4, "x31": 8, "x40": 16}


def row(*values):
    return torch.tensor([values], dtype=torch.float32)


def logit(probability):
    return float(np.log(probability / (1 - probability)))


def drawn(seed, *shape):
    """Logits, targets and weights (about a third of them zero)."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 2, shape).astype(np.float32))
    target = torch.from_numpy((rng.random(shape) < 0.4).astype(np.float32))
    weight = torch.from_numpy((rng.random(shape) < 0.65).astype(np.float32))
    return logits, target, weight


# Focal -------------------------------------------------------------------------------------------------


def test_focal_loss_of_single_pixels():
    one = row(1)
    # a sure half: (1 - 1/2)^2 * ln 2, a quarter of it on positives and three quarters on negatives
    assert float(focal_loss(row(0), row(1), one)) == pytest.approx(0.25 * 0.25 * LN2)
    assert float(focal_loss(row(0), row(0), one)) == pytest.approx(0.75 * 0.25 * LN2)
    # p = 0.9 on a positive: 0.25 * 0.1^2 * -ln 0.9; on a negative: 0.75 * 0.9^2 * -ln 0.1
    assert float(focal_loss(row(logit(0.9)), row(1), one)) == pytest.approx(0.25 * 0.01 * -np.log(0.9), rel=1e-4)
    assert float(focal_loss(row(logit(0.9)), row(0), one)) == pytest.approx(0.75 * 0.81 * -np.log(0.1), rel=1e-4)


def test_focal_loss_with_the_printed_constant():
    assert float(focal_loss(row(0), row(0), row(1), constant_alpha=True)) == pytest.approx(0.25 * 0.25 * LN2)


def test_focal_loss_is_per_pixel():
    """Focusing the mean of an image, as the published code does, gives another number."""
    logits, target, weight = row(logit(0.9), logit(0.6)), row(1, 1), row(1, 1)
    pixels = [0.25 * (1 - p) ** 2 * -np.log(p) for p in (0.9, 0.6)]
    assert float(focal_loss(logits, target, weight)) == pytest.approx(np.mean(pixels), rel=1e-4)


def test_focal_loss_is_a_weighted_mean():
    logits, target = row(0, logit(0.9)), row(1, 1)
    first, second = (float(focal_loss(logits[:, i : i + 1], row(1), row(1))) for i in range(2))
    assert float(focal_loss(logits, target, row(3, 1))) == pytest.approx((3 * first + second) / 4)


# Dice --------------------------------------------------------------------------------------------------


def test_dice_loss_with_laplace_smoothing():
    # halves everywhere, two of four are target: overlap 1, sums 2 and 2: 1 - (2 + 1) / (4 + 1)
    assert float(dice_loss(row(0, 0, 0, 0), row(1, 1, 0, 0), row(1, 1, 1, 1))) == pytest.approx(1 - 3 / 5)
    # no target and none found costs nothing: 1 - 1 / 1
    assert float(dice_loss(row(-99, -99), row(0, 0), row(1, 1))) == pytest.approx(0, abs=1e-6)
    # all found: 1 - (4 + 1) / (4 + 1)
    assert float(dice_loss(row(99, 99), row(1, 1), row(1, 1))) == pytest.approx(0, abs=1e-6)
    # the unseen half doesn't count: overlap 1/2, sums 1/2 and 1
    assert float(dice_loss(row(0, 9), row(1, 0), row(1, 0))) == pytest.approx(1 - 2 / 2.5)


# Lovász ------------------------------------------------------------------------------------------------


def jaccard_loss_of_mistakes(mistakes, target):
    """1 - intersection / union when exactly these pixels are mistaken; nothing anywhere is perfect."""
    found = target ^ mistakes
    union = np.count_nonzero(found | target)
    return 1 - np.count_nonzero(found & target) / union if union else 0.0


def slow_lovasz(logits, target, weight):
    """The extension as Choquet's integral: over every height, the Jaccard loss of the pixels that err by more."""
    counted = weight > 0
    target = target[counted] > 0
    errors = np.maximum(1 - logits[counted] * np.where(target, 1.0, -1.0), 0)
    heights = np.unique(np.concatenate([[0.0], errors]))
    return sum(
        (upper - lower) * jaccard_loss_of_mistakes(errors >= upper, target)
        for lower, upper in itertools.pairwise(heights)
    )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_lovasz_hinge_against_the_integral(seed, size):
    logits, target, weight = drawn(seed, 3, size)
    if seed == 0:
        target[:] = 0
    if seed == 1:
        target[:] = 1
    found = lovasz_hinge(logits, target, weight)
    wanted = [slow_lovasz(*(x[i].double().numpy() for x in (logits, target, weight))) for i in range(3)]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_lovasz_hinge_of_a_firm_mask_is_twice_the_jaccard_loss():
    # found 3, target 3, both 2: IoU 2/4; a mistake of one unit errs by 2
    assert float(lovasz_hinge(row(1, 1, 1, -1, -1), row(1, 1, 0, 1, 0), row(1, 1, 1, 1, 1))) == pytest.approx(2 * 0.5)


def test_lovasz_hinge_is_not_weighted_beyond_counting():
    logits, target, weight = drawn(9, 2, 30)
    assert torch.equal(lovasz_hinge(logits, target, weight), lovasz_hinge(logits, target, weight * 7))


# Weights -----------------------------------------------------------------------------------------------


def test_the_branch_loss_is_the_weighted_sum_of_its_terms():
    logits, target, weight = drawn(10, 2, 1, 6, 5)
    rows = [x.reshape(2, -1) for x in (logits, target, weight)]
    terms = 0.5 * focal_loss(*rows) + dice_loss(*rows) + 0.5 * lovasz_hinge(*rows)
    assert float(branch_loss(logits, target, weight)) == pytest.approx(float(terms.mean()), rel=1e-6)


@pytest.mark.parametrize("value", [0.0, 5.0, -1e4])
def test_unseen_pixels_give_exactly_zero_gradient_and_move_nothing(value):
    logits, target, weight = drawn(11, 3, 2, 8, 8)
    logits = torch.where(weight > 0, logits, torch.full_like(logits, value)).requires_grad_()
    loss = branch_loss(logits, target, weight)
    loss.backward()
    assert torch.all(logits.grad[weight == 0] == 0)
    assert logits.grad[weight > 0].abs().sum() > 0
    other = torch.where(weight > 0, target, 1 - target)
    assert float(branch_loss(logits.detach(), other, weight)) == pytest.approx(float(loss.detach()), rel=1e-6)


def test_the_loss_of_the_seen_pixels_is_that_of_an_image_of_them_alone():
    logits, target, weight = drawn(12, 1, 1, 1, 50)
    seen = weight[0, 0, 0] > 0
    alone = branch_loss(logits[..., seen], target[..., seen], weight[..., seen])
    assert float(branch_loss(logits, target, weight)) == pytest.approx(float(alone), rel=1e-5)


def test_an_image_nobody_looked_at_contributes_exactly_nothing():
    logits, target, weight = drawn(13, 2, 1, 8, 8)
    weight[1] = 0
    logits = logits.requires_grad_()
    both = branch_loss(logits, target, weight)
    both.backward()
    first = branch_loss(logits[:1].detach(), target[:1], weight[:1])
    assert float(both.detach()) == float(first) / 2
    assert torch.all(logits.grad[1] == 0)


def test_nothing_seen_at_all_is_zero_and_never_nan():
    logits = {name: torch.randn(2, 1, 32 // s, 32 // s, generator=torch.manual_seed(14)).requires_grad_()
              for name, s in SCALES.items()}  # fmt: skip
    target = torch.ones(2, 1, 32, 32)
    total, parts = hybrid_loss(logits, target, torch.zeros_like(target))
    total.backward()
    assert float(total.detach()) == 0
    assert all(float(part.detach()) == 0 for part in parts.values())
    assert all(torch.all(x.grad == 0) for x in logits.values())


@pytest.mark.parametrize("target", [0.0, 1.0])
@pytest.mark.parametrize("value", [-1e4, 0.0, 1e4])
def test_plain_images_and_sure_networks_stay_finite(target, value):
    logits = torch.full((1, 1, 16, 16), value, requires_grad=True)
    loss = branch_loss(logits, torch.full((1, 1, 16, 16), target), torch.ones(1, 1, 16, 16))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    if value and (value > 0) == bool(target):
        assert float(loss.detach()) == pytest.approx(0, abs=1e-6)


def test_half_precision_logits_are_reckoned_in_float32():
    logits, target, weight = drawn(15, 1, 1, 64, 64)
    found = branch_loss(logits.bfloat16(), target, weight)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(branch_loss(logits, target, weight)), rel=0.02)


# Scales ------------------------------------------------------------------------------------------------


def test_a_coarse_cell_counts_if_its_answer_is_known():
    # six cells of 2 x 2, side by side:   target              weight
    cells = [
        (((1, 0), (0, 0)), ((1, 0), (0, 0)), 1, 1),  # a reviewed nucleus pixel: foreground, whatever else there is
        (((1, 0), (0, 0)), ((0, 1), (1, 1)), 0, 0),  # the nucleus pixel is the unreviewed one: not known
        (((0, 0), (0, 0)), ((1, 1), (1, 1)), 0, 1),  # all reviewed, nothing there: background
        (((0, 0), (0, 0)), ((1, 1), (1, 0)), 0, 0),  # one pixel not looked at: not known
        (((1, 1), (1, 1)), ((0, 0), (0, 0)), 0, 0),  # nobody looked
        (((1, 1), (1, 1)), ((1, 1), (1, 1)), 1, 1),
    ]
    target, weight = (torch.tensor(np.hstack([cell[i] for cell in cells])[None, None]).float() for i in range(2))
    coarse, counted = at_scale(target, weight, 2)
    assert coarse.shape == counted.shape == (1, 1, 1, 6)
    assert (counted > 0).long().flatten().tolist() == [cell[3] for cell in cells]
    known = (counted > 0).flatten()
    assert coarse.flatten()[known].tolist() == [cell[2] for cell in cells if cell[3]]


@pytest.mark.parametrize("scale", [1, 2, 4, 8, 16])
def test_a_fully_reviewed_truth_is_max_pooled(scale):
    _, target, _ = drawn(16, 2, 1, 32, 48)
    target = target * (torch.arange(48) < 20)
    coarse, counted = at_scale(target, torch.ones_like(target), scale)
    blocks = target.reshape(2, 1, 32 // scale, scale, 48 // scale, scale).amax((3, 5))
    assert torch.equal(coarse, blocks)
    assert torch.all(counted == 1)


def test_the_total_is_the_mean_of_the_branches_each_at_its_scale():
    target, weight = drawn(17, 2, 1, 32, 32)[1:]
    logits = {name: drawn(18 + s, 2, 1, 32 // s, 32 // s)[0] for name, s in SCALES.items()}
    total, parts = hybrid_loss(logits, target, weight)
    assert set(parts) == set(SCALES)
    assert float(total) == pytest.approx(np.mean([float(part) for part in parts.values()]), rel=1e-6)
    for name, scale in SCALES.items():
        wanted = branch_loss(logits[name], *at_scale(target, weight, scale))
        assert float(parts[name]) == pytest.approx(float(wanted), rel=1e-6), name


def test_branches_that_are_not_there_are_left_out():
    target, weight = drawn(19, 1, 1, 16, 16)[1:]
    logits = {"x01": torch.zeros(1, 1, 16, 16), "x02": torch.ones(1, 1, 16, 16)}
    assert set(hybrid_loss(logits, target, weight)[1]) == {"x01", "x02"}


# Presence ----------------------------------------------------------------------------------------------


def test_presence_asks_whether_a_crop_holds_a_target():
    target, weight = torch.zeros(5, 1, 4, 4), torch.ones(5, 1, 4, 4)
    target[0, 0, 1, 1] = 1  # held and reviewed
    #       1: all reviewed, nothing there
    weight[2, 0, 0, 0] = 0  # nothing seen, but one pixel not looked at: not known
    target[3, 0, 2, 2], weight[3, 0, 2, 2] = 1, 0  # the target itself not looked at: not known
    target[4, 0, 2, 2], weight[4, 0, :2] = 1, 0  # held and reviewed, whatever else there is
    logits = torch.tensor([[1.0, 3.0]] * 5, requires_grad=True)
    loss = presence_loss({"x04": logits}, target, weight)
    loss.backward()
    # cross-entropy of "holds" (twice) and "holds not" at a difference of 2, over five crops
    assert float(loss.detach()) == pytest.approx((2 * np.log1p(np.exp(-2)) + np.log1p(np.exp(2))) / 5, rel=1e-5)
    assert torch.all(logits.grad[[0, 1, 4]] != 0)
    assert torch.all(logits.grad[[2, 3]] == 0)


def test_presence_is_the_mean_over_its_branches():
    target, weight = torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    one, other = torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, -1.0]])
    parts = [float(presence_loss({"x04": x}, target, weight)) for x in (one, other)]
    assert float(presence_loss({"x04": one, "x40": other}, target, weight)) == pytest.approx(np.mean(parts))
