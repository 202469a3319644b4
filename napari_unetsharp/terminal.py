"""What the commands share: options, and a bar on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

CheckpointOption = Annotated[str, typer.Option("--checkpoint", "-c", help="Shipped model by name, or a path.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
LevelOption = Annotated[int | None, typer.Option(min=1, max=4, help="Depth: 1 fastest, 4 fullest.")]
ThresholdOption = Annotated[float, typer.Option(help="Probability from which a pixel is a nucleus.")]
SmallestOption = Annotated[int, typer.Option(help="Nuclei of fewer pixels are left out.")]
SplitOption = Annotated[bool, typer.Option(help="Cut touching nuclei apart.")]
SizeOption = Annotated[
    float | None, typer.Option("--nucleus-size", help="Diameter of a typical nucleus in px; estimated if not given.")
]
OrientationsOption = Annotated[int, typer.Option(help="Average 1, 2, 4 or 8 mirrored and turned views of each tile.")]
AccurateOption = Annotated[bool, typer.Option("--accurate", help="Average all branches (slower than one).")]
GuidedOption = Annotated[bool, typer.Option("--guided", help="Clear regions where the guided modules see no nuclei.")]
PrecisionOption = Annotated[
    str, typer.Option(help="float32, half (bfloat16 on a CPU, else float16), or auto: half if the CPU has it.")
]

Show = Callable[[str, float, float], None]


@contextmanager
def progress_bar() -> Iterator[Show]:
    """Show a bar with counts and time left, gone at the end; nothing where standard error is no terminal.

    Yields
    ------
    callable
        Takes a text, and how many of how many.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def show(text: str, done: float, total: float) -> None:
            progress.update(task, description=text, completed=done, total=total)

        yield show
