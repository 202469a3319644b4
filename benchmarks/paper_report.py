"""The page: everything measured, beside what is printed, written from the record alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from paper_printed import BATCH, FIGURE_7, IOU, MORE_THAN_UNET, NEIGHBOURS, PARAMETERS, PASSES, PUBLIC_CODE, TABLE_2
from paper_rows import ROWS

Entry = dict[str, Any]
HEAD = """# The UNet# paper, side by side

Written by `benchmarks/paper.py` from `benchmarks/paper.jsonl`; change neither by hand. Every network is a wiring of the
same grid, built from the same blocks, started from the same weights where layers correspond, and trained on the same
samples in the same order. "Printed" columns are the paper's and nobody here measured them; a dash is what was not
printed or not run yet. Time is not compared: upsampled maps go through the fast evaluation of UNet#, which is the same
function, wherever a wiring has any.
"""
DIFFERENCES = """## What differs from the paper

- The split keeps the tiles of a field together (the paper draws at random), and the images of the hidden test part are
  missing.
- Nothing is selected by validation: the last step is measured. The public code keeps the best epoch on the validation
  images.
- Deep heads of UNet3+ are supervised at their own scale like those of UNet#, where its authors upsample them first.
- UNet3+ gathers 64 channels per source, 320 in all, as its own paper does; the public code of UNet# has 32 and 160.
- The focal loss is per pixel, and the Lovász hinge is one, per image (see `training/losses.py`).
- Augmentation: quarter turns, mirrors, then one of hue, saturation and value / brightness / contrast, in the ranges of
  the public code's library; images resized bilinearly without smoothing, as there; a resized mask pixel is a nucleus
  above a half.
- In our protocol (*native*): crops at native resolution, percentiles 1 and 99.8 of an image as its range, pixels where
  two nuclei touch taken out of the truth; whole images at validation, threshold 0.5, `label_nuclei` as it comes.
