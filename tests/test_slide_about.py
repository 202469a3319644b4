"""The fingerprint of a run changes with whatever changes its maps, and with nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from drawn_maps import about_of

from napari_unetsharp.errors import SlideRunError
from napari_unetsharp.slides.about import RunAbout

ABOUT = about_of((300, 500), limits=[[0.0, 255.0]], options={"guided": True, "precision": "half"})


def test_what_is_written_is_read_again() -> None:
    stored = json.loads(json.dumps(ABOUT.as_dict()))
    assert RunAbout.from_dict(stored) == ABOUT
    assert RunAbout.from_dict(stored | {"of a later version": 1}).fingerprint == ABOUT.fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        {"identity": "ef" * 32}, {"plane": (3,)}, {"downsample": 2}, {"checkpoint_sha256": "00" * 32}, {"level": 3},
        {"nucleus_size": 15.0}, {"nucleus_size": None}, {"limits": [[0.0, 254.0]]}, {"options": {"guided": False}},
        {"side": 64}, {"margin": 31}, {"maps": ("x02", "core")}, {"slide_shape": (300, 501)},
    ],
)  # fmt: skip
def test_what_changes_the_maps_changes_the_fingerprint(changed: dict[str, Any]) -> None:
    other = replace(ABOUT, **changed)
    assert other.fingerprint != ABOUT.fingerprint
    assert len(ABOUT.differs(other)) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"slide": "b"},
        {"path": "/elsewhere"},
        {"um_per_pixel": None},
        {"checkpoint": "c"},
        {"tissue": "1"},
        {"version": "9"},
    ],
)
def test_where_it_lies_and_what_it_is_called_does_not(changed: dict[str, Any]) -> None:
    other = replace(ABOUT, **changed)
    assert other.fingerprint == ABOUT.fingerprint
    assert ABOUT.differs(other) == []


def test_result_pixels_cover_the_slide() -> None:
    about = about_of((301, 500), downsample=4)
    assert about.shape == (76, 125)
    assert about.um_per_result_pixel == (2.0, 2.0)
    assert about.grid.shape == about.shape


@pytest.mark.parametrize("broken", [{}, {"downsample": 0}, {"side": "wide"}, {"slide_shape": [5]}, {"margin": 999}])
def test_a_description_that_makes_no_sense_is_refused(broken: dict[str, Any]) -> None:
    stored = ABOUT.as_dict() | broken
    if not broken:
        del stored["identity"]
    with pytest.raises(SlideRunError, match="can't be used"):
        RunAbout.from_dict(stored)
