"""``unetsharp export`` as a person types it: from a mask, GeoJSON, a saved review and a journal."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import typer
from typer.testing import CliRunner

from napari_unetsharp.cli_export import export
from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.tiff import write_tiff
from napari_unetsharp.nuclei import answers
from napari_unetsharp.nuclei.geojson_reader import read_geojson
from napari_unetsharp.nuclei.identity import identify
from napari_unetsharp.nuclei.label_files import read_labels
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.review_folder import ViewFacts, save_review

PICTURE, MASK = draw_fluorescence(4, 100, 120, 16)
FIRST, SECOND = (int(number) for number in np.unique(MASK)[1:3])

app = typer.Typer()
app.command()(export)


@app.command()
def other():
    """Keep `export` a command with a name."""


def typed(*words):
    """Type a command; gives what it printed, or the sentence of our error."""
    result = CliRunner().invoke(app, ["export", *map(str, words)])
    if isinstance(result.exception, UNetSharpError):
        return str(result.exception)
    assert result.exit_code == 0, (result.output, repr(result.exception))
    return result.output


def cells(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def names(folder):
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def image(tmp_path):
    made = Image(PICTURE, "YX", (0.5, 0.5), ("micrometer",) * 2, "field")
    write_tiff(tmp_path / "field.tif", PICTURE, made)
    return made


@pytest.fixture
def mask(tmp_path):
    tifffile.imwrite(tmp_path / "cells_cp_masks.tif", MASK.astype(np.uint16))
    return tmp_path / "cells_cp_masks.tif"


@pytest.fixture
def review(image, tmp_path):
    made = Review.start(tmp_path / "field.tif.unetsharp", identify(PICTURE, "YX"), MASK, "me")
    made.apply(answers.accept, FIRST, how="one by one")
    made.apply(answers.reject, SECOND, "debris", how="one by one")
    yield made
    made.close()


# Masks --------------------------------------------------------------------------------------------------


def test_a_mask(mask, tmp_path):
    out = tmp_path / "out"
    said = typed(mask, "--out", out)
    count = len(np.unique(MASK)) - 1
    assert said.splitlines()[0] == f"{count} nuclei"
    assert names(out) == {f"cells_cp_masks_{name}" for name in ("nuclei.csv", "nuclei.geojson", "labels.tif")}
    np.testing.assert_array_equal(read_labels(out / "cells_cp_masks_labels.tif").pixels, MASK)
    np.testing.assert_array_equal(read_geojson(out / "cells_cp_masks_nuclei.geojson", MASK.shape).labels, MASK)
    rows = cells(out / "cells_cp_masks_nuclei.csv")
    assert len(rows) == count
    assert not {"state", "area_um2", "mean_1"} & rows[0].keys()


def test_with_its_picture(mask, image, tmp_path):
    typed(mask, "--image", tmp_path / "field.tif", "--out", tmp_path)
    row = cells(tmp_path / "cells_cp_masks_nuclei.csv")[0]
    assert float(row["mean_1"]) == pytest.approx(PICTURE[MASK == FIRST].mean(), rel=1e-6)
    assert float(row["area_um2"]) == (MASK == FIRST).sum() / 4
    assert read_labels(tmp_path / "cells_cp_masks_labels.tif").scale == (0.5, 0.5)


def test_a_pixel_size_by_hand(mask, tmp_path):
    typed(mask, "--out", tmp_path, "--pixel-size", 2, "--format", "csv")
    assert float(cells(tmp_path / "cells_cp_masks_nuclei.csv")[0]["area_um2"]) == (MASK == FIRST).sum() * 4


@pytest.mark.parametrize(("kind", "ending"), [("csv", ".csv"), ("geojson", ".geojson"), ("tiff", ".tif")])
def test_one_format(kind, ending, mask, tmp_path):
    typed(mask, "--out", tmp_path / "out", "--format", kind)
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {ending}


def test_annotations_for_qupath(mask, tmp_path):
    typed(mask, "--out", tmp_path, "--format", "geojson", "--annotations")
    found = json.loads((tmp_path / "cells_cp_masks_nuclei.geojson").read_text(encoding="utf-8"))
    assert {feature["properties"]["objectType"] for feature in found["features"]} == {"annotation"}


def test_one_json_object(mask, tmp_path):
    report = json.loads(typed(mask, "--out", tmp_path, "--format", "csv", "--json"))
    assert report == {
        "nuclei": len(np.unique(MASK)) - 1, "files": [str(tmp_path / "cells_cp_masks_nuclei.csv")], "notes": [],
    }  # fmt: skip


def test_the_mask_itself_is_never_overwritten(mask, tmp_path):
    before = mask.read_bytes()
    typed(mask, "--out", tmp_path)
    assert mask.read_bytes() == before


# GeoJSON ------------------------------------------------------------------------------------------------


def test_geojson_back_to_labels(mask, image, tmp_path):
    typed(mask, "--out", tmp_path, "--format", "geojson")
    outlined = tmp_path / "cells_cp_masks_nuclei.geojson"
    typed(outlined, "--image", tmp_path / "field.tif", "--out", tmp_path / "back", "--format", "tiff")
    found = read_labels(tmp_path / "back" / "cells_cp_masks_nuclei_labels.tif")
    np.testing.assert_array_equal(found.pixels, MASK)
    assert "give the picture" in typed(outlined, "--out", tmp_path)


# Reviews ------------------------------------------------------------------------------------------------


def test_a_journal_while_it_is_open(review, tmp_path):
    typed(tmp_path / "field.tif.unetsharp", "--out", tmp_path / "out", "--image", tmp_path / "field.tif")
    rows = {int(row["id"]): row for row in cells(tmp_path / "out" / "field.tif_nuclei.csv")}
    assert [rows[number]["state"] for number in (FIRST, SECOND)] == ["right", "not a nucleus"]
    assert float(rows[SECOND]["area_um2"]) == (MASK == SECOND).sum() / 4
    assert len(cells(tmp_path / "out" / "field.tif_history.csv")) == 2
    np.testing.assert_array_equal(
        read_labels(tmp_path / "out" / "field.tif_labels.tif").pixels, np.where(MASK == SECOND, 0, MASK)
    )


def test_a_saved_review_with_and_without_its_picture(review, image, tmp_path):
    saved = save_review(tmp_path / "saved", review, image, facts=ViewFacts({FIRST: 0.5}, {FIRST: ["L4"]}))
    typed(saved, "--out", tmp_path / "one")
    typed(saved, "--out", tmp_path / "two", "--image", tmp_path / "field.tif")
    typed(saved / "review.json", "--out", tmp_path / "three")
    assert names(tmp_path / "one") == {f"field_{name}" for name in (
        "nuclei.csv", "nuclei.geojson", "labels.tif", "history.csv",
    )}  # fmt: skip
    one, two, three = (cells(tmp_path / name / "field_nuclei.csv") for name in ("one", "two", "three"))
    assert one == two == three == cells(saved / "nuclei.csv")
    assert (tmp_path / "one" / "field_history.csv").read_bytes() == (saved / "history.csv").read_bytes()
    features, again = (
        json.loads(path.read_text(encoding="utf-8"))["features"]
        for path in (saved / "nuclei.geojson", tmp_path / "one" / "field_nuclei.geojson")
    )
    assert features == again


# Slides and DICOM ---------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """The folder of a run over a small DICOM slide."""
    for needed in ("highdicom", "zarr", "pyarrow"):
        pytest.importorskip(needed)
    from painted_slides import painted_run, write_slide

    from napari_unetsharp.images.slide_open import open_slide

    (tmp_path / "slides").mkdir()
    with open_slide(write_slide(tmp_path / "slides" / "s1.dcm")) as slide:
        painted_run(tmp_path / "run", slide).close()
    return tmp_path / "run"


def test_a_run_over_a_slide(run, tmp_path):
    out = tmp_path / "out"
    said = typed(run, "--out", out)
    assert names(out) == {f"s1_nuclei.{ending}" for ending in ("csv", "geojson", "parquet", "ome.zarr")}
    assert said.splitlines()[0] == f"{len(cells(out / 's1_nuclei.csv'))} nuclei"
    found = json.loads((out / "s1_nuclei.geojson").read_text(encoding="utf-8"))
    assert {feature["properties"]["objectType"] for feature in found["features"]} == {"detection"}


def test_a_run_over_a_dicom_slide_as_dicom(run, tmp_path):
    import pydicom

    (tmp_path / "slides").rename(tmp_path / "moved")
    words = (run, "--out", tmp_path / "out", "--format", "dicom-seg", "--format", "dicom-ann")
    assert "give it by --image" in typed(*words)
    told = json.loads(typed(*words, "--image", tmp_path / "moved" / "s1.dcm", "--json"))
    assert [pydicom.dcmread(file).Modality for file in told["files"]] == ["SEG", "ANN"]
    assert told["nuclei"] > 5


def test_a_packed_run(run, tmp_path):
    typed(run, "--out", tmp_path / "out", "--format", "geojson", "--packed", "gz", "--annotations")
    (path,) = (tmp_path / "out").iterdir()
    found = json.loads(gzip.decompress(path.read_bytes()))
    assert (path.name, found["features"][0]["properties"]["objectType"]) == ("s1_nuclei.geojson.gz", "annotation")


def test_the_mask_of_a_dicom_series_as_dicom(tmp_path):
    pytest.importorskip("highdicom")
    import pydicom
    from test_volume import SCAN, write_series

    series = write_series(
        tmp_path / "ct", [2.5 * number for number in range(7)], StudyInstanceUID="1.2.3", FrameOfReferenceUID="1.2.4"
    )
    tifffile.imwrite(tmp_path / "ct_L2.tif", (SCAN > 1500).astype(np.uint16), photometric="minisblack")
    words = (tmp_path / "ct_L2.tif", "--out", tmp_path / "out", "--format", "dicom-seg")
    assert "give the DICOM file or series" in typed(*words)
    assert typed(*words, "--image", series) == f"Written to {tmp_path / 'out' / 'ct_L2_seg.dcm'}\n"
    assert pydicom.dcmread(tmp_path / "out" / "ct_L2_seg.dcm").pixel_array.sum() == (SCAN > 1500).sum()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--format", "tiff"], "choose from csv, geojson, parquet, ngff, ngff-0.4, dicom-seg, dicom-ann"),
        (["run", "--packed", "rar"], "choose gz or zip"),
        (["run", "--pixel-size", "0.5"], "isn't for a run over a slide"),
        (["run", "--seconds"], "--seconds isn't for a run over a slide"),
        (["cells_cp_masks.tif", "--packed", "gz"], "only the GeoJSON of a slide is packed"),
        (["cells_cp_masks.tif", "--format", "ngff"], "choose from csv, geojson, tiff, dicom-seg"),
    ],
)
def test_what_does_not_go_together(words, said, mask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    found = typed(*words, "--out", "out")
    assert said in found
    assert len(found.splitlines()) == 1
    assert not (tmp_path / "out").exists()


# One sentence -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.tif"], "none.tif"),
        (["empty"], "choose a folder that was saved by us"),
        (["cells_cp_masks.tif", "--image", "small.tif"], "px"),
        (["cells_cp_masks.tif", "--image", "stack.tif"], "stack"),
        (["cells_cp_masks.tif", "--format", "xml"], "choose from csv, geojson, tiff"),
        (["cells_cp_masks.tif", "--pixel-size", "nan"], "makes no sense"),
        (["saved", "--image", "other.tif"], "isn't the picture that was reviewed"),
        (["cells_cp_masks.tif", "--out", "cells_cp_masks.tif/out"], "can't be written"),
    ],
)
def test_what_can_not_be_exported(words, said, mask, review, image, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    tifffile.imwrite("small.tif", PICTURE[:50])
    tifffile.imwrite("stack.tif", np.stack([PICTURE, PICTURE]), photometric="minisblack")
    tifffile.imwrite("other.tif", 255 - PICTURE)
    save_review("saved", review, image)
    found = typed(*words, *(() if "--out" in words else ("--out", "out")))
    assert said in found
    assert len(found.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_neither_torch_nor_a_window_is_needed():
    script = (
        "import sys; from napari_unetsharp import cli_export; from napari_unetsharp.nuclei import export; "
        "print(sorted({'torch', 'napari', 'qtpy', 'PyQt5', 'PyQt6'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
