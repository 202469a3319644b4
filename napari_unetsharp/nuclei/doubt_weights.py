"""How much each kind of evidence counts. Written by benchmarks/fit_doubt.py; don't edit.

Weights are of a logistic regression and act on `evidence.TERMS` and `misses.TERMS`: `WEIGHTS` up to the knot,
`WEIGHTS_BEYOND` on what lies beyond it. `TYPICAL` is the mean of each term over nuclei that are right, against which
the reason is chosen.
"""

FITTED_ON = (
    "203 images of Data Science Bowl train: 15013 nuclei of depths 3 and 4, 2921 of them wrong, "
    "and 9676 possible misses of depths 2 to 4, 231 of them real"
)
CHECKPOINT = "27947f279ca203af"
"""Its maps were fitted on (first digits of the SHA-256)."""

BIAS = -5.00

KNOTS = {
    "faint": 0.205,
    "unstable": 0.400,
    "depths": 0.071,
    "shallow": 0.215,
    "views": 0.069,
    "small": 0.237,
    "large": 0.372,
    "shape": 0.163,
    "centres": 0.062,
    "parts": 0.333,
    "joined": 0.333,
}

WEIGHTS = {
    "faint": 10.768,
    "unstable": 0.228,
    "depths": 1.357,
    "shallow": 0.000,
    "views": 2.000,
    "small": 3.144,
    "large": 0.592,
    "shape": 0.014,
    "centres": 1.170,
    "parts": 0.519,
    "joined": 2.714,
}

WEIGHTS_BEYOND = {
    "faint": 2.821,
    "unstable": 1.920,
    "depths": 1.811,
    "shallow": 0.000,
    "views": 2.000,
    "small": 0.456,
    "large": 2.040,
    "shape": 8.440,
    "centres": 13.387,
    "parts": 0.000,
    "joined": 0.000,
}

TYPICAL = {
    "faint": 0.158,
    "unstable": 0.300,
    "depths": 0.058,
    "shallow": 0.143,
    "views": 0.062,
    "small": 0.039,
    "large": 0.140,
    "shape": 0.099,
    "centres": 0.009,
    "parts": 0.024,
    "joined": 0.013,
}

MISS_BIAS = -5.74

MISS_WEIGHTS = {
    "here": 3.732,
    "best": 1.653,
    "views": 0.381,
    "coarse": 0.097,
    "seen": 0.000,
    "small": 1.536,
}
