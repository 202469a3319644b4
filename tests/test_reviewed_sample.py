"""What fine-tuning learns from: reviews as Review leaves them, pairs, folders; what counts and what is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from reviewed_fields import field, reviewed

from napari_unetsharp.errors import DatasetError, SettingsError
from napari_unetsharp.images.files import read_image
from napari_unetsharp.nuclei import answers, edits
from napari_unetsharp.nuclei.identity import identify
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.review_folder import save_review
from napari_unetsharp.training.kept_aside import FEWEST, GAP, SIDES, split
from napari_unetsharp.training.reviewed_sample import ReviewedSample, what_is_missing
from napari_unetsharp.training.sample_sources import Source, find_sources, read_all


@pytest.fixture
def image(tmp_path):
    """An image on disk, and its labels."""
    pixels, labels = field()
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    return tmp_path / "a.tif", labels


def under_review(image, folder):
    """A review with a yes, a no, a can't tell, an ignored region, an addition and a completed view."""
    path, labels = image
    picture = read_image(path)
    review = Review.start(folder, identify(picture.pixels, picture.axes), np.where(labels == 9, 0, labels))
    review.apply(answers.accept, 1)
    review.apply(answers.reject, 2, "debris")
    review.apply(answers.unsure, 3)
    rows, columns = np.nonzero(labels == 9)
    box = Box(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
    review.apply(edits.add, box, labels[box.slices] == 9)
    return review, picture


def check_review(sample, labels):
    """Looked-at pixels teach; to do, can't tell and ignored ones don't."""
    assert sample.reviewed[labels == 1].all()
    assert sample.reviewed[labels == 2].all(), "a no teaches background there"
    assert not sample.labels[labels == 2].any()
    assert not sample.reviewed[labels == 3].any(), "can't tell teaches nothing"
    assert not sample.reviewed[labels == 4].any(), "to do teaches nothing"
    added = int(sample.labels[labels == 9][0])
    assert sample.nuclei.tolist() == sorted([1, added])
    assert sample.edited == {added}
    assert sample.edited_nuclei == 1
    assert 0 < sample.share < 0.2


@pytest.mark.parametrize("kept", ["journal", "saved", "both"])
def test_a_review_teaches_what_was_looked_at(image, tmp_path, kept):
    folder = tmp_path / "a.tif.unetsharp"
    review, picture = under_review(image, None if kept == "saved" else folder)
    if kept != "journal":
        save_review(folder, review, picture)
    check_review(Source(str(folder)).read(), image[1])  # also while the review is open
    review.close()
    assert [source.path for source in find_sources(tmp_path)] == [str(folder)]
    assert [source.path for source in find_sources(folder)] == [str(folder)]


def test_what_came_after_the_last_save_counts(image, tmp_path):
    folder = tmp_path / "a.tif.unetsharp"
    review, picture = under_review(image, folder)
    save_review(folder, review, picture)
    review.apply(answers.complete_view, Box(0, 0, 60, 60))
    review.apply(answers.ignore, [(0.0, 0.0), (0.0, 5.0), (5.0, 5.0), (5.0, 0.0)])
    sample = Source(str(folder)).read()
    review.close()
    assert sample.reviewed[10:60, 30:34].all()
    assert not sample.reviewed[1:4, 1:4].any()


def test_a_review_in_the_users_folder_is_told_its_image(image, tmp_path):
    folder = tmp_path / "elsewhere" / "a.tif-0123456789ab"
    review, _ = under_review(image, folder)
    review.close()
    with pytest.raises(DatasetError, match="say where"):
        Source(str(folder)).read()
    for given in (image[0], tmp_path):
        check_review(Source(str(folder), image=str(given)).read(), image[1])


def test_a_review_never_meets_another_image(image, tmp_path):
    folder = tmp_path / "a.tif.unetsharp"
    under_review(image, folder)[0].close()
    tifffile.imwrite(image[0], field(1)[0], photometric="rgb")
    with pytest.raises(DatasetError, match="another image"):
        Source(str(folder)).read()


def test_a_rectangle_of_a_corrected_mask(image, tmp_path):
    tifffile.imwrite(tmp_path / "mask.tif", image[1].astype(np.uint16), photometric="minisblack")
    whole = Source(str(image[0]), labels=str(tmp_path / "mask.tif")).read()
    assert whole.reviewed.all()
    assert whole.edited == set(np.unique(image[1]).tolist()) - {0}
    part = Source.from_dict(Source(str(image[0]), str(tmp_path / "mask.tif"), box=(0, 0, 64, 64)).as_dict()).read()
    assert part.reviewed[:64, :64].all()
    assert not part.reviewed[64:].any()
    assert not part.reviewed[:, 64:].any()
    cut = set(np.unique(image[1][:64, :64])) & set(np.unique(image[1][64:]))
    assert not cut & set(part.nuclei.tolist()), "a nucleus that the rectangle cuts isn't known as a whole"


def test_folders_and_snapshots(image, tmp_path):
    for part in ("train", "val"):
        for kind, pixels in (("images", field()[0]), ("labels", image[1].astype(np.uint16))):
            (tmp_path / "set" / part / kind).mkdir(parents=True)
            photometric = "rgb" if pixels.ndim == 3 else "minisblack"
            tifffile.imwrite(tmp_path / "set" / part / kind / "x.tif", pixels, photometric=photometric)
    sources = find_sources(tmp_path / "set")
    assert [source.part for source in sources] == ["train", "aside"]
    first = read_all(sources, 3)[0]
    again = ReviewedSample.load(first.save(tmp_path / "x.npz"))
    assert again.sha256 == first.sha256
    assert (again.name, again.part, again.edited) == (first.name, first.part, first.edited)
    assert read_all([Source(str(tmp_path / "x.npz"))], 1)[0].pixels.shape == (128, 128, 1)


@pytest.mark.parametrize("made", ["no folder", "empty", "no zip", "stack", "sizes"])
def test_what_cannot_be_read_says_so(made, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.npz").write_bytes(b"none")
    stack = np.zeros((3, 32, 32), np.uint8)
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack", metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "m.tif", np.ones((9, 9), np.uint8))
    tifffile.imwrite(tmp_path / "i.tif", np.ones((32, 32), np.uint8))
    act = {
        "no folder": lambda: find_sources(tmp_path / "none"),
        "empty": lambda: find_sources(tmp_path / "empty"),
        "no zip": lambda: Source(str(tmp_path / "bad.npz")).read(),
        "stack": lambda: Source(str(tmp_path / "s.tif"), str(tmp_path / "m.tif")).read(),
        "sizes": lambda: Source(str(tmp_path / "i.tif"), str(tmp_path / "m.tif")).read(),
    }[made]
    with pytest.raises(DatasetError):
        act()
    with pytest.raises(SettingsError):
        Source("x", part="some")


def test_what_is_missing_is_said():
    whole = reviewed()
    nothing = whole.only(np.zeros(whole.labels.shape, bool), "auto")
    assert "nothing is reviewed" in what_is_missing([])
    assert "nothing is reviewed" in what_is_missing([nothing])
    assert "only background" in what_is_missing([whole.only(whole.labels == 0, "auto")])
    assert "only nuclei" in what_is_missing([whole.only(whole.labels > 0, "auto")])
    assert not what_is_missing([whole])


# Kept aside ----------------------------------------------------------------------------------------------


def test_a_quarter_of_a_single_image_with_a_gap():
    whole = reviewed(side=256)
    parts = split([whole])
    (train,), (aside,) = parts.training, parts.aside
    count = len(whole.nuclei)
    assert 0.15 * count <= len(aside.nuclei) <= 0.4 * count
    assert not set(train.nuclei) & set(aside.nuclei)
    assert not (train.reviewed & aside.reviewed).any()
    near = np.stack(np.nonzero(aside.reviewed)), np.stack(np.nonzero(train.reviewed))
    apart = min(
        max(0, *(int(max(a.min() - b.max(), b.min() - a.max())) for a, b in zip(near[0], near[1], strict=True))), 999
    )
    assert apart > GAP / 2, "no neighbours"
    assert "kept aside" in parts.words


@pytest.mark.parametrize("side", SIDES)
def test_a_person_chooses_the_quarter(side):
    parts = split([reviewed(side=256)], quarter=side)
    (train,), (aside,) = parts.training, parts.aside
    axis, last = int(side in {"left", "right"}), side in {"right", "bottom"}
    places = [np.nonzero(part.reviewed)[axis] for part in (train, aside)]
    assert places[0].max() < places[1].min() if last else places[1].max() < places[0].min()
    assert parts.divided == side
    assert f"the {side} quarter" in parts.words


def test_whole_images_are_kept_aside_by_group_and_by_wish():
    images = [reviewed(seed) for seed in range(4)]
    parts = split(images, seed=3)
    assert len(parts.aside) == 1
    assert len(parts.training) == 3
    assert {sample.name for sample in parts.everything} == {sample.name for sample in images}
    chosen = replace(images[2], part="aside")
    assert [sample.name for sample in split([*images[:2], chosen]).aside] == ["field 2"]


def test_few_nuclei_are_all_needed():
    parts = split([reviewed(looked_at=range(1, FEWEST))])
    assert not parts.aside
    assert "nothing is kept aside" in parts.words
