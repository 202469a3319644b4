"""What a review knows, to be read by whoever draws, measures or orders."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.nuclei.course import Action, Course
from napari_unetsharp.nuclei.findings import Findings
from napari_unetsharp.nuclei.pixels import Box, PixelChange
from napari_unetsharp.nuclei.reviewed import RIM, reviewed_pixels
from napari_unetsharp.nuclei.states import Nucleus


class Known:
    """Findings, history and notes of a review.

    Attributes
    ----------
    course : Course
    """

    def __init__(self, course: Course) -> None:
        self.course = course

    @property
    def findings(self) -> Findings:
        """Everything that edits read; change it by `apply` only."""
        return self.course.findings

    @property
    def labels(self) -> NDArray[np.int32]:
        """Corrected labels, (Y, X); always the same array, changed in place."""
        return self.findings.labels

    @property
    def proposals(self) -> NDArray[np.int32]:
        """What the last run gave, (Y, X)."""
        return self.findings.proposals

    @property
    def ignored(self) -> NDArray[np.bool_]:
        """Regions that are not for training, (Y, X)."""
        return self.findings.ignored

    @property
    def nuclei(self) -> dict[int, Nucleus]:
        """All nuclei by id, those that were declared none included."""
        return self.findings.nuclei

    @property
    def rejected(self) -> dict[int, PixelChange]:
        """Outlines of nuclei that were declared none; `mask()` and `box` give their pixels."""
        return self.findings.rejected

    @property
    def boxes(self) -> dict[int, Box]:
        """Box of each nucleus that has pixels."""
        return self.findings.boxes

    @property
    def areas(self) -> dict[int, int]:
        """Number of pixels of each nucleus that has any."""
        return self.findings.areas

    @property
    def views(self) -> list[Box]:
        """Completed views."""
        return self.findings.views

    @property
    def next_id(self) -> int:
        """The id that the next new nucleus gets."""
        return self.findings.next_id

    @property
    def history(self) -> list[Action]:
        """All actions in order, undo and redo included."""
        return self.course.history

    def reviewed_pixels(self, rim: int = RIM) -> NDArray[np.bool_]:
        """Pixels whose corrected label can be trusted, (Y, X); see `reviewed.reviewed_pixels`."""
        return reviewed_pixels(self.findings, rim)

    @property
    def notes(self) -> dict[str, list[Any]]:
        """What was remembered, by topic, in order."""
        return self.course.notes
