"""Figures for papers: the charts of an experiment's page, with captions, and tables in LaTeX.

Figures have no titles, because papers have captions. Each shows what the page shows first: the last
round and all seeds. `prunescope.report.names.FIGURES` lists them.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path

import pandas as pd

from prunescope.files import atomic_path
from prunescope.report import paper, vega
from prunescope.report.base import ANY, Chart
from prunescope.report.names import FIGURES, file_name
from prunescope.report.page import Page, shown


@dataclass(frozen=True)
class Drawing:
    """A figure: its SVG, and a text of two paragraphs, caption and text alternative."""

    svg: str
    text: str


def draw_all(page: Page, width: float, chosen: dict[str, list[str]]) -> dict[str, Drawing]:
    """Draw every figure of an experiment's page, `width` inches wide, by file name without suffix.

    `chosen` are the options of the menus ``measure`` and ``layer`` that have figures.
    """
    vega.check_address_space()
    menus = [*page.every_menu, *([page.slider] if page.slider else [])]
    options = {menu.name: menu.options for menu in menus}
    charts = {chart.name: chart for section in page.sections for chart in section.charts}
    charts |= {card.chart.name: card.chart for card in page.cards if card.chart}
    drawings = {}
    for figure in (one for one in FIGURES if one.chart in charts):
        chart = charts[figure.chart]
        for values in product(*(chosen[menu] for menu in figure.menus)):
            selected = page.selected | dict(zip(figure.menus, values, strict=True))
            rows = shown(chart, page.tables[chart.table], selected)
            # Networks that were trained elsewhere need not have all layers.
            if len(rows):
                name = file_name(figure.chart, *values)
                about = [options[key][selected[key]] for key in chart.keys if key in options]
                drawings[name] = Drawing(
                    paper.svg(chart, rows, width, name), _text(page, [figure.title, *about], chart, rows)
                )
    return drawings


def matching(layers: list[str], patterns: list[str] | None) -> list[str]:
    """Return the layers that match any of the shell-style patterns; all layers without patterns."""
    if patterns is None:
        return layers
    return [layer for layer in layers if any(fnmatchcase(layer, pattern) for pattern in patterns)]


def save(
    drawings: dict[str, Drawing], tables: dict[str, str], folder: str | Path, formats: list[str], dpi: int
) -> None:
    """Write figures, their texts and tables in LaTeX into a folder, which is created only when complete."""
    with atomic_path(folder) as part:
        part.mkdir()
        for name, drawing in drawings.items():
            (part / f"{name}.txt").write_text(drawing.text, encoding="utf-8")
            if "svg" in formats:
                (part / f"{name}.svg").write_text(drawing.svg, encoding="utf-8")
            if "pdf" in formats:
                (part / f"{name}.pdf").write_bytes(paper.pdf(drawing.svg))
            if "png" in formats:
                (part / f"{name}.png").write_bytes(paper.png(drawing.svg, dpi))
        for name, text in tables.items():
            (part / f"{name}.tex").write_text(text, encoding="utf-8")


def _text(page: Page, about: list[str], chart: Chart, rows: pd.DataFrame) -> str:
    """Return caption and text alternative of a figure; `about` are its title and the selected options."""
    caption = f"{'; '.join([*about, f'experiment {page.title}'])}. {chart.caption} {chart.beware}"
    alternative = f"{chart.description} {_range(rows[rows['role'] == 'summary'])}"
    return f"{caption.strip()}\n\n{alternative.strip()}\n"


def _range(rows: pd.DataFrame) -> str:
    """Say where the values of each series, or each level, are lowest and highest."""
    if "mean" not in rows:
        return ""
    rows = rows[rows["mean"].notna()]
    # The whole network rather than its layers, where a table has both.
    whole = rows["layer"] == "" if "layer" in rows else pd.Series(False, index=rows.index)
    rows = rows[whole] if whole.any() else rows
    sides = [name for name in ("layer", "layer_b", "round", "round_b") if name in rows]
    sides = [name for name in sides if len(set(rows[name].astype(str)) - {ANY}) > 1]
    levels = set(rows["level"]) if "level" in rows else set()
    by = "series" if "series" in rows else "level" if len(levels) > 1 else None
    parts = []
    for name, part in rows.groupby(by, sort=False) if by else [("", rows)]:
        if len(part):
            ends = (part.loc[part["mean"].idxmin()], part.loc[part["mean"].idxmax()])
            texts = [f"{end['mean']:.3g}{_position(end[sides])}" for end in ends]
            if ends[0]["mean"] == ends[1]["mean"]:
                texts = [f"{ends[0]['mean']:.3g}"]
            parts.append(f"{name}: {' to '.join(texts)}".removeprefix(": "))
    # Distances in the loss landscape are summarised by their medians.
    word = "Medians" if levels == {"landscape"} else "Means"
    note = " (loss landscape: medians)" if "landscape" in levels and len(levels) > 1 else ""
    return f"{word}{note}: {'; '.join(parts)}." if parts else ""


def _position(sides: pd.Series) -> str:
    known = {side: value for side, value in sides.items() if value != ANY}
    words = [f"round {value}" if side.startswith("round") else str(value) for side, value in known.items()]
    return f" ({', '.join(words)})" if words else ""
