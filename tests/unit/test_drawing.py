"""Colours of figures, as readers without red or green cones see them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from hyperreps.results.drawing import FIXED, PALETTES, method_colours

# linear RGB as it is seen: Machado, Oliveira and Fernandes 2009, severity 1
SEEN = {
    "all cones": np.eye(3),
    "no red cones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green cones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)
WHITE = np.array([0.9505, 1, 1.089])
# of CIELAB; about 2 is the least that is noticed
APART = 15


def lab(colour: str, seen: np.ndarray) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x = XYZ @ np.clip(np.array(seen) @ linear, 0, 1) / WHITE
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN)
def test_any_two_colours_of_methods_are_told_apart(seen: np.ndarray) -> None:
    colours = [colour for family in PALETTES.values() for colour in family]
    for one, other in combinations(colours, 2):
        distance = np.linalg.norm(lab(one, seen) - lab(other, seen))
        assert distance > APART, (one, other)


def test_a_method_has_one_colour_in_all_company() -> None:
    fixed = [method for family in FIXED.values() for method in family]
    together = method_colours(["S_U", *fixed, "interpolation_top30"])
    assert len(set(together.values())) == len(together)
    for method in fixed:
        others = ["S_GAN30", "S_Neigh30", "B_F", "B_F_epoch", "mean_top30_aligned"]
        company = method_colours([*others, method])
        assert company[method] == together[method]
        assert len(set(company.values())) == len(company)


def test_a_family_with_more_methods_than_colours_begins_again() -> None:
    many = [f"S_{number}" for number in range(2 * len(PALETTES["S_"]))]
    assert set(method_colours(many).values()) == set(PALETTES["S_"])
