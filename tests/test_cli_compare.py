"""``unetsharp compare`` as a person types it; its numbers are those of ``unetsharp evaluate``."""

from __future__ import annotations

import json

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from small_networks import discs, one_thread, seeded, seeing_brightness  # noqa: F401
from test_cli_evaluate import one_sentence, unetsharp  # noqa: F401

from napari_unetsharp.cli_compare import one_each, parsed_levels
from napari_unetsharp.comparison.truths import read_field
from napari_unetsharp.errors import DatasetError, LabelsError, SettingsError
from napari_unetsharp.images.files import read_image
from napari_unetsharp.nuclei.identity import identify
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import Nucleus, State

SHAPE = (96, 128)
CENTRES = [(16, 16), (16, 60), (60, 30), (70, 90), (40, 110)]


@pytest.fixture(scope="module")
def tissue():
    """Discs on noise, so that drawn weights see something everywhere."""
    noise = np.random.default_rng(0).integers(0, 60, (*SHAPE, 3), np.uint8)
    return np.clip(discs(SHAPE, CENTRES, 8)[..., None].astype(int) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory, tissue):
    """One that sees brightness, each depth a bit more strictly, and one with drawn weights."""
    folder = tmp_path_factory.mktemp("models")
    strict = {f"x0{level}": 0.55 + 0.1 * level for level in (1, 2, 3, 4)}
    seeing_brightness(limits=strict).save(folder / "bright.safetensors")
    seeded(tissue).save(folder / "drawn.safetensors")
    return folder / "bright.safetensors", folder / "drawn.safetensors"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, tissue):
    folder = tmp_path_factory.mktemp("data")
    truth = sum((discs(SHAPE, [centre], 8) > 100) * np.uint16(label) for label, centre in enumerate(CENTRES, start=1))
    for part in ("images", "labels"):
        (folder / part).mkdir()
    for name, turn in (("a", 0), ("b", 2)):
        imageio.imwrite(folder / "images" / f"{name}.png", np.rot90(tissue, turn))
        tifffile.imwrite(folder / "labels" / f"{name}.tif", np.rot90(truth, turn) if turn == 0 else truth)
    return folder


def files(dataset):
    return [dataset / "images" / "a.png", dataset / "images" / "b.png"]


# Numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("--threshold", "0.4", "--smallest", "5", "--no-split")])
def test_numbers_are_those_of_evaluate(more, unetsharp, dataset, models):  # noqa: F811
    """Every count and score, means and pooled, of every depth, on the same images with the same settings."""
    for model in models:
        options = ("--device", "cpu", *more)
        code, out, _ = unetsharp("evaluate", dataset, "-c", model, "--json", *options)
        evaluated = json.loads(out)["nodes"]
        words = ("--checkpoints", model, "--truth", dataset / "labels", "--json", "-", "--no-speed", *options)
        again, out, err = unetsharp("compare", *files(dataset), *words)
        assert (code, again, err) == (0, 0, "")
        compared = {row["node"]: row for row in json.loads(out)["rows"]}
        assert list(compared) == ["x01", "x02", "x03", "x04"]
        for node, row in compared.items():
            for name, value in evaluated[node].items():
                if name != "seconds":
                    assert row[name] == pytest.approx(value, abs=1e-12), (node, name)
        assert any(row["found"] for row in compared.values()) or model == models[1]


def test_a_report_of_two_models(unetsharp, dataset, models, tmp_path):  # noqa: F811
    page, facts = tmp_path / "out.html", tmp_path / "out.json"
    asked = ("--checkpoints", *models, "--levels", "1", "2", "--truth", dataset, "--report", page, "--json", facts)
    code, out, err = unetsharp("compare", *files(dataset), *asked, "--no-speed", "--device", "cpu")
    assert (code, err) == (0, "")
    told = json.loads(facts.read_text(encoding="utf-8"))
    assert [row["name"] for row in told["rows"]] == [
        "bright · depth 1 · x01", "bright · depth 2 · x02", "seeded 0 · depth 1 · x01", "seeded 0 · depth 2 · x02"
    ]  # fmt: skip
    assert all(row["corrected"] and row["against"] == "Corrected" for row in told["rows"])
    assert [len(image["rows"]) for image in told["images"]] == [4, 4]
    assert sum(image["rows"][0]["found"] for image in told["images"]) == told["rows"][0]["found"]
    assert len(told["sha256"]) == 4
    text = page.read_text(encoding="utf-8")
    assert "bright · depth 2 · x02" in text
    assert told["advice"] in out.replace("\n", " ")
    assert "Written to" in out
    assert (tmp_path / "out_figures" / "plot.png").is_file()


def test_without_truth_it_is_against_the_deepest_and_says_so(unetsharp, dataset, models):  # noqa: F811
    code, out, _ = unetsharp(
        "compare", files(dataset)[0], "-c", models[0], "--levels", "1,2", "--json", "-", "--device", "cpu", "--no-speed"
    )
    rows = json.loads(out)["rows"]
    assert (code, [row["node"] for row in rows]) == (0, ["x01", "x02", "x04"])
    assert {row["against"] for row in rows} == {"Depth 4 · x04"}
    assert not any(row["corrected"] for row in rows)
    assert "found" not in rows[2]
    code, out, _ = unetsharp("compare", files(dataset)[0], "-c", models[0], "-l", 1, "--device", "cpu", "--no-speed")
    assert "against Depth 4 · x04, 5 nuclei: nobody has corrected this" in " ".join(out.split())


