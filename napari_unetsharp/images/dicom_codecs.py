"""JPEG that pydicom alone doesn't read: lossless, and 12 bits deep, as many archives of CT and MR keep it.

pydicom takes plug-ins: this module has the names that it asks one for. The decoder is libjpeg-turbo, through
imagecodecs; those that pydicom offers for these syntaxes are under the GPL or don't read 12 bits.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder
from pydicom.uid import JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

from napari_unetsharp.errors import ImageError

DECODER_DEPENDENCIES = dict.fromkeys((JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1), ("imagecodecs",))

_PADDING = 16
"""Bytes that writers add behind the end of a frame, at most."""

_LABEL = "imagecodecs"


def is_available(uid: str) -> bool:
    """Whether a transfer syntax can be decoded here; asked by pydicom."""
    import imagecodecs

    return uid in DECODER_DEPENDENCIES and bool(imagecodecs.JPEG8.available)


def decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    """Decode one frame; called by pydicom, which turns colours into RGB itself.

    Parameters
    ----------
    src : bytes
        One compressed frame.
    runner : DecodeRunner
        What the header says.

    Returns
    -------
    bytes
        Values of 8 or 16 bits, colours interleaved; negative ones with their sign carried through.

    Raises
    ------
    ImageError
        If the frame is cut off.
    """
    import imagecodecs

    check_end(src)
    as_they_are = None if runner.samples_per_pixel == 1 else "RGB"
    values: NDArray[Any] = imagecodecs.jpeg8_decode(src, colorspace=as_they_are, outcolorspace=as_they_are)
    runner.set_option("bits_allocated", 8 * values.dtype.itemsize)
    runner.set_option("planar_configuration", 0)
    if runner.pixel_representation == 1 and runner.bits_stored < 8 * values.dtype.itemsize:
        sign = values.dtype.type(1 << (runner.bits_stored - 1))
        values = ((values & (2 * sign - 1)) ^ sign) - sign  # wraps round to the two's complement
    return values.tobytes()


def check_end(frame: bytes) -> None:
    """Refuse a JPEG frame without its end mark: libjpeg fills what is missing with grey and says nothing.

    Raises
    ------
    ImageError
    """
    if b"\xff\xd9" not in frame[-_PADDING:]:
        raise ImageError("the frame is cut off")


def register() -> None:
    """Tell pydicom about this module, once."""
    for uid in DECODER_DEPENDENCIES:
        decoder = get_decoder(uid)
        if _LABEL not in decoder.available_plugins:
            decoder.add_plugin(_LABEL, (__name__, decode_frame.__name__))
