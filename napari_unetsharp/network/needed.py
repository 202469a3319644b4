"""Which nodes some branches need. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Iterable

from napari_unetsharp.network.grid import NODES


def needed_nodes(branches: Iterable[str]) -> tuple[str, ...]:
    """Nodes from which branches are computed, in order of evaluation.

    Parameters
    ----------
    branches : iterable of str
        Names of nodes.

    Returns
    -------
    tuple of str
        The branches themselves and all that they read, at any remove.
    """
    wanted, found = list(branches), set[str]()
    while wanted:
        name = wanted.pop()
        if name not in found:
            found.add(name)
            wanted += [link.source for link in NODES[name].inputs]
    return tuple(name for name in NODES if name in found)