"""


def page(entries: list[Entry]) -> str:
    """Markdown from the lines of the record."""
    rows = [entry for entry in entries if entry["kind"] == "row"]
    groups = (_group(group, _yardstick(group[0], entries)) for group in _groups(rows))
    parts = [HEAD, _counts(), *groups, _contradictions(entries), DIFFERENCES]
    return "\n".join(part for part in parts if part).rstrip() + "\n"


def _groups(rows: list[Entry]) -> list[list[Entry]]:
    """Rows that can be compared: of one protocol, schedule and kind of device; the longest schedule first."""
    groups: dict[str, list[Entry]] = {}
    for entry in rows:
        groups.setdefault(str((entry["protocol"], entry["schedule"], entry["device"])), []).append(entry)
    return sorted(groups.values(), key=lambda group: (group[0]["protocol"] != "paper", -_samples(group[0])))


def _samples(entry: Entry) -> float:
    schedule = entry["schedule"]
    return float(schedule["width"] * schedule["steps"] * schedule["batch"])


def _counts() -> str:
    lines = ["## Parameters", "", "| network | printed, M | counted |", "|---|---|---|"]
    for name, row in ROWS.items():
        printed = f"{PARAMETERS[name]:.2f}" if name in PARAMETERS else "–"
        lines.append(f"| {row.title} | {printed} | {row.parameters():,} |")
    return "\n".join([*lines, ""])


def _yardstick(row: Entry, entries: list[Entry]) -> dict[str, dict[str, float]]:
    """What goes without a network on the images that this row was measured on."""
    key = {"kind": "yardstick", "protocol": row["protocol"]} | {
        name: row["schedule"][name] for name in ("size", "every")
    }
    return next((entry["measured"] for entry in entries if key.items() <= entry.items()), {})


def _group(group: list[Entry], yardstick: dict[str, dict[str, float]]) -> str:
    first = group[0]
    native = first["protocol"] == "native"
    tables = [_native_table(group)] if native else [_table_1(group), _figure_7(group), _guided(group)]
    tables.insert(1, _without_network(group, yardstick))
    return "\n".join([_heading(first), _schedule(group), *(table for table in tables if table)])


def _heading(first: Entry) -> str:
    names = {
        "paper": "The paper's protocol, split by field", "random": "The paper's protocol, split at random",
        "native": "Our protocol: native crops, whole native images, nuclei",
    }  # fmt: skip
    schedule = first["schedule"]
    return f"## {names[first['protocol']]}: {schedule['steps']} steps of {schedule['batch']}\n"


def _schedule(group: list[Entry]) -> str:
    first = group[0]
    schedule, (training, validation) = first["schedule"], first["images"]
    passes = schedule["steps"] * schedule["batch"] / training
    text = (
        f"{schedule['steps']} steps of {schedule['batch']} samples of {schedule['size']} px: {passes:.2g} passes over "
        f"{training} training images (the paper: {PASSES} passes, {BATCH} samples per step); "
        f"{validation} validation images."
    )
    if passes < PASSES or schedule["width"] != 1:
        text += " **Preliminary:** so few steps show how fast a network begins to learn, not how good it becomes."
    if schedule["width"] != 1:
        text += f" **All networks have {schedule['width']:g} times the published widths.**"
    seeds = sorted({entry["seed"] for entry in group})
    text += f" Seeds: {', '.join(map(str, seeds))}."
    text += f" {_same(group, 'batches_checksum', 'batches')} {_same(group, 'code', 'code')}"
    runs = sorted({f"{entry['machine']}, {entry['device']}, {entry['threads']} thread(s), torch {entry['torch']}, "
                   f"commit {entry['commit']}, {entry['when'][:10]}" for entry in group})  # fmt: skip
    return f"{text}\n\nRun on {'; '.join(runs)}.\n"


def _same(group: list[Entry], key: str, word: str) -> str:
    differing = [
        seed for seed in {entry["seed"] for entry in group}
        if len({entry[key] for entry in group if entry["seed"] == seed}) > 1
    ]  # fmt: skip
    return f"All rows of a seed had the same {word}." if not differing else f"**Rows differ in their {word}.**"


def _table_1(group: list[Entry]) -> str:
    lines = [
        "### Table 1, DSB 2018 (percent)", "",
        "| network | IoU printed | IoU pooled | IoU, mean of images | Dice of masks, pooled | soft Dice, pooled "
        "| average of heads: IoU pooled | last loss | CPU s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, row in ROWS.items():
        mine = [entry for entry in group if entry["row"] == name]
        printed = f"{IOU[name]:.2f}" if name in IOU else "–"
        cells = [_over(mine, _of_result(key)) for key in ("iou_pooled", "iou", "dice_pooled", "dice_soft_pooled")]
        cells.append(_over(mine, _of("average", "iou_pooled")))
        cells.append(_over(mine, lambda entry: entry["last_loss"], 1, 3))
        cells.append(_over(mine, lambda entry: entry["cpu_seconds"], 1, 0))
        lines.append(f"| {row.title} | {printed} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _without_network(group: list[Entry], yardstick: dict[str, dict[str, float]]) -> str:
    if not yardstick:
        return ""
    otsu, everything = (100 * yardstick[name]["iou_pooled"] for name in ("otsu", "everything"))
    results = {entry["title"]: 100 * entry["measured"][entry["output"]]["iou_pooled"] for entry in group}
    below = [title for title, iou in results.items() if iou < otsu]
    text = (
        f"Without a network, on the same images, pooled IoU: one Otsu threshold per image {otsu:.2f}, every pixel a "
        f"nucleus {everything:.2f}."
    )
    if below:
        text += f" **Not yet better than Otsu, so nothing can be said of them: {', '.join(below)}.**"
    return f"{text}\n"


def _figure_7(group: list[Entry]) -> str:
    trained = {4: "unet#_ds", 3: "unet#_l3", 2: "unet#_l2", 1: "unet#_l1"}
    if not any(entry["row"] in trained.values() for entry in group):
        return ""
    lines = [
        "### Fig. 7: pruned after training (embedded) and trained alone (isolated), IoU pooled (percent)", "",
        "Printed values were read off bars without a legend.", "",
        "| level trained | " + " | ".join(f"L{level} printed | L{level}" for level in (1, 2, 3, 4)) + " |",
        "|---|" + "---|" * 8,
    ]  # fmt: skip
    for level, name in trained.items():
        mine = [entry for entry in group if entry["row"] == name]
        cells = []
        for used in (1, 2, 3, 4):
            printed = FIGURE_7[level].get(used)
            cells += [
                f"{printed:.2f}" if printed else "",
                _over(mine, _of(f"x0{used}", "iou_pooled")) if printed else "",
            ]
        lines.append(f"| L{level} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _guided(group: list[Entry]) -> str:
    mine = [entry for entry in group if entry["row"] == "unet#_ds_cgm"]
    if not mine:
        return ""
    raw, gated = _over(mine, _of_result("iou_pooled")), _over(mine, _of("gated", "iou_pooled"))
    return (
        f"Guided modules: IoU {raw} before and {gated} after they gate the result. Every image of this set holds "
        "nuclei, so here they can only take something away; they are for empty tissue, which is not measured here.\n"
    )


def _native_table(group: list[Entry]) -> str:
    keys = ("pq", "pq_pooled", "aji", "f1_50", "f1_50_pooled", "iou", "iou_pooled", "dice")
    lines = [
        "Percent; by itself a name is the mean over images, *pooled* is over all nuclei or pixels.", "",
        f"| network | {' | '.join(key.replace('_pooled', ', pooled') for key in keys)} | found | missed | false |",
        "|---|" + "---|" * (len(keys) + 3),
    ]  # fmt: skip
    for name, row in ROWS.items():
        mine = [entry for entry in group if entry["row"] == name]
        if not mine:
            continue
        cells = [_over(mine, _of_result(key)) for key in keys]
        cells += [_over(mine, _of_result(key), 1, 0) for key in ("found", "missed", "false")]
        lines.append(f"| {row.title} | {' | '.join(cells)} |")
        lines += [
            f"| · its {node} | {' | '.join(_over(mine, _of(node, key)) for key in keys)} | "
            + " | ".join(_over(mine, _of(node, key), 1, 0) for key in ("found", "missed", "false")) + " |"
            for node in ("x03", "x02", "x01") if node in mine[0]["measured"] and node != mine[0]["output"]
        ]  # fmt: skip
    return "\n".join([*lines, ""])


def _of(node: str, key: str) -> Callable[[Entry], float | None]:
    return lambda entry: entry["measured"].get(node, {}).get(key)


def _of_result(key: str) -> Callable[[Entry], float | None]:
    return lambda entry: _of(entry["output"], key)(entry)


def _over(entries: list[Entry], value: Callable[[Entry], float | None], factor: float = 100, digits: int = 2) -> str:
    """Mean over seeds, with the standard deviation where there are several; a dash without any."""
    values = [factor * number for number in map(value, entries) if number is not None]
    if not values:
        return "–"
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def _contradictions(entries: list[Entry]) -> str:
    lines = ["## Where the printed figures contradict each other", "", *_about_dice(entries), *_about_counts()]
    parts = [entry for entry in entries if entry["kind"] == "split"]
    here = (
        f"; counted here over random splits of the {sum(parts[-1]['images'].values())} public images: "
        f"{100 * parts[-1]['share_with_neighbour']:.0f} %" if parts else ""
    )  # fmt: skip
    others = ", ".join(
        f"{value:.1f} % for {ROWS[name].title} (Table 1: {IOU[name]:.2f} %)" for name, value in PUBLIC_CODE.items()
    )
    gaps = [IOU[name] - value for name, value in PUBLIC_CODE.items()]
    spread = max(IOU.values()) - min(IOU.values())
    lines += [
        "- **The split leaks.** Most images are tiles of larger fields. In the random split of the public code "
        f"{NEIGHBOURS} % of the validation images have a tile of the same field in training{here}. A network that "
        "remembers a field is rewarded.",
        "- **The same code prints other numbers.** The public UNet++ code, which the authors' repository names as a "
        f"reference, with the same resize and the same IoU, prints {others}. The gaps of {min(gaps):.1f} to "
        f"{max(gaps):.1f} points are not explained; all networks of Table 1 lie within {spread:.1f} points.",
        f"- Fig. 7 gives {FIGURE_7[4][4]:.2f} % at L4 (read off), Table 1 {IOU['unet#_ds']:.2f} %, for one network.",
        "",
    ]
    return "\n".join(lines)


def _about_dice(entries: list[Entry]) -> list[str]:
    """Dice of a mask is 2 IoU / (1 + IoU), never below the IoU."""
    lines = [
        "- **Dice below IoU.** Of two masks Dice = 2 IoU / (1 + IoU), which is never below the IoU, image by image or "
        "pooled. Table 2 prints it below in every row:", "",
        "  | network | IoU printed | Dice printed | Dice that follows from the IoU |", "  |---|---|---|---|",
    ]  # fmt: skip
    for name, (iou, dice) in TABLE_2.items():
        lines.append(f"  | {name} | {iou:.2f} | {dice:.2f} | {200 * iou / (100 + iou):.2f} |")
    lines += ["", "  The authors' public code computes a soft Dice of probabilities, which is another quantity."]
    measured = [entry for entry in entries if entry["kind"] == "row" and entry["protocol"] == "paper"]
    if measured:
        longest = max(measured, key=lambda entry: (_samples(entry), _of_result("iou_pooled")(entry)))
        values = longest["measured"][longest["output"]]
        lines[-1] += (
            f" Measured here for one network ({longest['title']}, {longest['schedule']['steps']} steps): IoU "
            f"{100 * values['iou_pooled']:.2f}, Dice of masks {100 * values['dice_pooled']:.2f}, soft Dice "
            f"{100 * values['dice_soft_pooled']:.2f}."
        )
    return lines


def _about_counts() -> list[str]:
    """What can be counted from the description of the networks."""
    counted = {name: f"{row.parameters():,}" for name, row in ROWS.items()}
    printed = {name: f"{millions:.2f} M" for name, millions in PARAMETERS.items()}
    return [
        f"- **{printed['unet#']} parameters.** UNet# has {counted['unet#']} with one head, {counted['unet#_ds']} with "
        f"all eight, and {counted['unet#_ds_conv']} with Eq. 1 taken by the letter; none is {printed['unet#']}, while "
        f"L1 to L3 ({counted['unet#_l1']}, {counted['unet#_l2']} and {counted['unet#_l3']} here, with all their heads) "
        f"agree with print. The text calls this {MORE_THAN_UNET:.2f} M more than U-Net; the printed counts differ by "
        f"{PARAMETERS['unet#'] - PARAMETERS['unet']:.2f} M.",
        f"- U-Net, wide U-Net and UNet++ come out as printed ({counted['unet']}, {counted['wide_unet']}, "
        f"{counted['unet++']}) from blocks of two convolutions at 32 to 512 channels (35 to 560), so the "
        '"VGG11 backbone" of Table 1\'s caption can mean nothing else. '
        f"UNet3+ has {counted['unet3+']} with its own paper's 64 channels per source and {counted['unet3+32_ds']} "
        f"(five heads) with the 32 of the public code of UNet#; printed is {printed['unet3+']}.",
    ]
