"""What turns a probability map into nuclei, and is applied again without the network."""

from __future__ import annotations

from dataclasses import dataclass

from napari_unetsharp.errors import SettingsError


@dataclass(frozen=True)
class LabelSettings:
    """What re-applies without the network.

    Attributes
    ----------
    threshold : float
        Probability from which a pixel is a nucleus, within 0..1.
    smallest : int
        Nuclei with fewer pixels are left out.
    split : bool
        Cut touching nuclei apart at their necks.
    """

    threshold: float = 0.5
    smallest: int = 20
    split: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1 or self.smallest < 0:
            raise SettingsError(
                f"the threshold lies between 0 and 1 and the smallest size at 0 or above; got {self.threshold} "
                f"and {self.smallest}"
            )
