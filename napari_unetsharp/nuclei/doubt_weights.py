"""How much each kind of evidence counts. Written by benchmarks/fit_doubt.py; don't edit.

Weights are of a logistic regression and act on `evidence.TERMS` and `misses.TERMS`; `TYPICAL` is the mean of each
term over nuclei that are right, against which the reason is chosen. Fitted on training images: 4080
nuclei, 1202 of them wrong, and 4791 possible misses, 68 of them real.
"""

BIAS = -4.04

WEIGHTS = {
    "faint": 6.060,
    "unstable": 0.838,
    "depths": 1.865,
    "shallow": 0.356,
    "views": 2.000,
    "small": 0.643,
    "shape": 2.991,
    "centres": 5.600,
    "parts": 0.175,
    "joined": 0.416,
}

TYPICAL = {
    "faint": 0.183,
    "unstable": 0.391,
    "depths": 0.071,
    "shallow": 0.202,
    "views": 0.066,
    "small": 0.047,
    "shape": 0.100,
    "centres": 0.009,
    "parts": 0.027,
    "joined": 0.010,
}

MISS_BIAS = -5.58

MISS_WEIGHTS = {
    "here": 2.465,
    "best": 1.276,
    "views": 0.793,
    "coarse": 1.273,
    "seen": 0.000,
    "small": 1.020,
}
