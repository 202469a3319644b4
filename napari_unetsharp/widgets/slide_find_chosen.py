"""Results that a person opened as a folder: made by the command, or copied from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from weakref import ref

from napari.layers import Image as ImageLayer

from napari_unetsharp.errors import SlideRunError
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.slides.preparing import runs_in
from napari_unetsharp.widgets.slide_layers import slide_of

if TYPE_CHECKING:
    from napari_unetsharp.slides.about import RunAbout
    from napari_unetsharp.widgets.find import FindStage


class ChosenRuns:
    """Opens the slides of such folders, and remembers which folder to show on which.

    Parameters
    ----------
    stage : FindStage
    """

    def __init__(self, stage: FindStage) -> None:
        self._stage = ref(stage)
        self._folders: dict[str, Path] = {}

    def take(self, slide: Slide) -> Path | None:
        """The folder that is to be shown on a slide, once; None where none was chosen."""
        return self._folders.pop(slide.identity, None) if self._folders else None

    def waits(self, slide: Slide) -> bool:
        """Whether nobody has taken it yet."""
        return slide.identity in self._folders

    def open(self, folder: Path) -> ImageLayer | None:
        """Open the slide that the results in a folder are of, unless it is open.

        Parameters
        ----------
        folder : Path

        Returns
        -------
        Image layer or None
            None where the slide can't be opened, which was said then.

        Raises
        ------
        SlideRunError
            If the results can't be read, or are of another slide than the one that is there now.
        """
        stage, about = self._stage(), described(folder)
        if stage is None:
            return None
        self._folders = {about.identity: folder}
        layer = self._layer_of(about)
        if layer is None:
            stage.open_image(about.path)
            layer = self._layer_of(about)
        if layer is None:
            self._folders = {}
            if not stage.message.is_problem:
                raise SlideRunError(
                    f"{folder} holds results of another slide than {about.path} is now; run over it again"
                )
        return layer

    def _layer_of(self, about: RunAbout) -> ImageLayer | None:
        stage = self._stage()
        for layer in [] if stage is None else stage.viewer.layers:
            slide = slide_of(layer)
            if slide is not None and isinstance(layer, ImageLayer) and slide.identity == about.identity:
                return layer
        return None


def described(folder: Path) -> RunAbout:
    """What a folder with results says about itself, if its slide is still there.

    Raises
    ------
    SlideRunError
    """
    known = runs_in([folder])
    if not known:
        raise SlideRunError(f"{folder} holds no results of a slide that can be read; open the slide itself")
    if not Path(known[0].path).exists():
        raise SlideRunError(
            f"the slide of the results in {folder} isn't at {known[0].path} any more; put it back there, then open the "
            "folder again"
        )
    return known[0]
