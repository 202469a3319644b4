"""A level of a slide is sliced like an array, decodes only what is touched, and says what is damaged."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.slide_cache import TileCache
from napari_unetsharp.images.slide_checks import believable, same_form, usable_levels
from napari_unetsharp.images.slide_identity import content_identity
from napari_unetsharp.images.slide_level import Level
from napari_unetsharp.images.slide_open import open_slide


class ArrayTiles:
    """Tiles cut from an array; counts what is decoded and fails where told."""

    def __init__(self, pixels: np.ndarray, tile: tuple[int, int], together: int, broken: tuple[int, int] | None = None):
        self.pixels, self.tile, self.together, self.broken = pixels, tile, together, broken
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self.decoded: list[tuple[object, ...]] = []

    def read(self, plane: tuple[int, ...], block: int, row: int, column: int) -> np.ndarray:
        self.decoded.append((plane, block, row, column))
        if self.broken == (row, column):
            raise ValueError("bad bytes")
        y, x = row * self.tile[0], column * self.tile[1]
        channels = slice(block * self.together, (block + 1) * self.together)
        return self.pixels[plane][y : y + self.tile[0], x : x + self.tile[1], channels].copy()


def level_of(tiles: ArrayTiles) -> Level:
    return Level(tiles, TileCache(), 0, (1.0, 1.0), "made up")


CUBE = np.arange(2 * 23 * 31 * 4, dtype=np.uint16).reshape(2, 23, 31, 4)


def keys(side: int) -> st.SearchStrategy[int | slice]:
    ends = st.none() | st.integers(-side - 3, side + 3)
    return st.integers(-side, side - 1) | st.builds(slice, ends, ends, st.none() | st.integers(1, side + 2))


@settings(max_examples=200, deadline=None)
@given(st.tuples(*(keys(side) for side in CUBE.shape)), st.integers(0, 4), st.sampled_from([1, 2, 4]), st.booleans())
def test_slicing_is_what_numpy_gives(key, count, together, dots):
    level = level_of(ArrayTiles(CUBE, (5, 7), together))
    key = (..., *key[4 - count :]) if dots else key[:count]
    np.testing.assert_array_equal(level[key], CUBE[key])


def test_only_touched_tiles_are_decoded_and_each_once():
    tiles = ArrayTiles(CUBE, (5, 7), 4)
    level = level_of(tiles)
    level[1, 6:9, 8:13]
    assert tiles.decoded == [((1,), 0, 1, 1)]
    level[1, 5:10, 7:14]
    assert len(tiles.decoded) == 1
    level[1, ::20, ::30]  # rows 0 and 20, columns 0 and 30
    assert {one[2:] for one in tiles.decoded[1:]} == {(0, 0), (0, 4), (4, 0), (4, 4)}


def test_a_channel_by_itself_decodes_that_channel():
    tiles = ArrayTiles(CUBE, (23, 31), 1)
    level_of(tiles)[0, :, :, 2]
    assert tiles.decoded == [((0,), 2, 0, 0)]


def test_a_damaged_tile_is_named_and_never_taken_for_black():
    level = level_of(ArrayTiles(CUBE[0], (5, 7), 4, broken=(1, 2)))
    np.testing.assert_array_equal(level[:5], CUBE[0, :5])
    with pytest.raises(ImageError, match=r"1 tiles of level 0 of made up .* row 5, column 14 \(bad bytes\)"):
        level[3:8, 10:20]
    pixels, damaged = level.region((slice(3, 8), slice(10, 20)))
    assert [(one.top, one.left, one.bottom, one.right) for one in damaged] == [(5, 14, 10, 21)]
    expected = CUBE[0, 3:8, 10:20].copy()
    expected[2:, 4:] = 0
    np.testing.assert_array_equal(pixels, expected)


def test_a_tile_of_wrong_sides_is_damage():
    tiles = ArrayTiles(CUBE[0], (5, 7), 4)
    tiles.pixels = CUBE[0].transpose(1, 0, 2)
    with pytest.raises(ImageError, match="a tile holds"):
        level_of(tiles)[:, 28:]


@pytest.mark.parametrize("key", [(0, 0, 0, 0, 0), 23, -24, (slice(None, None, -1),)])
def test_what_is_no_part_of_a_level_is_an_index_error(key):
    with pytest.raises(IndexError):
        level_of(ArrayTiles(CUBE[0], (5, 7), 4))[key]


def test_the_cache_holds_what_was_used_last_and_no_more_than_it_may():
    cache = TileCache(3 * 100)
    for name in "abc":
        cache.put(name, np.full(100, ord(name), np.uint8))
    cache.get("a")
    cache.put("d", np.zeros(100, np.uint8))
    assert cache.get("b") is None
    assert [cache.get(name) is not None for name in "acd"] == [True] * 3
    cache.put("huge", np.zeros(301, np.uint8))
    assert cache.get("huge") is None
    assert cache.bytes == 300
    cache.clear()
    assert (cache.bytes, cache.get("a")) == (0, None)


def test_a_large_level_refuses_to_become_one_array():
    tiles = ArrayTiles(np.zeros((1, 1, 1), np.uint8), (256, 256), 3)
    tiles.shape = (10**7, 10**7, 3)
    with pytest.raises(ImageError, match=r"declares .* GiB"):
        np.asarray(level_of(tiles))


def test_sides_of_a_pyramid():
    notes: list[str] = []
    assert usable_levels([(2967, 2220), (1483, 1110), (370, 277)], "a", notes) == [0, 1, 2]
    assert usable_levels([(250, 300), (125, 150), (62, 75), (31, 37)], "a", notes) == [0, 1, 2, 3]
    assert notes == []
    assert usable_levels([(1000, 4000), (500, 2000), (1000, 250)], "a", notes) == [0, 1]
    assert "One of them has its columns for rows" in notes[0]
    assert usable_levels([(1000, 4000), (600, 600)], "a", notes) == [0]
    assert "doesn't fit the first" in notes[1]
    with pytest.raises(ImageError, match="pyramid of wrong sizes: 2 of 3 levels"):
        usable_levels([(4000, 1000), (500, 2000), (250, 1000)], "a", notes)
    assert same_form((1, 1), (1, 1))


def test_sizes_that_no_microscope_gives_are_left_out():
    notes: list[str] = []
    assert believable((0.25, 0.25), notes) == (0.25, 0.25)
    assert believable(None, notes) is None
    assert believable((0.0, 0.5), notes) is None
    assert notes == []
    assert believable((352.78, 352.78), notes) is None
    assert "352.78 µm per pixel" in notes[0]
    assert believable((0.5, 0.25), notes) == (0.5, 0.25)
    assert "aren't square" in notes[1]


def test_identity_follows_the_content_and_not_the_name(tmp_path: Path):
    content = np.random.default_rng(0).bytes(300_000)
    changed = content[:150_000] + bytes([content[150_000] ^ 1]) + content[150_001:]
    places = {"a.svs": content, "b.svs": content, "short.svs": content[:-1], "end.svs": content[:-1] + b"?"}
    for name, held in (places | {"middle.svs": changed}).items():
        (tmp_path / name).write_bytes(held)
    found = {name: content_identity([tmp_path / name]) for name in places}
    assert found["a.svs"] == found["b.svs"]
    assert len(set(found.values())) == 3
    both = [tmp_path / "a.svs", tmp_path / "short.svs"]
    assert content_identity(both) == content_identity(both[::-1])
    assert len(found["a.svs"]) == 64


@pytest.fixture
def slide_path(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (300, 200, 3), dtype=np.uint8)
    path = tmp_path / "Präparat 1.ome.tif"
    options = {"photometric": "rgb", "tile": (64, 64), "metadata": {"axes": "YXS"}}
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, subifds=1, **options)
        file.write(pixels[::2, ::2], subfiletype=1, **options)
    return path


def test_a_slide_travels_to_another_process_by_its_path(slide_path: Path):
    with open_slide(slide_path) as slide, pickle.loads(pickle.dumps(slide)) as again:
        assert again.identity == slide.identity
        np.testing.assert_array_equal(again.levels[1][:], slide.levels[1][:])
        assert slide.name == "Präparat 1"
        for path, name in (("A.12-b.svs", "A.12-b"), ("x.OME.TIFF", "x"), ("case.7", "case.7"), ("a.zarr", "a")):
            slide.path = slide_path.parent / path
            if name != "case.7":  # a folder of DICOM files keeps its name
                slide.path.touch()
            assert slide.name == name


def test_threads_read_one_slide_together(slide_path: Path):
    with open_slide(slide_path) as slide:
        whole = tifffile.imread(slide_path)
        wrong: list[int] = []

        def read(seed: int) -> None:
            rng = np.random.default_rng(seed)
            for _ in range(15):
                y, x = rng.integers(0, 250), rng.integers(0, 150)
                if not np.array_equal(slide.levels[0][y : y + 50, x : x + 50], whole[y : y + 50, x : x + 50]):
                    wrong.append(seed)
                slide.levels[0].cache.clear()

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_the_overview_comes_from_the_smallest_level_that_is_large_enough(slide_path: Path):
    with open_slide(slide_path) as slide:
        pixels, downsample = slide.overview(75)
        np.testing.assert_array_equal(pixels, slide.levels[1][::2, ::2])
        assert downsample == (4.0, 4.0)
        pixels, downsample = slide.overview(1000)
        np.testing.assert_array_equal(pixels, slide.levels[0][:])
        assert downsample == (1.0, 1.0)


def test_a_crop_is_a_picture_with_its_size(slide_path: Path):
    with open_slide(slide_path) as slide:
        slide.um_per_pixel = (0.5, 0.25)
        picture = slide.crop(1, 140, -5, 30, 15)
        np.testing.assert_array_equal(picture.pixels, slide.levels[1][140:150, :10])
        assert (picture.axes, picture.scale, picture.units) == ("YXC", (1.0, 0.5), ("micrometer", "micrometer"))
        assert picture.name == "Präparat 1 y140 x0"
        with pytest.raises(ImageError, match="empty"):
            slide.crop(0, 300, 0, 10, 10)


def test_a_closed_slide_and_a_missing_picture_say_so(slide_path: Path):
    with open_slide(slide_path) as slide, pytest.raises(ImageError, match="no picture called 'label'"):
        slide.picture("label")
    with pytest.raises(ImageError, match="is closed; open it again"):
        slide.levels[1][:1]
    assert "The file states no pixel size: lengths are in pixels." in slide.notes


@pytest.mark.parametrize(
    ("name", "said"), [("missing.svs", "doesn't exist"), ("table.csv", "isn't a slide by its ending")]
)
def test_what_is_no_slide_is_refused(tmp_path: Path, name: str, said: str):
    if "missing" not in name:
        (tmp_path / name).write_text("a,b")
    with pytest.raises(ImageError, match=said):
        open_slide(tmp_path / name)


@pytest.mark.parametrize(
    "ending", [".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".tif", ".ome.tif", ".qptiff", ".dcm"]
)
def test_rubbish_by_any_ending_is_refused_in_one_sentence(tmp_path: Path, ending: str):
    path = tmp_path / f"rubbish{ending}"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(ImageError) as caught:
        open_slide(path)
    assert "\n" not in str(caught.value)
    assert "rubbish" in str(caught.value)
