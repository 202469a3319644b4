"""The command line: the same predictor, training loop and checkpoints as the window, and the only prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_unetsharp.errors import CheckpointError, SettingsError, TrainingError

app = typer.Typer(
    name="unetsharp", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Find nuclei with UNet#, train it, and look after its checkpoints.",
)  # fmt: skip

NORMALISATIONS = ("imagenet", "zero-one", "minus-one-one", "per-image")

CheckpointOption = Annotated[str, typer.Option("--checkpoint", "-c", help="Shipped model by name, or a path.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command()
def segment(
    images: Annotated[list[Path], typer.Argument(help="Pictures: TIFF, PNG, JPEG or DICOM.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", show_default=False)],
    checkpoint: CheckpointOption = "nuclei",
    level: Annotated[int | None, typer.Option(min=1, max=4, help="Depth: 1 fastest, 4 fullest.")] = None,
    all_levels: Annotated[bool, typer.Option("--all-levels", help="Labels of every depth up to it.")] = False,
    branches: Annotated[bool, typer.Option("--branches", help="Probability maps of every branch as well.")] = False,
    threshold: Annotated[float, typer.Option(help="Probability from which a pixel is a nucleus.")] = 0.5,
    smallest: Annotated[int, typer.Option(help="Nuclei of fewer pixels are left out.")] = 20,
    split: Annotated[bool, typer.Option(help="Cut touching nuclei apart.")] = True,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Write a labels TIFF per image (STEM_L4.tif), and report.json."""
    from napari_unetsharp.inference.batch import BatchJob, segment_files
    from napari_unetsharp.inference.predictor import Predictor
    from napari_unetsharp.network.checkpoint import load_checkpoint
    from napari_unetsharp.nuclei.instances import LabelSettings

    settings = LabelSettings(threshold, smallest, split)
    loaded = load_checkpoint(checkpoint)
    depth = level or loaded.config.level
    job = BatchJob(out, depth, all_levels, branches, settings)
    predictor = Predictor(loaded, device, depth, job.wanted(loaded.config.heads))
    with _progress() as show:
        report = segment_files(images, predictor, job, show)
    if as_json:
        print(json.dumps(report))
    else:
        _print_report(report, out)
    failed = [entry for entry in report["images"] if entry["error"]]
    if failed:
        typer.echo(f"{len(failed)} of {len(report['images'])} failed: {failed[0]['error']}", err=True)
        raise typer.Exit(2)


def _print_report(report: dict[str, Any], out: Path) -> None:
    for entry in report["images"]:
        if entry["error"]:
            continue
        counts = ", ".join(f"{count:,} nuclei at {level}" for level, count in entry["nuclei"].items())
        print(f"{entry['input']}: {counts} ({entry['seconds']} s)")
        for warning in entry["warnings"]:
            print(f"  {warning}")
    print(f"Written to {out}")


def _progress() -> Any:
    """A bar with rate and time left on standard error."""
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    @contextmanager
    def bar() -> Any:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("", total=None)

            def show(text: str, done: float, total: float) -> None:
                progress.update(task, description=text, completed=done, total=total)

            yield show

    return bar()


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
        str | None, typer.Option(help=f"Of the training images: {', '.join(NORMALISATIONS)}.")
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


def _normalisation(name: str) -> Any:
    from napari_unetsharp.images.intensity import PUBLISHED, Intensity

    known = {
        "imagenet": PUBLISHED,
        "zero-one": Intensity("range", mean=(0.0,), deviation=(1.0,)),
        "minus-one-one": Intensity("range", mean=(0.5,), deviation=(0.5,)),
        "per-image": Intensity(),
    }
    if name not in known:
        raise SettingsError(f"normalisation {name!r} is unknown; choose one of {', '.join(NORMALISATIONS)}")
    return known[name]


@app.command()
def train(
    dataset: Annotated[
        Path, typer.Argument(help="images/ + labels/, ID/images + ID/masks, or train/ and val/ of these.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Checkpoint to write (.safetensors).")],
    validation: Annotated[Path | None, typer.Option(help="Dataset that selects the epoch kept.")] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 100,
    crops: Annotated[int, typer.Option(min=0, help="Crops per epoch; 0: one per image.")] = 0,
    batch: Annotated[int, typer.Option(min=1)] = 8,
    crop: Annotated[int, typer.Option(min=16, help="Side in px, divisible by 16.")] = 128,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    level: Annotated[int, typer.Option(min=1, max=4, help="4: everything, pruned later; else this depth alone.")] = 4,
    guided: Annotated[bool, typer.Option(help="Train the classification-guided modules too.")] = False,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    device: DeviceOption = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many GPUs.")] = 1,
    precision: Annotated[str, typer.Option(help="As Lightning Fabric names it.")] = "32-true",
) -> None:
    """Train on a folder of images and instance maps; stop it and give the same command to go on."""
    from napari_unetsharp.network.metadata import CheckpointMetadata
    from napari_unetsharp.training.fit import fit
    from napari_unetsharp.training.recipe import Recipe
    from napari_unetsharp.training.samples import find_split

    if out.suffix != ".safetensors":
        raise SettingsError(f"{out} doesn't end in .safetensors; give a file name that does")
    if out.exists() and not out.with_name(f"{out.name}.resume").exists():
        raise TrainingError(f"{out} already exists and no training of it was interrupted; give another --out")
    recipe = Recipe(
        epochs=epochs, crops_per_epoch=crops, batch=batch, crop=crop, rate=rate, level=level, guided=guided, seed=seed
    )
    training, aside = find_split(dataset, validation, seed)
    print(f"{len(training)} images to train on, {len(aside)} to select by")
    metadata = CheckpointMetadata(out.stem, crop=crop)
    try:
        with _progress() as show:
            for report in fit(training, aside, out, recipe, metadata, device, devices, precision):
                _show_report(report, show)
    except KeyboardInterrupt:
        kept = f" The best epoch so far is {out}" if out.exists() else " No epoch was finished yet."
        print(f"Stopped; give the same command to go on.{kept}")
        return
    print(f"Written to {out}")


def _show_report(report: Any, show: Any) -> None:
    from napari_unetsharp.training.fit import StepReport

    if isinstance(report, StepReport):
        left = f"{report.seconds_left / 60:.0f} min left"
        show(f"epoch {report.epoch} · loss {report.loss:.3f} · {left}", report.step, report.steps)
        return
    levels = " ".join(f"{node} {value:.3f}" for node, value in report.iou.items() if node.startswith("x0"))
    losses = " ".join(f"{node} {value:.2f}" for node, value in report.branches.items())
    print(
        f"epoch {report.epoch}/{report.epochs} · loss {report.loss:.3f} ({losses}) · validation IoU {levels}"
        f"{' · best' if report.best else ''}",
        flush=True,
    )


@app.command()
def doctor() -> None:
    """Versions, the GPU that is seen or why not, and a sentence of advice each."""
    from napari_unetsharp.doctor import findings

    for finding in findings():
        print(f"{finding.subject}: {finding.fact}\n    {finding.advice}")