def test_speed_is_measured(unetsharp, dataset, models):  # noqa: F811
    code, out, _ = unetsharp(
        "compare",
        files(dataset)[0],
        "-c",
        models[0],
        "--levels",
        1,
        "--truth",
        dataset,
        "--json",
        "-",
        "--device",
        "cpu",
    )
    row = json.loads(out)["rows"][0]
    assert code == 0
    assert row["ms_per_mpx"] > 0
    assert row["parameters"] > 0


# What is typed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("a.png --levels 1 2 3 4 --report o.html", "a.png --levels 1 --levels 2 --levels 3 --levels 4 --report o.html"),
        ("--levels 1,2 3 a.png b.png", "--levels 1,2 --levels 3 a.png b.png"),
        ("--levels 1 --levels 2 a.png", "--levels 1 --levels 2 a.png"),
        ("-c nuclei b.pth a.png -l 1 2", "-c nuclei -c b.pth a.png -l 1 -l 2"),
        ("--checkpoints A.safetensors B.safetensors --levels 4 1.png", "--checkpoints A.safetensors --checkpoints "
         "B.safetensors --levels 4 1.png"),
        ("--levels=1 2 a.png", "--levels=1 2 a.png"),
        ("--device cpu a.png -- --levels 1 2", "--device cpu a.png -- --levels 1 2"),
    ],
)  # fmt: skip
def test_values_in_a_row(typed, meant):
    assert one_each(typed.split()) == meant.split()


def test_depths():
    assert parsed_levels(["4", "1,2", "2"]) == (1, 2, 4)
    assert parsed_levels([]) == ()
    with pytest.raises(SettingsError, match="there is no depth '5'"):
        parsed_levels(["1,5"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--levels", "7"], "there is no depth '7'"),
        (["--report", "out.pdf"], "must end in .html"),
        (["--truth", "nowhere"], "nowhere is not a folder"),
        (["--device", "abacus"], "device 'abacus' is unknown"),
        (["-c", "missing.safetensors"], "no checkpoint at missing.safetensors"),
    ],
)
def test_comparisons_that_cannot_start(words, said, unetsharp, dataset, models):  # noqa: F811
    given = words if "-c" in words else ["-c", models[0], *words]
    code, out, err = unetsharp("compare", files(dataset)[0], *given, "--no-speed")
    assert (code, out) == (2, "")
    assert one_sentence(err)
    assert said in err


def test_images_and_models_that_cannot_be_compared(unetsharp, dataset, models, tmp_path):  # noqa: F811
    (tmp_path / "bad.png").write_bytes(b"nothing")
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((5, 32, 32), np.uint8), metadata={"axes": "ZYX"})
    (tmp_path / "c.png").write_bytes(files(dataset)[0].read_bytes())
    seeing_brightness(level=2).save(tmp_path / "two.safetensors")
    image, model = files(dataset)[0], models[0]
    for given, said in (
        ([tmp_path / "bad.png", "-c", model], "bad.png can't be read"),
        ([tmp_path / "stack.tif", "-c", model], "stack.tif is a stack"),
        ([tmp_path / "c.png", "-c", model, "--truth", dataset], "has no labels of c"),
        ([image, "-c", model, model], "was given twice"),
        ([image, "-c", tmp_path / "two.safetensors", "--levels", "1", "4"], "gives x01, x02, not x04"),
    ):
        code, out, err = unetsharp("compare", *given, "--no-speed", "--device", "cpu")
        assert (code, out) == (2, "")
        assert one_sentence(err)
        assert said in err


# Truths --------------------------------------------------------------------------------------------------


def test_masks_by_nucleus(dataset, tissue, tmp_path):
    (tmp_path / "a" / "masks").mkdir(parents=True)
    for number, centre in enumerate(CENTRES):
        mask = np.where(discs(SHAPE, [centre], 8) > 100, 255, 0).astype(np.uint8)
        imageio.imwrite(tmp_path / "a" / "masks" / f"{number}.png", mask)
    field = read_field(files(dataset)[0], tmp_path)
    assert len(np.unique(field.truth.labels)) == 1 + len(CENTRES)
    assert (field.truth.is_truth, field.truth.seen) == (True, None)
    assert (field.plane == tissue).all()


def test_a_mask_beside_the_image_is_the_truth_and_never_the_image_itself(dataset, tmp_path):
    path, labels = tmp_path / "a.png", (dataset / "labels" / "a.tif").read_bytes()
    path.write_bytes(files(dataset)[0].read_bytes())
    with pytest.raises(DatasetError, match="has no labels of a"):
        read_field(path, tmp_path)
    (tmp_path / "a_masks.tif").write_bytes(labels)
    assert (read_field(path, tmp_path).truth.labels == tifffile.imread(dataset / "labels" / "a.tif")).all()
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "a.png").write_bytes(path.read_bytes())
    with pytest.raises(LabelsError, match="3 channels"):
        read_field(path, tmp_path / "truth")


def test_of_a_review_only_what_was_reviewed_counts(dataset, tmp_path):
    """Two of five nuclei were said to be right; the others, and all that is around them, are unknown."""
    path = tmp_path / "a.png"
    path.write_bytes(files(dataset)[0].read_bytes())
    image, labels = read_image(path), tifffile.imread(dataset / "labels" / "a.tif").astype(np.int32)
    folder = tmp_path / "a.png.unetsharp"
    nuclei = {id_: Nucleus(id_, State.RIGHT if id_ <= 2 else State.TO_DO) for id_ in range(1, 6)}
    Review.start(folder, identify(image.pixels, image.axes), labels, "me", nuclei).close()
    truth = read_field(path, tmp_path).truth
    assert truth.seen[CENTRES[0]]
    assert not truth.seen[CENTRES[2]]
    assert truth.seen.sum() < 0.1 * truth.seen.size
    assert (truth.labels == labels).all()
