"""What A and B show when nobody has chosen."""

from __future__ import annotations

from collections.abc import Mapping

from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.widgets.compare_sources import CORRECTED, RUN, Choice, Sources

FAST = "x02"
"""Liked for B: much faster than the fullest depth, and worth a look."""


def kept_or_first(sources: Sources, chosen: Mapping[str, Choice]) -> dict[str, Choice]:
    """What was chosen before, as far as it is still there, else what lies nearest.

    Parameters
    ----------
    sources : Sources
        Something of them is ready.
    chosen : mapping of str to Choice
        By letter.

    Returns
    -------
    dict of str to Choice
        A and B at least, in the order of the letters.
    """
    offered = _offered(sources)
    kept = {letter: choice for letter, choice in chosen.items() if choice in offered}
    for letter in "AB":
        if letter not in kept:
            free = [choice for choice in offered if choice not in kept.values()]
            kept[letter] = free[0] if free else offered[0]
    return {letter: kept[letter] for letter in sorted(kept)}


def _offered(sources: Sources) -> list[Choice]:
    """Corrected, the fullest depth, a fast one, then everything else; what is here comes first."""
    run = sources.known.get(RUN)
    depths = [node for node in (() if run is None else run.nodes) if node in BRANCHES and BRANCHES[node].scale == 1]
    ready = [node for node in depths if run is not None and node in run.ready]
    liked = [node for node in (*ready[:1], FAST) if node in depths]
    wished = [Choice(CORRECTED), *(Choice(RUN, node) for node in (*liked, *depths))]
    everything = [Choice(key, node) for key, source in sources.known.items() for node in source.nodes or ("",)]
    offered = [choice for choice in dict.fromkeys((*wished, *everything)) if choice in everything]
    return sorted(offered, key=lambda choice: not sources.is_ready(choice))
