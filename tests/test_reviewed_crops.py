"""Only pixels that somebody looked at teach: exactly zero gradient elsewhere, on all eight branches."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from reviewed_fields import RADIUS, field, reviewed
from small_networks import seeded, seeing_brightness

from napari_unetsharp.images.intensity import Intensity
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.training.losses import hybrid_loss
from napari_unetsharp.training.old_examples import check_images, old_examples
from napari_unetsharp.training.protection import NO_PROTECTION, Protection, TuningLoss
from napari_unetsharp.training.reviewed_crops import CropSettings, ReviewedCrops
from napari_unetsharp.training.reviewed_sample import ReviewedSample
from napari_unetsharp.training.targets import borders, known_pixels, targets

SETTINGS = CropSettings(batch=4, crop=64, old=0.25)
EXTRAS = ("core", "border")


def crops(samples, old=(), settings=SETTINGS, extras=EXTRAS, **known):
    return ReviewedCrops(samples, list(old), settings, CheckpointMetadata(crop=64, **known), extras)


def batch_of(cut, seed=(5,)):
    return next(iter(cut.batches(seed, 1)))


class Watched(torch.nn.Module):
    """A network of which the gradient at every output is kept."""

    def __init__(self, network):
        super().__init__()
        self.network, self.seen = network, {}

    def forward(self, images):
        self.seen = self.network(images)
        for logits in self.seen.values():
            logits.retain_grad()
        return self.seen, {}


@pytest.mark.parametrize("protection", [NO_PROTECTION, Protection(soft_old=1.0, soft_unreviewed=0.0, stay=0.01)])
def test_an_unreviewed_pixel_gets_no_gradient_on_any_branch(protection):
    network = seeded(field()[0], extras=EXTRAS).network
    module = Watched(network)
    with torch.no_grad():  # away from the parent, so that every term pulls
        loss = TuningLoss(network, protection)
        for weight in network.parameters():
            weight.add_(0.01)
    cut = crops([reviewed(looked_at=(2, 7, 8))], [reviewed(1)])
    images, target, weight, old = batch_of(cut)
    loss(module, (images, target, weight, old))[0].backward()
    fresh = old == 0
    assert fresh.sum() == 3
    for name, logits in module.seen.items():
        scale = BRANCHES[name].scale
        gradient = logits.grad[fresh].numpy()
        cells = [part[fresh].numpy().reshape(3, 3, 64 // scale, scale, 64 // scale, scale) for part in (target, weight)]
        holds = (cells[0] * cells[1]).max((3, 5)) > 0
        known = holds | (cells[1].min((3, 5)) > 0)
        assert not gradient[~known].any(), f"{name} learns where nobody looked"
        assert known.any(), f"nothing of {name} is known"
        assert np.abs(gradient[known]).max() > 0, f"{name} learns nothing"
        assert not known.all()


def test_weak_labels_teach_only_where_nobody_looked_and_all_views_agree():
    parent = seeing_brightness(intensity=Intensity("range", mean=(0.0,), deviation=(1.0,))).network
    cut = crops([reviewed(looked_at=(2, 7))], extras=(), intensity=Intensity("range", mean=(0.0,), deviation=(1.0,)))
    images, target, weight, old = batch_of(cut)
    agreed = []
    for strength in (0.0, 0.5):
        loss = TuningLoss(parent, Protection(soft_old=0, stay=0, weak=strength))
        module = Watched(copy.deepcopy(parent))
        loss(module, (images, target, weight, old))[0].backward()
        moved = (module.seen["x04"].grad != 0).numpy()
        agreed.append(moved & (weight == 0).numpy())
    assert not agreed[0].any()
    assert agreed[1].any()
    with torch.no_grad():
        sure = torch.sigmoid(parent(images)["x04"])
    assert bool(((sure > 0.9) | (sure < 0.1))[torch.from_numpy(agreed[1])].all())
    assert not agreed[1].all()


def test_what_was_proposed_elsewhere_changes_nothing():
    """The same review with other proposals far from it: the same loss, to the last bit."""
    sample = reviewed(looked_at=(1, 2))
    far = sample.labels.copy()
    far[60:] = 0
    far[80:100, 80:100] = 99
    other = ReviewedSample(sample.name, sample.pixels, far, sample.reviewed, sample.edited)
    network = seeded(field()[0], extras=EXTRAS).network
    settings = CropSettings(batch=4, crop=64, old=0, look=0, bend=0)
    totals = []
    for one in (sample, other):
        images, target, weight, _ = batch_of(crops([one], settings=settings))
        totals.append(float(hybrid_loss(network(images), target, weight, 1)[0].detach()))
    assert totals[0] == totals[1]


def test_every_crop_holds_something_that_counts():
    cut = crops([reviewed(side=256, looked_at=(5,))], settings=CropSettings(batch=8, crop=64, old=0))
    _, target, weight, _ = batch_of(cut)
    assert (weight[:, 0].sum((1, 2)) > 0).all()
    assert float((target[:, 0] * weight[:, 0]).sum()) > 0


def test_a_no_teaches_background():
    pixels, labels = field()
    sample = ReviewedSample("no", pixels, np.where(labels == 2, 0, labels), labels == 2)
    _, target, weight, _ = batch_of(crops([sample], settings=CropSettings(batch=4, crop=64, old=0)))
    assert float(weight[:, 0].sum()) > 0
    assert not bool((target[:, 0][weight[:, 0] > 0]).any())


def test_old_examples_come_last_and_count_everywhere():
    cut = crops([reviewed(looked_at=(1,))], [reviewed(3)])
    _, _, weight, old = batch_of(cut)
    assert old.tolist() == [0, 0, 0, 1]
    assert bool((weight[3, 0] > 0).all())
    assert not bool((weight[:3, 0] > 0).flatten(1).all(1).any())


def test_the_same_seed_gives_the_same_crops():
    samples = [reviewed(0), reviewed(1, looked_at=(1, 2))]
    one, two, other = (batch_of(crops(samples), seed) for seed in ((1, 2), (1, 2), (1, 3)))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one[0], other[0])


def test_nuclei_come_in_the_size_that_the_model_knows():
    settings = CropSettings(batch=8, crop=64, old=0, smallest=1, largest=1, bend=0)
    areas = []
    for size in (None, 4.0 * RADIUS):
        _, target, _, _ = batch_of(crops([reviewed(side=256)], settings=settings, extras=(), nucleus_size=size))
        areas.append(float(target.mean()))
    assert areas[1] == pytest.approx(areas[0], rel=0.35)  # as many pixels of nuclei, but of fewer and larger ones
    assert areas[1] != areas[0]


# What is known ---------------------------------------------------------------------------------------------


def test_what_decides_a_truth_must_have_been_looked_at():
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 10:20], labels[10:30, 20:30] = 1, 2
    reviewed_ = np.zeros(labels.shape, bool)
    reviewed_[5:35, 5:20] = True
    nucleus, core, border = known_pixels(labels, reviewed_, EXTRAS)
    assert not nucleus[10:30, 19].any(), "the seam towards a nucleus that nobody looked at isn't known"
    assert nucleus[10:30, 11:18].all()
    assert core[12:28, 11:18].all()
    assert not border[10:30, 18:20].any()
    assert border[10:30, 8:17].all()
    assert not (np.stack([nucleus, core, border])[:, ~reviewed_]).any()
    reviewed_[5:35, 5:35] = True
    both = known_pixels(labels, reviewed_, EXTRAS)
    truth = targets(labels, EXTRAS)
    assert both[0, 10:30, 10:30].all()
    assert (both[2] * borders(labels))[12:28, 19:21].all()
    assert truth.shape == both.shape


def test_a_border_between_two_that_were_looked_at_is_known_at_their_rim():
    labels = np.zeros((30, 30), np.int32)
    labels[10:20, 5:14], labels[10:20, 15:24] = 1, 2
    _, _, border = known_pixels(labels, labels > 0, EXTRAS)
    assert border[12:18, 13].all()
    assert not border[12:18, 14].any(), "nobody looked at the gap itself"


def test_a_small_part_of_a_large_plane_takes_little_memory():
    pixels = np.zeros((1500, 1500, 3), np.uint8)
    pixels[700:828, 700:828], labels = field()[0], np.zeros(pixels.shape[:2], np.int32)
    labels[700:828, 700:828] = field()[1]
    counts = np.zeros(labels.shape, bool)
    counts[740:790, 740:790] = True
    cut = crops([ReviewedSample("large", pixels, labels, counts)], settings=CropSettings(batch=4, crop=64, old=0))
    assert cut._pictures[0].pixels.shape[0] < 250
    images, _, weight, _ = batch_of(cut)
    assert float(weight.sum()) > 0
    assert float(images.std()) > 0


def test_check_images_are_never_learned_from():
    old, check = old_examples(3, drawn=12), check_images(3, drawn=4)
    hashes = [{sample.sha256 for sample in part} for part in (old, check)]
    assert (len(hashes[0]), len(hashes[1])) == (12, 4)
    assert not hashes[0] & hashes[1]
    colours = [np.ptp(sample.pixels.astype(int), axis=-1).max() > 0 for sample in check]
    assert set(colours) == {True, False}, "fluorescence and a stain"
    assert all(sample.pixels.shape[-1] == 1 for sample in check_images(1, drawn=2))
