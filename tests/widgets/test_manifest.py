"""napari.yaml: found after installation, and everything in it can be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManager, PluginManifest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def manifest():
    return PluginManifest.from_file(ROOT / "napari.yaml")


def test_the_installed_manifest_is_the_one_at_the_root(manifest):
    installed = PluginManifest.from_distribution("napari-unetsharp")
    leave_out = {"package_metadata"}
    assert manifest.model_dump(exclude=leave_out) == installed.model_dump(exclude=leave_out), "install again"
    assert manifest.display_name == "UNet# Segmentation"


def test_every_command_can_be_imported(manifest):
    manifest.validate_imports()


def test_every_stage_is_in_a_menu_of_napari(manifest):
    menus = {menu: [item.command for item in items] for menu, items in manifest.contributions.menus.items()}
    assert menus["napari/layers/segment"] == ["napari-unetsharp.find"]
    assert menus["napari/layers/annotate"] == ["napari-unetsharp.review", "napari-unetsharp.teach"]
    assert menus["napari/layers/visualize"] == ["napari-unetsharp.compare"]


def test_samples_open_in_the_window(make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.open_sample("napari-unetsharp", "immunohistochemistry")
    assert viewer.layers[0].rgb
    viewer.open_sample("napari-unetsharp", "drawn_fluorescence")
    truth = viewer.layers[-1]
    assert truth.data.shape == viewer.layers[-2].data.shape
    assert truth.data.max() == len(np.unique(truth.data)) - 1 > 20


def test_tiff_and_png_stay_with_napari():
    manager = PluginManager.instance()
    for name in ("a.tif", "a.png"):
        assert "napari-unetsharp" not in {reader.plugin_name for reader in manager.iter_compatible_readers([name])}
    assert "napari-unetsharp" in {reader.plugin_name for reader in manager.iter_compatible_readers(["a.dcm"])}


def test_settings_become_the_defaults_of_a_new_window(make_napari_viewer):
    from napari.settings import get_plugin_settings

    from napari_unetsharp.widgets.dock import open_dock
    from napari_unetsharp.widgets.preferences import preferences

    kept = get_plugin_settings("napari-unetsharp").find
    kept.depth, kept.smallest = 2, 33
    try:
        assert preferences().depth == 2
        stage = open_dock(make_napari_viewer()).find
        assert (stage.form.depth.value, stage.label_form.smallest.value) == (2, 33)
    finally:
        kept.depth, kept.smallest = 4, 20


def test_keys_of_review_can_be_changed_in_the_preferences():
    from napari.settings import get_plugin_settings

    from napari_unetsharp.widgets.keys import KEYS
    from napari_unetsharp.widgets.preferences import review_keys

    assert review_keys() == {name: key for name, (key, _) in KEYS.items()}
    kept = get_plugin_settings("napari-unetsharp").keys
    kept.key_add = "B"
    try:
        assert review_keys()["add"] == "B"
    finally:
        kept.key_add = "A"
