"""Figures as printed by others: nothing here was measured by us."""

from __future__ import annotations

PARAMETERS = {
    "unet": 7.85, "wide_unet": 9.39, "unet++": 9.16, "unet++_ds": 9.16, "unet3+": 9.79, "unet3+_ds": 9.79,
    "unet#": 9.71, "unet#_ds": 9.71, "unet#_l1": 0.10, "unet#_l2": 0.56, "unet#_l3": 2.53,
}  # fmt: skip
"""Millions, by row: UNet#, Table 1 and Sec. 3.4.3."""

MORE_THAN_UNET = 1.68
"""Millions by which UNet# is larger than U-Net: UNet#, text of Sec. 3.4.1."""

IOU = {
    "unet": 90.15, "wide_unet": 90.27, "unet++": 92.02, "unet++_ds": 91.98, "unet3+": 91.96, "unet3+_ds": 92.15,
    "unet#": 92.53, "unet#_ds": 92.67,
}  # fmt: skip
"""Percent, DSB 2018, by row: UNet#, Table 1."""

FIGURE_7 = {
    4: {1: 91.60, 2: 92.40, 3: 92.45, 4: 92.63},
    3: {1: 91.46, 2: 91.87, 3: 92.41},
    2: {1: 89.35, 2: 91.13},
    1: {1: 88.81},
}
"""Percent, by the level trained and the level used: read off the bars of the authors' plots, which have no legend."""

TABLE_2 = {
    "U-Net, VGG16": (90.12, 86.94), "UNet#, VGG16": (92.82, 89.60), "U-Net, ResNet101": (91.52, 89.43),
    "UNet#, ResNet101": (93.56, 90.78), "Mask R-CNN#, VGG16": (94.89, 91.37), "Mask R-CNN#, ResNet101": (95.87, 92.25),
}  # fmt: skip
"""IoU and Dice in percent: UNet#, Table 2."""

PUBLIC_CODE = {"unet": 83.9, "unet++": 84.2, "unet++_ds": 84.3}
"""Percent: README of the public UNet++ code (4uiiurz1/pytorch-nested-unet), which the authors' repository lists as a
reference, with the same resize and the same metric."""

NEIGHBOURS = 82
"""Percent of the validation images of that code's split with a tile of the same field in training, over all 670."""

PASSES, BATCH = 100, 128
"""Passes over the training images and samples per step: UNet#, Sec. 3.3."""
