"""The command line: the same predictor, training loop and checkpoints as the window, and the only prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_unetsharp.cli_compare import ManyValues, compare
from napari_unetsharp.cli_evaluate import evaluate
from napari_unetsharp.cli_export import export
from napari_unetsharp.cli_export_model import export_model
from napari_unetsharp.cli_fine_tune import fine_tune
from napari_unetsharp.cli_segment import HELP, segment
from napari_unetsharp.cli_train import train
from napari_unetsharp.errors import CheckpointError, SettingsError
from napari_unetsharp.images.intensity import NORMALISATIONS, Intensity
from napari_unetsharp.terminal import JsonOption

app = typer.Typer(
    name="unetsharp", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Find nuclei with UNet#, train it, and look after its checkpoints.",
)  # fmt: skip


app.command(help=HELP)(segment)
app.command()(evaluate)
app.command(cls=ManyValues)(compare)
app.command()(train)
app.command()(export)
app.command("export-model")(export_model)
app.command("fine-tune")(fine_tune)


@app.command()
def describe(
    checkpoint: Annotated[str, typer.Argument(help="Shipped model by name, or a path.")], as_json: JsonOption = False
) -> None:
    """Say what a checkpoint is: layout, depth, heads, parameters, intensity, training, quality."""
    from napari_unetsharp.network.checkpoint import load_checkpoint
    from napari_unetsharp.network.pruning import prune
    from napari_unetsharp.network.unet_sharp import count_parameters

    loaded = load_checkpoint(checkpoint)
    network, metadata = loaded.network, loaded.metadata
    levels = [level for level in range(1, loaded.config.level + 1) if f"x0{level}" in network.heads]
    facts = {
        "name": metadata.name,
        "sha256": metadata.sha256,
        "layout": metadata.layout,
        "config": loaded.config.as_dict(),
        "heads": list(loaded.config.heads),
        "parameters": count_parameters(network),
        "parameters_per_level": {f"L{level}": count_parameters(prune(network, level)) for level in levels},
        **{key: value for key, value in metadata.as_dict().items() if key not in ("name", "history")},
        "epochs": len(metadata.history),
    }
    if as_json:
        print(json.dumps(facts))
        return
    for key, value in facts.items():
        print(f"{key}: {value if isinstance(value, str) else json.dumps(value)}")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A checkpoint, ours or published.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A new .safetensors file.")],
    normalisation: Annotated[
        str | None, typer.Option(help=f"Of the training images: {', '.join(known.name for known in NORMALISATIONS)}.")
    ] = None,
    nucleus_size: Annotated[float | None, typer.Option(help="Typical diameter of its nuclei in px.")] = None,
    pixel_size: Annotated[float | None, typer.Option(help="Micrometres per pixel of its training images.")] = None,
    level: Annotated[int | None, typer.Option(min=1, max=4, help="Prune to this depth.")] = None,
    half: Annotated[bool, typer.Option(help="Weights in float16.")] = False,
) -> None:
    """Write a checkpoint as safetensors, with what you know about it."""
    from dataclasses import replace

    from napari_unetsharp.network.checkpoint import Checkpoint, load_checkpoint
    from napari_unetsharp.network.pruning import prune

    if target.suffix != ".safetensors" or target.exists():
        reason = "already exists" if target.exists() else "doesn't end in .safetensors"
        raise CheckpointError(f"{target} {reason}; give a new file name that ends in .safetensors")
    known: dict[str, Any] = {"nucleus_size": nucleus_size, "pixel_size": pixel_size}
    known = {key: value for key, value in known.items() if value is not None}
    if normalisation is not None:
        known["intensity"] = _normalisation(normalisation)
    loaded = load_checkpoint(source, **known)
    network = loaded.network if level is None else prune(loaded.network, level)
    metadata = replace(loaded.metadata, name=target.stem, parent=loaded.metadata.sha256)
    Checkpoint(network, metadata).save(target, half)
    print(f"Written to {target}")


def _normalisation(name: str) -> Intensity:
    known = {known.name: known.intensity for known in NORMALISATIONS}
    if name not in known:
        raise SettingsError(f"normalisation {name!r} is unknown; choose one of {', '.join(known)}")
    return known[name]


@app.command()
def doctor() -> None:
    """Versions, the GPU that is seen or why not, and a sentence of advice each."""
    from napari_unetsharp.doctor import findings

    for finding in findings():
        print(f"{finding.subject}: {finding.fact}\n    {finding.advice}")
