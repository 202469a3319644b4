"""The errors that this package raises on purpose.

Every message says what was given, what is needed and what to do next, in one sentence: the dock
shows it as it is and the command line prints it and ends with code 2. None of them derives from
``RuntimeError``: napari's generator workers swallow that one without a word.
"""


class UNetSharpError(Exception):
    """Anything that went wrong in a way we can explain in one sentence."""


class ShapeError(UNetSharpError):
    """An array has sides, channels or axes that the network can't take."""


class ImageError(UNetSharpError):
    """A picture can't be read, or holds nothing that can be segmented."""


class CheckpointError(UNetSharpError):
    """A checkpoint file is not what it says, or not one of ours or the published layout."""


class DatasetError(UNetSharpError):
    """A training folder lacks images, labels, or enough of them."""


class DeviceError(UNetSharpError):
    """The device asked for is not there, ran out of memory, or failed in the middle."""


class TrainingError(UNetSharpError):
    """Training can't start or can't go on."""


class SettingsError(UNetSharpError):
    """An option has a value that makes no sense."""


class ReviewError(UNetSharpError):
    """A correction can't be made, or a review can't be opened."""


class NotSavedError(ReviewError):
    """A correction was made and is kept in memory, but the disk didn't take it; the next one tries again."""


class LabelsError(UNetSharpError):
    """Nuclei from a file (labels, outlines or a table) can't be read."""


class SaveError(UNetSharpError):
    """Files can't be written; what was there before is still whole."""


class SlideRunError(UNetSharpError):
    """The folder of a run over a slide is missing, damaged, in use, or belongs to another run."""
