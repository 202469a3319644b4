"""NIfTI and NRRD volumes are shown like the series they came from, plane by plane."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

nibabel = pytest.importorskip("nibabel")
nrrd = pytest.importorskip("nrrd")

from napari_unetsharp.errors import ImageError  # noqa: E402
from napari_unetsharp.images.volume_open import open_volume  # noqa: E402

SCAN = np.random.default_rng(0).integers(-500, 2000, (5, 20, 30), dtype=np.int16)  # ZYX, left-back-head
FORMATS = Path(__file__).parents[2] / "shared" / "data" / "formats"


def write_nifti(path: Path, scan: np.ndarray, code: str, unit: str = "mm", **settings: float) -> Path:
    """Store a scan (Z, Y, X in left-back-head) along the axes of `code`, such as "RAS"."""
    stored = scan.transpose(2, 1, 0) if scan.ndim == 3 else scan.transpose(3, 2, 1, 0)
    image = nibabel.Nifti1Image(stored, np.diag([-0.7, -0.8, 2.5, 1.0]))  # NIfTI's world is right-front-head
    wanted = nibabel.orientations.axcodes2ornt(tuple(code))
    image = image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), wanted))
    image.header.set_xyzt_units(unit, "sec")
    for name, value in settings.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("code", ["RAS", "LPS", "LAS", "RPI", "LPI"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_however_it_was_stored_it_looks_alike(tmp_path: Path, code: str, ending: str):
    volume = open_volume(write_nifti(tmp_path / f"head{ending}", SCAN, code))
    assert (volume.axes, volume.pixels.dtype, volume.name, volume.notes) == ("ZYX", np.int16, "head", [])
    np.testing.assert_array_equal(np.asarray(volume.pixels), SCAN)
    assert volume.scale == pytest.approx((2.5, 0.8, 0.7))
    np.testing.assert_array_equal(volume.plane((3,))[..., 0], SCAN[3])


def test_planes_of_a_coronal_scan_stay_coronal_and_hang_upright(tmp_path: Path):
    volume = open_volume(write_nifti(tmp_path / "a.nii", SCAN, "LSP"))  # x left, y to the head, z back
    expected = SCAN.transpose(1, 0, 2)[:, ::-1]  # planes from front to back, rows from head to feet
    np.testing.assert_array_equal(np.asarray(volume.pixels), expected)
    assert volume.scale == pytest.approx((0.8, 2.5, 0.7))


def test_films_units_windows_and_slopes(tmp_path: Path):
    film = np.stack([SCAN, SCAN + 1])
    volume = open_volume(write_nifti(tmp_path / "a.nii", film, "RAS", "micron", cal_min=-100, cal_max=300))
    assert (volume.axes, volume.window) == ("TZYX", (-100.0, 300.0))
    assert volume.scale[1:] == pytest.approx((0.0025, 0.0008, 0.0007))
    np.testing.assert_array_equal(np.asarray(volume.pixels), film)
    image = nibabel.Nifti1Image(SCAN.transpose(2, 1, 0), np.diag([-1.0, -1.0, 1.0, 1.0]))
    image.header.set_slope_inter(0.5, 3.0)
    nibabel.save(image, tmp_path / "b.nii")
    volume = open_volume(tmp_path / "b.nii")
    assert volume.pixels.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(volume.pixels), SCAN * 0.5 + 3)
    assert "The stored values were rescaled." in volume.notes


def test_no_place_in_the_patient_and_no_unit_are_told(tmp_path: Path):
    image = nibabel.Nifti1Image(SCAN.transpose(2, 1, 0), None)
    nibabel.save(image, tmp_path / "a.nii")
    volume = open_volume(tmp_path / "a.nii")
    assert len(volume.notes) == 2
    np.testing.assert_array_equal(np.asarray(volume.pixels), SCAN)


def test_what_is_damaged_is_refused(tmp_path: Path):
    path = write_nifti(tmp_path / "a.nii", SCAN, "RAS")
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(ImageError, match="cut off"):
        open_volume(path)
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(content)[:-2000])
    with pytest.raises(ImageError, match=r"b.nii.gz can't be read"):
        np.asarray(open_volume(packed).pixels)
    (tmp_path / "c.nii").write_bytes(b"rubbish" * 100)
    with pytest.raises(ImageError, match="can't be read as NIfTI"):
        open_volume(tmp_path / "c.nii")


def write_nrrd(path: Path, scan: np.ndarray, signs: tuple[int, int, int], space: str, **header: object) -> Path:
    """Store a scan with some axes turned round."""
    turned = scan[..., :: signs[2], :: signs[1], :: signs[0]]
    directions = np.diag([0.7, 0.8, 2.5]) * np.array(signs)
    directions = directions * (np.array([-1, -1, 1]) if space.startswith("right") else 1)
    told = {"space": space, "space directions": directions, "kinds": ["domain"] * 3} | header
    nrrd.write(str(path), np.asarray(turned.T, order="F"), told, index_order="F")
    return path


@pytest.mark.parametrize("space", ["left-posterior-superior", "right-anterior-superior"])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (-1, -1, -1)])
@pytest.mark.parametrize("encoding", ["gzip", "raw"])
def test_nrrd(tmp_path: Path, space: str, signs: tuple[int, int, int], encoding: str):
    volume = open_volume(write_nrrd(tmp_path / "a.nrrd", SCAN, signs, space, encoding=encoding))
    assert (volume.axes, volume.notes, volume.units) == ("ZYX", [], ("millimeter",) * 3)
    np.testing.assert_array_equal(np.asarray(volume.pixels), SCAN)
    assert volume.scale == pytest.approx((2.5, 0.8, 0.7))


def test_an_nrrd_film_and_one_that_says_little(tmp_path: Path):
    film = np.stack([SCAN, SCAN + 1])
    directions = np.vstack([np.diag([0.7, 0.8, 2.5]), np.full((1, 3), np.nan)])
    told = {"space": "left-posterior-superior", "space directions": directions, "kinds": ["domain"] * 3 + ["list"]}
    nrrd.write(str(tmp_path / "a.nrrd"), np.asarray(film.T, order="F"), told, index_order="F")
    volume = open_volume(tmp_path / "a.nrrd")
    assert volume.axes == "TZYX"
    np.testing.assert_array_equal(np.asarray(volume.pixels), film)
    nrrd.write(str(tmp_path / "b.nrrd"), np.asarray(SCAN.T, order="F"), {"spacings": [0.7, 0.8, 2.5]}, index_order="F")
    volume = open_volume(tmp_path / "b.nrrd")
    assert volume.scale == pytest.approx((2.5, 0.8, 0.7))
    assert len(volume.notes) == 1


def test_an_nrrd_header_may_not_point_elsewhere(tmp_path: Path):
    secret = tmp_path / "secret.raw"
    secret.write_bytes(bytes(5 * 20 * 30 * 2))
    inner = tmp_path / "inner"
    inner.mkdir()
    text = "NRRD0004\ntype: short\ndimension: 3\nsizes: 30 20 5\nencoding: raw\nendian: little\ndata file: {}\n"
    for target in ("../secret.raw", str(secret), "LIST\nsecret.raw"):
        (inner / "a.nhdr").write_text(text.format(target))
        with pytest.raises(ImageError):
            np.asarray(open_volume(inner / "a.nhdr").pixels)
    (inner / "a.nhdr").write_text(text.format("b.raw"))
    (inner / "b.raw").write_bytes(SCAN.astype("<i2").tobytes())
    np.testing.assert_array_equal(np.asarray(open_volume(inner / "a.nhdr").pixels), SCAN)


def test_damaged_nrrd(tmp_path: Path):
    path = write_nrrd(tmp_path / "a.nrrd", SCAN, (1, 1, 1), "left-posterior-superior", encoding="raw")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ImageError, match="cut off"):
        open_volume(path)
    (tmp_path / "b.nrrd").write_text("nothing")
    with pytest.raises(ImageError, match="can't be read as NRRD"):
        open_volume(tmp_path / "b.nrrd")
    huge = write_nrrd(tmp_path / "c.nrrd", SCAN, (1, 1, 1), "left-posterior-superior")
    huge.write_bytes(huge.read_bytes().replace(b"sizes: 30 20 5", b"sizes: 900000 900000 5"))
    with pytest.raises(ImageError, match=r"declares .* GiB of pixels"):
        open_volume(huge)


@pytest.mark.skipif(not FORMATS.is_dir(), reason="needs the files of /work/shared")
def test_a_real_nrrd_is_what_pynrrd_reads():
    path = FORMATS / "volumes" / "pyradiomics" / "brain1_image.nrrd"
    stored, header = nrrd.read(str(path))
    volume = open_volume(path)
    assert volume.pixels.shape == stored.shape[::-1]
    assert sorted(volume.scale) == pytest.approx(sorted(np.linalg.norm(header["space directions"], axis=1)))
    assert np.asarray(volume.pixels).sum(dtype=np.int64) == stored.sum(dtype=np.int64)
