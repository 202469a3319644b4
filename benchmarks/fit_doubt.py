"""Fit the weights of doubt on training images, and write napari_unetsharp/nuclei/doubt_weights.py.

    python benchmarks/fit_doubt.py [CHECKPOINT]

Data Science Bowl *train* only. The nuclei of more than one depth are judged, so that the weights don't hang on what one
depth of one checkpoint gets wrong. Every weight is 0 or above. Each kind of evidence on a nucleus has one weight up to
a knot, below which most of its values lie, and another beyond.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from cached_maps import fields, fitting_samples
from numpy.typing import NDArray
from review_truth import verdicts
from scipy.optimize import minimize

from napari_unetsharp.network.checkpoint import load_checkpoint
from napari_unetsharp.nuclei import evidence, misses

TARGET = Path(__file__).parents[1] / "napari_unetsharp" / "nuclei" / "doubt_weights.py"
LEVELS = (4, 3)
MISS_LEVELS = (4, 3, 2)
"""More of them: real ones among the possible misses are rare."""

RIDGE = 0.001
MISS_RIDGE = 0.01
KNOT = 0.7
"""Share of the values of each kind of evidence, of those above 0, that lie below its knot."""

FLOOR = {"views": 2.0}
"""Least weights, by name; 0 for the others. What only the coarse views doubt must not be without doubt."""

Table = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]
"""Terms (n, terms), what is true (n,), and how much each counts (n,)."""


def collect(checkpoint: str) -> tuple[Table, Table]:
    """Tables of nuclei and of possible misses. Each image counts by the square root of its number of rows."""
    nuclei: list[Table] = []
    missed: list[Table] = []
    for field in fields(fitting_samples(), checkpoint):
        for level in MISS_LEVELS:
            found = evidence.gather(field.maps, field.labels, level, field.doubt)
            offered = misses.possible_misses(field.maps, field.labels, level, least=0.0)
            truth = verdicts(found, offered, field.labels[level], field.truth)
            if level in LEVELS:
                nuclei.append((found.terms, truth.wrong, _even(len(found))))
            missed.append((offered.terms, truth.miss > 0, _even(len(offered))))
    return _stacked(nuclei), _stacked(missed)


def _even(count: int) -> NDArray[np.float64]:
    return np.full(count, 1 / np.sqrt(max(1, count)))


def _stacked(tables: list[Table]) -> Table:
    terms, true, counts = (np.concatenate(part) for part in zip(*tables, strict=True))
    return terms, true, counts


def fitted(table: Table, lowest: list[float], ridge: float) -> tuple[NDArray[np.float64], float]:
    """Weights and bias of a logistic regression, ridge on the standardised terms, weights bounded from below."""
    terms, true, counts = table
    spread = terms.std(0) + 1e-6
    columns = np.column_stack([terms / spread, np.ones(len(terms))])
    shares = counts / counts.sum()

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[Any]]:
        logits = columns @ weights
        value = shares @ (np.logaddexp(0, logits) - true * logits) + ridge * weights[:-1] @ weights[:-1]
        slope = (shares * (1 / (1 + np.exp(-logits)) - true)) @ columns
        return float(value), slope + 2 * ridge * np.append(weights[:-1], 0)

    bounds = [(low * width, None) for low, width in zip(lowest, spread, strict=True)]
    found = minimize(loss, np.zeros(columns.shape[1]), jac=True, bounds=[*bounds, (None, None)], method="L-BFGS-B").x
    return found[:-1] / spread, float(found[-1])


def knots_of(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the second weight begins, (terms,)."""
    return np.array([np.quantile(values[values > 0], KNOT) if (values > 0).any() else 1.0 for values in terms.T])


def module(nuclei: Table, missed: Table, images: int, checkpoint: str) -> str:
    """Source of doubt_weights.py."""
    terms, wrong, counts = nuclei
    knots = knots_of(terms)
    pieces = np.column_stack([np.minimum(terms, knots), np.maximum(terms - knots, 0)])
    weights, bias = fitted((pieces, wrong, counts), [FLOOR.get(name, 0.0) for name in evidence.TERMS] * 2, RIDGE)
    miss_weights, miss_bias = fitted(missed, [0.0] * len(misses.TERMS), MISS_RIDGE)
    typical = terms[~wrong].mean(0)
    return f'''"""How much each kind of evidence counts. Written by benchmarks/fit_doubt.py; don't edit.

Weights are of a logistic regression and act on `evidence.TERMS` and `misses.TERMS`: `WEIGHTS` up to the knot,
`WEIGHTS_BEYOND` on what lies beyond it. `TYPICAL` is the mean of each term over nuclei that are right, against which
the reason is chosen.
"""

FITTED_ON = (
    "{images} images of Data Science Bowl train: {len(terms)} nuclei of depths 3 and 4, {wrong.sum()} of them wrong, "
    "and {len(missed[0])} possible misses of depths 2 to 4, {missed[1].sum()} of them real"
)
CHECKPOINT = "{checkpoint}"
"""Its maps were fitted on (first digits of the SHA-256)."""

BIAS = {bias:.2f}

KNOTS = {_written(evidence.TERMS, knots)}

WEIGHTS = {_written(evidence.TERMS, weights[: len(knots)])}

WEIGHTS_BEYOND = {_written(evidence.TERMS, weights[len(knots) :])}

TYPICAL = {_written(evidence.TERMS, typical)}

MISS_BIAS = {miss_bias:.2f}

MISS_WEIGHTS = {_written(misses.TERMS, miss_weights)}
'''


def _written(names: tuple[str, ...], values: NDArray[np.float64]) -> str:
    lines = "".join(f'    "{name}": {value:.3f},\n' for name, value in zip(names, values.tolist(), strict=True))
    return "{\n" + lines + "}"


def main() -> None:
    """Fit and write."""
    checkpoint = sys.argv[1] if len(sys.argv) > 1 else "nuclei"
    sha256 = load_checkpoint(checkpoint).metadata.sha256[:16]
    text = module(*collect(checkpoint), images=len(fitting_samples()), checkpoint=sha256)
    TARGET.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
