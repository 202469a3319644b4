"""Beside the image and in sight; in the user's data where the image's folder takes no files."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from scripted_review import IDENTITY, field

from napari_unetsharp.nuclei import places
from napari_unetsharp.nuclei.places import review_folder, writable
from napari_unetsharp.nuclei.review import Review


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """Somewhere else than the user's real data."""
    monkeypatch.setattr(places, "user_data_path", lambda *_, **__: tmp_path / "own")
    return tmp_path / "own"


@pytest.fixture
def image(tmp_path):
    folder = tmp_path / "Färbung 3"
    folder.mkdir()
    return folder / "field.tif"


def test_beside_the_image_under_its_whole_name(image):
    assert review_folder(image, IDENTITY) == image.with_name("field.tif.unetsharp")
    assert review_folder(image.with_suffix(".png"), IDENTITY) == image.with_name("field.png.unetsharp")
    assert not list(image.parent.iterdir())


def test_planes_of_a_stack_lie_apart(image):
    folders = {review_folder(image, IDENTITY, plane) for plane in ((), (0,), (1,), (1, 0))}
    assert len(folders) == 4


def test_a_layer_without_a_file_has_its_place_in_the_users_data(own):
    folder = review_folder(None, IDENTITY)
    assert own in folder.parents
    assert review_folder(None, replace(IDENTITY, pixels="1" * 64)) != folder


def test_a_folder_that_takes_no_files(image, own):
    gone = image.parent / "unplugged" / "field.tif"
    assert not writable(gone.parent)
    assert own in review_folder(gone, IDENTITY).parents


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nobody may forbid root to write")
def test_a_read_only_folder(image, own):
    image.parent.chmod(0o500)
    try:
        assert own in review_folder(image, IDENTITY).parents
    finally:
        image.parent.chmod(0o700)


def test_a_review_is_found_where_it_was_begun(image, own, monkeypatch):
    monkeypatch.setattr(places, "writable", lambda folder: False)
    folder = review_folder(image, IDENTITY)
    assert own in folder.parents
    Review.start(folder, IDENTITY, field()).close()
    monkeypatch.undo()
    monkeypatch.setattr(places, "user_data_path", lambda *_, **__: own)
    assert review_folder(image, IDENTITY) == folder


def test_another_image_of_the_same_name_gets_a_place_of_its_own(image):
    Review.start(review_folder(image, IDENTITY), IDENTITY, field()).close()
    other = replace(IDENTITY, pixels="1" * 64)
    folder = review_folder(image, other)
    assert folder != review_folder(image, IDENTITY)
    Review.start(folder, other, field()).close()
    assert review_folder(image, other) == folder
    assert review_folder(image, IDENTITY) == image.with_name("field.tif.unetsharp")
