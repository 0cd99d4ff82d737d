"""Every series can be told from the others: contrast to the page, colours for the colour-blind, marks."""

from itertools import combinations

import numpy as np
import pytest

from prunescope.report import palette

NETWORKS = [name for name, style in palette.SERIES.items() if style.mark != "stroke"]
# Linear RGB as people without green or without red cones see it (Machado, Oliveira and Fernandes, 2009).
VISION = {
    "normal": np.eye(3),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
}
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def linear(color: str) -> np.ndarray:
    """Linear RGB of a colour of sRGB."""
    channels = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Contrast as WCAG 2 defines it."""
    low, high = sorted(float(XYZ[1] @ linear(color)) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(color: str, vision: np.ndarray) -> np.ndarray:
    """CIELAB of a colour under D65."""
    relative = XYZ @ np.clip(vision @ linear(color), 0, 1) / XYZ.sum(axis=1)
    root = np.where(relative > 216 / 24389, np.cbrt(relative), (24389 / 27 * relative + 16) / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def test_formulas_agree_with_known_values():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)
    np.testing.assert_allclose(lab("#ff0000", VISION["normal"]), [53.24, 80.09, 67.20], atol=0.02)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_series_can_be_read_as_text_and_levels_of_chance_seen_as_lines(theme):
    paper = palette.THEMES[theme]["--paper"]
    for name, style in palette.SERIES.items():
        assert contrast(getattr(style, theme), paper) >= (4.5 if name in NETWORKS else 3), name


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_two_series_look_alike(theme, vision):
    """A distance of 18 in CIELAB is about eight just noticeable differences."""
    for one, other in combinations(NETWORKS, 2):
        seen = [lab(getattr(palette.SERIES[name], theme), VISION[vision]) for name in (one, other)]
        assert np.linalg.norm(seen[0] - seen[1]) >= 18, (one, other)


def test_without_colours_marks_and_dashes_tell_series_apart():
    styles = [palette.SERIES[name] for name in NETWORKS]
    assert len({style.mark for style in styles}) == len({style.dash for style in styles}) == len(styles)
    assert len(set(palette.MARKS)) == len(palette.MARKS)


def test_a_series_looks_the_same_whatever_stands_beside_it():
    alone = palette.styles(["retrained"])
    assert alone == (["var(--retrained)"], ["square"], [[6, 3]])
    for names in (["pruned", "retrained"], ["retrained", "siblings", "x"]):
        place = names.index("retrained")
        assert [part[place] for part in palette.styles(names)] == [part[0] for part in alone]


def test_each_theme_defines_every_variable_of_a_chart():
    for theme in ("light", "dark"):
        names = palette.variables(theme)
        assert {palette.color(name) for name in palette.SERIES} <= {f"var({name})" for name in names}
        assert "--other-seeds" in names and "--ink" in names
