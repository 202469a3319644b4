"""What a person types becomes jobs: each input once, with a name of its own, and nothing that isn't one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from drawn_slides import spotted, write_slide
from PIL import Image as Pillow
from test_volume import write_plane, write_series

from napari_unetsharp.errors import ImageError, SettingsError
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.tiff import write_tiff
from napari_unetsharp.images.volume import Volume
from napari_unetsharp.jobs.inputs import find_sources
from napari_unetsharp.jobs.source import Source

GREY = np.arange(600, dtype=np.uint8).reshape(20, 30)


def saved(path: Path, pixels: np.ndarray = GREY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(pixels).save(path)
    return path


def found(*given: Path, out: Path = Path("nowhere")) -> dict[str, Path]:
    return {source.name: source.path for source in find_sources(list(given), out)}


# Folders and patterns ----------------------------------------------------------------------------------


def test_a_folder_gives_what_it_holds_and_what_lies_below(tmp_path: Path):
    study = tmp_path / "study"
    for name in ("a.png", "deep/down/b.jpg", ".hidden.png", ".trash/c.png", "out/a_L4.png"):
        saved(study / name)
    (study / "notes.txt").write_text("no picture")
    (study / "scan.nii.gz").write_bytes(b"")
    assert found(study, out=study / "out") == {
        "a": study / "a.png", "scan": study / "scan.nii.gz", "deep-down-b": study / "deep" / "down" / "b.jpg",
    }  # fmt: skip


def test_companions_of_a_slide_are_no_inputs(tmp_path: Path):
    for name in ("one.mrxs", "two.vms", "other.png"):
        (tmp_path / name).write_bytes(b"")
    saved(tmp_path / "one" / "Data0000.png")
    saved(tmp_path / "two-0-1.jpg"), saved(tmp_path / "two_macro.jpg")
    assert set(found(tmp_path)) == {"one", "two", "other"}


def test_a_zarr_is_one_input(tmp_path: Path):
    (tmp_path / "slide.ome.zarr" / "0").mkdir(parents=True)
    (tmp_path / "slide.ome.zarr" / "zarr.json").write_text("{}")
    (tmp_path / "slide.ome.zarr" / "0" / "c.png").write_bytes(b"")
    assert found(tmp_path) == {"slide": tmp_path / "slide.ome.zarr"}


def test_dicom_is_put_together_by_series(tmp_path: Path):
    write_series(tmp_path / "ct", [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for number in range(6):
        write_plane(mixed / f"{number}.dcm", GREY.astype(np.int16), [0.0, 0.0, float(number)], number,
                    SeriesInstanceUID=f"1.2.{number // 4}")  # fmt: skip
    (mixed / "broken.dcm").write_bytes(b"nothing")
    write_plane(mixed / "structures.dcm", GREY.astype(np.int16), None, 1, SeriesInstanceUID="1.9", Modality="RTSTRUCT")
    sources = {source.name: source for source in find_sources([tmp_path], Path("nowhere"))}
    assert set(sources) == {"ct", "mixed-0", "mixed-4", "mixed-broken"}
    assert sources["ct"].path == tmp_path / "ct"
    for name, planes in (("ct", 7), ("mixed-0", 4), ("mixed-4", 2)):
        with sources[name].opened() as volume:
            assert isinstance(volume, Volume)
            assert volume.stack_shape == (planes,)
    whole = sources["mixed-0"].identity()
    (mixed / "3.dcm").unlink()
    assert sources["mixed-0"].identity() != whole  # of all its files
    assert sources["mixed-4"].identity() == sources["mixed-4"].identity() != whole


def test_patterns_and_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "a1.png"), saved(tmp_path / "a2.png"), saved(tmp_path / "sub" / "a3.png")
    (tmp_path / "a.txt").write_text("no picture")
    (tmp_path / "empty").mkdir()
    assert set(found(Path("a*"))) == {"a1", "a2"}
    assert set(found(Path("**/*.png"))) == {"a1", "a2", "sub-a3"}
    missing, pattern, empty = find_sources([Path("missing.png"), Path("b*.png"), Path("empty")], Path("out"))
    assert missing.problem == ""  # whoever opens it says so
    assert "no picture, volume or slide matches b*.png" in pattern.problem
    assert "empty holds no picture" in empty.problem
    with pytest.raises(ImageError, match="holds no picture"), empty.opened():
        pass


def test_each_input_once_and_each_name_once(tmp_path: Path):
    paths = [saved(tmp_path / name) for name in ("x.png", "sub/X.png", "x-2.png")]
    sources = find_sources([paths[0], tmp_path / "x.png", tmp_path], Path("nowhere"))
    assert len(sources) == 3
    assert len({source.name.casefold() for source in sources}) == 3
    saved(tmp_path / "sub" / "sub" / "a.png")
    again = {source.path: source.name for source in find_sources([tmp_path], Path("nowhere"))}
    saved(tmp_path / "sub" / "early" / "a.png")
    assert {source.path: source.name for source in find_sources([tmp_path], Path("nowhere"))}.items() > again.items()


def test_a_pattern_names_by_the_folders_that_it_meets(tmp_path: Path):
    for case in ("b", "c"):
        saved(tmp_path / "cases" / case / "slide.png")
    pattern = tmp_path / "cases" / "*" / "slide.png"
    before = found(pattern)
    assert before == {f"{case}-slide": tmp_path / "cases" / case / "slide.png" for case in "bc"}
    saved(tmp_path / "cases" / "a" / "slide.png")
    assert found(pattern) == before | {"a-slide": tmp_path / "cases" / "a" / "slide.png"}
    assert found(tmp_path / "cases" / "*") == found(tmp_path / "cases") == found(pattern)


def test_results_are_no_inputs(tmp_path: Path):
    saved(tmp_path / "pic.tif"), saved(tmp_path / "mine_L4.tif"), saved(tmp_path / "res" / "old.tif")
    saved(tmp_path / "pic_L4.tif"), saved(tmp_path / "pic_x01.tif"), saved(tmp_path / "res" / "old_L4.tif")
    (tmp_path / ".jobs").mkdir()
    (tmp_path / ".jobs" / "pic.json").write_text("{}")
    (tmp_path / "res" / "report.json").write_text('{"images": [{"files": ["away/old_L4.tif"]}, {"files": []}]}')
    (tmp_path / "res" / "report.csv").write_text("input,name")  # no manifest
    run = tmp_path / "res" / "slide"
    saved(run / "labels.zarr" / "c.png"), saved(run / "export.png")
    for file in ("labels.zarr/zarr.json", "run.json", "settings.json"):
        (run / file).write_text("{}")
    saved(tmp_path / "slide.unetsharp" / "regions" / "r1.tif")
    saved(tmp_path / "own" / "kept.png")
    (tmp_path / "own" / "run.json").write_text("{}")  # somebody's own: no run
    wanted = {tmp_path / name for name in ("pic.tif", "mine_L4.tif", "res/old.tif", "own/kept.png")}
    for given in (tmp_path, tmp_path / "**"):
        for out in (tmp_path, tmp_path / "elsewhere"):
            assert set(found(given, out=out).values()) == wanted
    assert set(found(tmp_path / "**" / "*.tif", out=tmp_path / "res").values()) == {
        tmp_path / "pic.tif", tmp_path / "mine_L4.tif",
    }  # fmt: skip
    with pytest.raises(ImageError, match="holds no picture"), find_sources([run], tmp_path / "out")[0].opened():
        pass


def test_links_in_circles_are_not_followed(tmp_path: Path):
    saved(tmp_path / "in" / "sub" / "a.png")
    (tmp_path / "in" / "sub" / "up").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "self").symlink_to(tmp_path / "in" / "self")
    for given in (tmp_path / "in", tmp_path / "in" / "**"):
        assert found(given) == {"sub-a": tmp_path / "in" / "sub" / "a.png"}


def test_a_folder_that_cannot_be_read_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    saved(tmp_path / "a.png"), saved(tmp_path / "closed" / "b.png")
    listed = Path.iterdir

    def refused(self: Path):  # root may read what nobody may
        if self.name == "closed":
            raise PermissionError(13, "Permission denied", str(self))
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", refused)
    picture, closed = find_sources([tmp_path], Path("nowhere"))
    assert (picture.name, picture.problem) == ("a", "")
    assert closed.problem == f"{tmp_path / 'closed'} can't be read (Permission denied); ask for access or leave it out"


# Manifests ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_manifest_lists_jobs(mark: str, tmp_path: Path):
    lines = (
        ("path", "name", "plane", "um_per_pixel", "nucleus_size", "channel"), ("a.png", "", "", "", "", ""),
        ("sub/b.tif", "second", "1/0", "0.25/0.5", "12.5", "DAPI"), (str(tmp_path / "c.svs"), "", "3", "0.5", "", "2"),
    )  # fmt: skip
    text = "\r\n".join(mark.join(line) for line in lines) + "\r\n\r\n"
    (tmp_path / "list.csv").write_text(text, encoding="utf-8-sig")
    assert find_sources([tmp_path / "list.csv"], Path("nowhere")) == [
        Source(tmp_path / "a.png", "a"),
        Source(tmp_path / "sub" / "b.tif", "second", (1, 0), (0.25, 0.5), 12.5, "DAPI"),
        Source(tmp_path / "c.svs", "c", (3,), (0.5, 0.5), None, "2"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"columns \(none\); path is needed"),
        ("file\na.png", "columns file; path is needed"),
        ("path,colour\na.png,red", "path, colour; .*nucleus_size, channel are known"),
        ("path,plane\na.png,one", "line 2 of .*plane 'one' isn't a number"),
        ("path,plane\na.png,\na.png,-1", "line 3 of .*plane '-1' is none"),
        ("path,um_per_pixel\na.png,0", "'0' is no length above 0"),
        ("path,um_per_pixel\na.png,1/2/3", "'1/2/3' is no length"),
        ("path,channel\na.png,0", "line 2 of .*no channel 0; channels are counted from 1"),
        ("path,nucleus_size\na.png,nan", "'nan' isn't a number"),
        ("path,name\na.png,../up", "'../up' can't be the name"),
        ("path,name\n,b", "line 2 of .* has no path"),
    ],
)
def test_a_manifest_that_makes_no_sense_starts_nothing(text: str, words: str, tmp_path: Path):
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=words):
        find_sources([tmp_path / "list.csv"], Path("nowhere"))
    with pytest.raises(SettingsError, match="can't be read"):
        find_sources([tmp_path / "no.csv"], Path("nowhere"))


# What is opened ----------------------------------------------------------------------------------------


def test_a_scan_comes_as_its_window_shows_it(tmp_path: Path):
    plane = np.array([[-1000, -100, 0, 100, 1000]] * 4, np.int16)
    for number in range(3):
        write_plane(tmp_path / f"{number}.dcm", plane, [0.0, 0.0, float(number)], number,
                    WindowCenter=0, WindowWidth=200)  # fmt: skip
    with Source(tmp_path).opened() as volume:
        assert isinstance(volume, Volume)
        greys = volume.plane((1,))[0, :, 0]
    assert greys.dtype == np.uint8
    assert (greys[0], greys[-1]) == (0, 255)
    assert abs(int(greys[2]) - 127) <= 2


def test_one_plane_and_a_pixel_size_as_a_person_says(tmp_path: Path):
    stack = np.stack([GREY, GREY + 1, GREY + 2])
    write_tiff(tmp_path / "a.tif", stack, Image(stack, "ZYX", (2.0, 1.0, 1.0), ("micrometer", "pixel", "pixel")))
    with Source(tmp_path / "a.tif", plane=(2,), um_per_pixel=(0.5, 0.25)).opened() as image:
        assert isinstance(image, Image)
        np.testing.assert_array_equal(image.plane()[..., 0], GREY + 2)
        assert (image.axes, image.scale, image.units) == ("YX", (0.5, 0.25), ("micrometer",) * 2)
    for plane in ((3,), (0, 0)):
        with pytest.raises(ImageError, match=r"has no plane .*\(Z\) have \(3,\) planes"):  # noqa: SIM117
            with Source(tmp_path / "a.tif", plane=plane).opened():
                pass


@pytest.mark.parametrize(
    ("count", "dtype", "names", "said", "seen"),
    [
        (4, np.uint16, (), "", [0]),
        (4, np.uint16, ("CD3", "nuclei", "CD8", "CD4"), "", [1]),
        (2, np.uint8, ("cDNA1", "DNA_1"), "", [1]),
        (3, np.uint16, ("a", "b", "c"), "C", [2]),
        (3, np.uint8, (), "", [0, 1, 2]),  # colours
        (3, np.uint8, (), "2", [1]),
        (4, np.uint8, (), "", [0, 1, 2, 3]),  # colours and transparency
    ],
)
def test_channels_of_a_picture(count: int, dtype: type, names: tuple, said: str, seen: list[int], tmp_path: Path):
    planes = np.stack([GREY // (number + 1) for number in range(count)]).astype(dtype)
    about = {"axes": "CYX"} | ({"Channel": {"Name": list(names)}} if names else {})
    tifffile.imwrite(tmp_path / "a.ome.tif", planes, photometric="minisblack", metadata=about)
    with Source(tmp_path / "a.ome.tif", channel=said).opened() as image:
        assert isinstance(image, Image)
        np.testing.assert_array_equal(image.plane(), np.moveaxis(planes[seen], 0, -1))
        notes = [note for note in image.notes if "--channel" in note]
    assert len(notes) == (len(seen) == 1 and not said)
    with pytest.raises(ImageError, match=f"no channel {count + 1}; it has 1 "):  # noqa: SIM117
        with Source(tmp_path / "a.ome.tif", channel=str(count + 1)).opened():
            pass


def test_planes_of_a_slide_are_checked_too(tmp_path: Path):
    path = write_slide(tmp_path / "a.tif", spotted((300, 400), 5)[0], levels=2)
    with Source(path, plane=(0,)).opened() as slide:  # the only one there is
        assert slide.axes == "YXC"
    for plane in ((1,), (0, 0)):
        with (
            pytest.raises(ImageError, match=r"has no plane .*\(none\) have no planes"),
            Source(path, plane=plane).opened(),
        ):
            pass


def test_a_slide_is_closed_when_done_and_known_by_its_content(tmp_path: Path):
    pixels, _ = spotted((300, 400), 5)
    path = write_slide(tmp_path / "a.tif", pixels, levels=2)
    with Source(path).opened() as slide:
        assert isinstance(slide, Slide)
    assert slide.levels[0].closed
    (tmp_path / "b.tif").write_bytes(path.read_bytes())
    assert Source(tmp_path / "b.tif").identity() == Source(path).identity()
    changed, _ = spotted((300, 400), 5, seed=1)
    write_slide(tmp_path / "b.tif", changed, levels=2)
    assert Source(tmp_path / "b.tif").identity() != Source(path).identity()


def test_any_byte_of_a_picture_counts(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 255, (800, 900), np.uint8)
    write_tiff(tmp_path / "a.tif", noise, Image(noise, "YX"))
    before = Source(tmp_path / "a.tif").identity()
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[len(content) // 3] ^= 1
    (tmp_path / "a.tif").write_bytes(content)
    assert Source(tmp_path / "a.tif").identity() != before
