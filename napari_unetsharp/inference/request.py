"""Whether a checkpoint gives what is asked of it."""

from __future__ import annotations

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.inference.tile_pass import ORIENTATIONS
from napari_unetsharp.network.grid import BRANCHES, branches_of_level
from napari_unetsharp.network.unet_sharp import UNetSharpConfig


def checked_branches(config: UNetSharpConfig, level: int, branches: tuple[str, ...] | None) -> tuple[str, ...]:
    """Views to compute, in the order of the grid.

    Parameters
    ----------
    config : UNetSharpConfig
    level : int
    branches : tuple of str, optional
        All that the level gives by default.

    Returns
    -------
    tuple of str
        Branches without a head are left out.

    Raises
    ------
    SettingsError
        If the level or a branch isn't there.
    """
    if not 1 <= level <= config.level:
        raise SettingsError(
            f"depth {level} was asked of a checkpoint of depth {config.level}; choose 1 to {config.level}"
        )
    offered = tuple(name for name in branches_of_level(level) if name in config.heads)
    wanted = offered if branches is None else tuple(name for name in BRANCHES if name in branches)
    unknown = set(branches or ()) - set(offered)
    if unknown or not wanted:
        raise SettingsError(
            f"depth {level} of this checkpoint gives {', '.join(offered) or 'nothing'}"
            f"{', not ' + ', '.join(sorted(unknown)) if unknown else ''}; choose among those"
        )
    return wanted


def check_options(config: UNetSharpConfig, guided: bool, orientations: int) -> None:
    """Refuse test-time options that this network doesn't have.

    Raises
    ------
    SettingsError
        With what there is.
    """
    if guided and not config.guided:
        raise SettingsError("this checkpoint has no guided modules; switch them off")
    if orientations not in ORIENTATIONS:
        raise SettingsError(f"orientations are one of {ORIENTATIONS}, not {orientations!r}")
