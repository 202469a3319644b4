"""OME-Zarr images of both formats open lazily with what they say about themselves."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

zarr = pytest.importorskip("zarr")

from napari_unetsharp.errors import ImageError  # noqa: E402
from napari_unetsharp.images.slide_open import open_slide  # noqa: E402

RNG = np.random.default_rng(0)
CELLS = RNG.integers(0, 4000, (3, 5, 90, 130), dtype=np.uint16)  # CZYX
AXES = [
    {"name": "c", "type": "channel"}, {"name": "z", "type": "space", "unit": "micrometer"},
    {"name": "y", "type": "space", "unit": "micrometer"}, {"name": "x", "type": "space", "unit": "micrometer"},
]  # fmt: skip
OMERO = {
    "channels": [
        {"label": "DAPI", "color": "0000FF", "window": {"start": 10, "end": 900, "min": 0, "max": 4095}},
        {"label": "GFP", "color": "00FF00", "window": {"start": 5, "end": 5}},
        {"color": "oops"},
    ]
}


def write(
    path: Path,
    levels: list[np.ndarray],
    version: str = "0.5",
    axes: Any = AXES,
    chunks: tuple[int, ...] = (1, 1, 64, 64),
    scales: list[list[float]] | None = None,
    omero: Any = None,
    **also: Any,
) -> Path:
    """Write levels by zarr, and what is said of them as the specification wants it."""
    store = 2 if version < "0.5" else 3
    group = zarr.open_group(path, mode="w", zarr_format=store)
    datasets = []
    for number, level in enumerate(levels):
        options = {} if store == 3 else {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
        array = group.create_array(str(number), shape=level.shape, chunks=chunks, dtype=level.dtype, **options, **also)
        array[...] = level
        entry: dict[str, Any] = {"path": str(number)}
        if scales:
            entry["coordinateTransformations"] = [{"type": "scale", "scale": scales[number]}]
        datasets.append(entry)
    multiscales = [{"name": "image", "axes": axes, "datasets": datasets}]
    if version == "0.5":
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales, **({"omero": omero} if omero else {})}
    else:
        multiscales[0]["version"] = version
        group.attrs.update({"multiscales": multiscales, **({"omero": omero} if omero else {})})
    return path


SCALES = [[1.0, 2.0, 0.5, 0.25], [1.0, 2.0, 1.0, 0.5]]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("chunks", [(1, 1, 64, 64), (3, 1, 90, 17), (1, 5, 300, 300)])
def test_both_formats(tmp_path: Path, version: str, chunks: tuple[int, ...]):
    levels = [CELLS, CELLS[..., ::2, ::2]]
    path = write(tmp_path / "a.zarr", levels, version, chunks=chunks, scales=SCALES, omero=OMERO)
    (path / "labels").mkdir()
    with open_slide(path) as slide:
        assert (slide.kind, slide.axes, slide.rgb) == (f"OME-Zarr {version}", "ZYXC", False)
        assert (slide.um_per_pixel, slide.steps, slide.units) == ((0.5, 0.25), (2.0,), ("micrometer",))
        found = [(one.name, one.colour, one.window) for one in slide.channels]
        assert found == [("DAPI", (0, 0, 255), (10.0, 900.0)), ("GFP", (0, 255, 0), None), ("channel 3", None, None)]
        for level, expected in zip(slide.levels, levels, strict=True):
            np.testing.assert_array_equal(np.asarray(level), np.moveaxis(expected, 0, -1))
        np.testing.assert_array_equal(slide.levels[0][3, 60:70, 100:, 1], CELLS[1, 3, 60:70, 100:])
        assert slide.notes == ["The pixels aren't square: 0.25 µm wide and 0.5 µm high."]


def test_colours_last_and_shards(tmp_path: Path):
    pixels = RNG.integers(0, 255, (128, 192, 3), dtype=np.uint8)
    axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}, {"name": "c", "type": "channel"}]
    path = write(tmp_path / "a.zarr", [pixels], axes=axes, chunks=(32, 32, 3), shards=(64, 64, 3))
    with open_slide(path) as slide:
        assert (slide.axes, slide.rgb, slide.um_per_pixel) == ("YXC", True, None)
        np.testing.assert_array_equal(np.asarray(slide.levels[0]), pixels)
        assert "The file states no scale for its levels." in slide.notes


def test_transformations_of_the_whole_and_other_units(tmp_path: Path):
    axes = [dict(axis, unit="nanometer") if axis["name"] in "yx" else axis for axis in AXES]
    path = write(tmp_path / "a.zarr", [CELLS], "0.4", axes=axes, scales=[[1.0, 2.0, 100.0, 100.0]])
    group = zarr.open_group(path, mode="r+")
    told = group.attrs["multiscales"]
    told[0]["coordinateTransformations"] = [{"type": "scale", "scale": [1.0, 1.0, 2.0, 2.0]}]
    group.attrs["multiscales"] = told
    with open_slide(path) as slide:
        assert slide.um_per_pixel == pytest.approx((0.2, 0.2))


@pytest.mark.parametrize("axes", [["z", "y", "x"], None])
def test_old_descriptions(tmp_path: Path, axes: Any):
    pixels = CELLS[0] if axes else CELLS[np.newaxis].swapaxes(0, 0)
    path = write(
        tmp_path / "a.zarr", [pixels], "0.3" if axes else "0.2", axes=axes, chunks=(1,) * (pixels.ndim - 2) + (64, 64)
    )
    with open_slide(path) as slide:
        expected = pixels[..., np.newaxis] if axes else np.moveaxis(pixels, 1, -1)
        assert slide.axes == ("ZYXC" if axes else "TZYXC")
        np.testing.assert_array_equal(np.asarray(slide.levels[0]), expected)


def test_a_hundred_thousand_pixels_wide(tmp_path: Path):
    axes = AXES[2:]
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    datasets = []
    for level in range(8):
        side = -(-100_000 // 2**level)
        array = group.create_array(str(level), shape=(side, side), chunks=(512, 512), dtype="u1", fill_value=200)
        datasets.append(
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": [0.25 * 2**level] * 2}]}
        )
        array[side // 2, side // 2] = 3
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    tracemalloc.start()
    try:
        with open_slide(tmp_path / "a.zarr") as slide:
            assert slide.shape == (100_000, 100_000, 1)
            assert slide.levels[0][49_999:50_001, 50_000, 0].tolist() == [200, 3]
            assert slide.levels[7].downsample == pytest.approx((128, 128), rel=0.01)
            assert "3 of 4 pieces of the smallest level aren't stored: they show as 200" in slide.notes[0]
            first = slide.identity
        assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    finally:
        tracemalloc.stop()
    (tmp_path / "a.zarr").rename(tmp_path / "b.zarr")
    with open_slide(tmp_path / "b.zarr") as slide:
        assert slide.identity == first
    group = zarr.open_group(tmp_path / "b.zarr", mode="r+")
    group["7"][0, 0] = 1
    with open_slide(tmp_path / "b.zarr") as slide:
        assert slide.identity != first


def test_what_contradicts_itself(tmp_path: Path):
    turned = CELLS[..., ::2, ::2].swapaxes(-1, -2)
    with open_slide(write(tmp_path / "a.zarr", [CELLS, turned, CELLS[..., ::4, ::4]], scales=[SCALES[0]] * 3)) as slide:
        assert len(slide.levels) == 2
        assert "One of them has its columns for rows" in slide.notes[0]
    with open_slide(write(tmp_path / "b.zarr", [CELLS, CELLS[..., ::2, ::2]], scales=[SCALES[0]] * 2)) as slide:
        assert "The scale of level 1 says that it is 1 times smaller, its sides say 2" in " ".join(slide.notes)
    with pytest.raises(ImageError, match=r"describes 4 axes .* but its arrays have shape"):
        open_slide(write(tmp_path / "c.zarr", [CELLS[0]], chunks=(1, 64, 64)))


def test_a_damaged_piece_is_told(tmp_path: Path):
    path = write(tmp_path / "a.zarr", [CELLS])
    (path / "0" / "c" / "1" / "2" / "0" / "1").write_bytes(b"rubbish")
    with open_slide(path) as slide:
        with pytest.raises(ImageError, match="can't be decoded"):
            slide.levels[0][2]
        np.testing.assert_array_equal(slide.levels[0][1], np.moveaxis(CELLS[:, 1], 0, -1))


def test_what_is_no_image_is_refused(tmp_path: Path):
    zarr.open_group(tmp_path / "empty.zarr", mode="w")
    with pytest.raises(ImageError, match="no multiscale image"):
        open_slide(tmp_path / "empty.zarr")
    zarr.create_array(tmp_path / "bare.zarr", shape=(5, 5), dtype="u1")
    with pytest.raises(ImageError, match="bare zarr array"):
        open_slide(tmp_path / "bare.zarr")
    plate = zarr.open_group(tmp_path / "plate.zarr", mode="w", zarr_format=2)
    plate.attrs["plate"] = {"wells": []}
    with pytest.raises(ImageError, match="plate of many images"):
        open_slide(tmp_path / "plate.zarr")
    path = write(tmp_path / "gone.zarr", [CELLS])
    (path / "0" / "zarr.json").unlink()
    with pytest.raises(ImageError, match="level '0' that isn't there"):
        open_slide(path)
    (path / "zarr.json").write_text("{")
    with pytest.raises(ImageError, match="can't be read as OME-Zarr"):
        open_slide(path)


def test_the_first_of_several_pictures(tmp_path: Path):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    write(tmp_path / "a.zarr" / "0", [CELLS], "0.4", scales=SCALES[:1])
    write(tmp_path / "a.zarr" / "1", [CELLS], "0.4")
    with open_slide(tmp_path / "a.zarr") as slide:
        assert slide.levels[0].shape == (5, 90, 130, 3)
        assert "several pictures" in slide.notes[0]
