"""A page: sections with text, menus, charts and tables, laid out as one HTML file that needs no network.

A chart is drawn twice from one specification: here, as an image with the menus' first options that needs no
JavaScript; and in the browser when it comes into view, so that it follows the menus.
"""

import base64
import gzip
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import pandas as pd
import vl_convert
from markupsafe import Markup, escape

from prunescope.findings.slices import PRUNED
from prunescope.report import palette, vega
from prunescope.report.base import ALL, ANY, Chart

TEMPLATE = "report.html.j2"
# A number in a table, perhaps with a unit or a range.
NUMBER = re.compile(r"[−+-]?[\d,.]+(?:e[-+]?\d+)?(?: %)?(?: \([\d.,–− ]+\))?|×|–|")
# Vega's circles: two arcs around a place.
CIRCLE = re.compile(
    r'<path( transform="translate\([^"]*\)") d="M([\d.]+),0A\2,\2,0,1,1,-\2,0A\2,\2,0,1,1,\2,0"'
)
# Width of the images that need no JavaScript; they are scaled to the page.
WIDTH, PANEL_WIDTH, CARD_WIDTH = 900, 260, 290
# Vega's marks in the legend of the page, around (17, 6).
SYMBOLS = {
    "circle": '<circle cx="17" cy="6" r="4" stroke="none"/>',
    "square": '<path d="M13 2h8v8h-8z" stroke="none"/>',
    "diamond": '<path d="M17 1l5 5-5 5-5-5z" stroke="none"/>',
    "triangle-up": '<path d="M17 1l5 9h-10z" stroke="none"/>',
    "triangle-down": '<path d="M17 11l5-9h-10z" stroke="none"/>',
    "triangle-right": '<path d="M22 6l-9 5v-10z" stroke="none"/>',
    "cross": '<path d="M15.5 1h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5v-3h3.5z" stroke="none"/>',
    "stroke": "",
}
# Signals that the page sets in every chart that has them: the selected round, and the layer pointed at.
SIGNALS = ("round", "lit")


@dataclass(frozen=True)
class Menu:
    """A `<select>` with its options, text by value; the first one is selected."""

    name: str
    label: str
    options: dict[str, str]


def measure_menu(labels: dict[str, str], primary: str) -> Menu:
    """Make the menu of the measures of a page: the primary one, then the others in alphabetical order."""
    names = [primary, *sorted(set(labels) - {primary})]
    return Menu("measure", "Measure", {name: labels[name] for name in names if name in labels})


@dataclass(frozen=True)
class Number:
    """The number on a card in one round, as text."""

    # With its unit, and what it is.
    value: str
    of: str
    # Or its range over seeds.
    interval: str = ""
    # How it compares with retrained networks, in a few words; and with the distance to another seed.
    chip: str = ""
    way: str = ""


@dataclass(frozen=True)
class Card:
    """A level on the first screen."""

    level: str
    title: str
    question: str
    # By value of the slider.
    numbers: dict[str, Number]
    chart: Chart | None = None
    # If there is no number: what would add it.
    missing: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a page."""

    # Its id and its heading.
    name: str
    title: str
    paragraphs: tuple[str, ...] = ()
    # Menus that control only its own charts; each stands above the first of them.
    menus: tuple[Menu, ...] = ()
    charts: tuple[Chart, ...] = ()
    # Tables with their captions.
    tables: tuple[tuple[str, pd.DataFrame], ...] = ()
    # What is initially closed, with its caption: a table, a text such as that of a file, or paragraphs.
    folded: tuple[tuple[str, pd.DataFrame | str | list[str]], ...] = ()
    # Texts with their addresses.
    links: tuple[tuple[str, str | None], ...] = ()
    # A shell command.
    command: str = ""
    # Whether its charts are side by side if there is room.
    grid: bool = False
    # Whether it stands before the menus of the page.
    lead: bool = False
    # Remarks next to its charts, each with its first words, which are bold; and their heading.
    aside: tuple[tuple[str, str], ...] = ()
    aside_title: str = ""

    def above(self, chart: Chart) -> list[Menu]:
        """Return the menus that stand above a chart."""
        return [menu for menu in self.menus if chart is next(c for c in self.charts if menu.name in c.keys)]


@dataclass(frozen=True)
class Page:
    """The content of a page."""

    title: str
    description: str
    # Menus that control the whole page; they stand before the first section that is not `Section.lead`.
    menus: list[Menu]
    sections: list[Section]
    # Tables that the charts use.
    tables: dict[str, pd.DataFrame]
    # What was studied, in a few words each.
    facts: list[str] = field(default_factory=list)
    # Its options are in order; the last one is selected first.
    slider: Menu | None = None
    # The answer by value of the slider: parts of a sentence, each with the series whose number it is.
    sentences: dict[str, list[tuple[str, str | None]]] = field(default_factory=dict)
    # A second sentence, by value of the slider.
    notes: dict[str, str] = field(default_factory=dict)
    cards: list[Card] = field(default_factory=list)
    # What each series is, by its name.
    legend: dict[str, str] = field(default_factory=dict)
    # The series whose numbers are on the cards.
    series: str = PRUNED

    @property
    def every_menu(self) -> list[Menu]:
        """Its menus, and those of its sections."""
        return [*self.menus, *(menu for section in self.sections for menu in section.menus)]

    @property
    def selected(self) -> dict[str, str]:
        """The value of each menu, and of the slider, when the page is opened."""
        first = {menu.name: next(iter(menu.options)) for menu in self.every_menu}
        return first | ({self.slider.name: list(self.slider.options)[-1]} if self.slider else {})


def render(page: Page) -> str:
    """Lay out a page as one self-contained HTML file; the same page gives the same text."""
    vega.check_address_space()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"cells": _cells, "prose": _prose}
    charts = [(chart, None) for section in page.sections for chart in section.charts]
    charts += [(card.chart, CARD_WIDTH) for card in page.cards if card.chart]
    selected = page.selected
    drawn = {chart.name: _draw(chart, page.tables[chart.table], selected, width) for chart, width in charts}
    return environment.get_template(TEMPLATE).render(
        page=page,
        selected=selected,
        drawn=drawn,
        palette=palette,
        symbols=SYMBOLS,
        packed={name: _packed(table) for name, table in page.tables.items()},
        libraries=_zipped(vl_convert.javascript_bundle(vl_version=vega.VERSION)),
    )


def shown(chart: Chart, table: pd.DataFrame, selected: dict[str, str]) -> pd.DataFrame:
    """Return the rows of a table that a chart shows, with the column `role`: ``summary`` or ``seed``.

    `selected` are the values of the menus.
    """
    table = table.assign(role="summary")
    for key in chart.keys:
        if key not in table or key not in selected:
            continue
        matching = table[key].astype(str).isin([selected[key], ANY])
        if chart.dots and key == "seed" and selected[key] == ALL:
            table["role"] = table["role"].where(matching, "seed")
        else:
            table = table[matching]
    for key, value in chart.fixed:
        table = table[table[key] == value]
    return table


def _draw(chart: Chart, table: pd.DataFrame, selected: dict[str, str], width: int | None) -> dict:
    """Compile a chart for the browser, and draw its images for what the page selects first."""
    rows = json.loads(shown(chart, table, selected).to_json(orient="records", double_precision=6))
    spec = vega.compiled({**chart.spec, "data": {"name": "rows"}})
    images = []
    width = width or (PANEL_WIDTH if chart.panels else WIDTH if chart.wide else 560)
    for panel in chart.panels or [None]:
        filled = json.loads(json.dumps(spec))
        for data in filled["data"]:
            if data["name"] == "rows":
                data["values"] = rows
        for signal in filled["signals"]:
            if panel and signal["name"] == "members":
                signal["value"] = list(panel.members)
            if signal["name"] == "round" and "round" in selected:
                signal["value"] = int(selected["round"])
            if signal["name"] == "width":
                signal.clear()
                signal |= {"name": "width", "value": width}
        images.append(_inline(vl_convert.vega_to_svg(filled), f"{chart.name}-{len(images)}"))
    signals = [signal["name"] for signal in spec["signals"] if signal["name"] in SIGNALS]
    return {"spec": spec, "images": images, "signals": signals}


def _inline(image: str, name: str) -> str:
    """Embed an SVG file in a page: scaled to it, with unique ids, rounded to tenths of a pixel."""
    image = re.sub(
        r'<svg([^>]*) width="[\d.]+" height="[\d.]+"',
        r'<svg\1 aria-hidden="true"',
        vega.cleaned(image, name, 1),
        count=1,
    )
    return CIRCLE.sub(r'<circle\1 r="\2"', image)


def _prose(text: str) -> Markup:
    """Mark up a text in which backticks enclose code, and keep percent signs with their numbers."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text)).replace(" %", "\u00a0%")))


def _cells(table: pd.DataFrame) -> dict:
    """Return a table's columns and rows as text, each with a flag for numbers."""
    rows = [[_cell(value) for value in row] for row in table.to_numpy().tolist()]
    numbers = [all(cell[1] for cell in column) for column in zip(*rows, strict=True)] or [
        False
    ] * table.shape[1]
    layers = list(table.columns[:1]) == ["layer"]
    return {"columns": list(zip(map(str, table), numbers, strict=True)), "rows": rows, "layers": layers}


def _cell(value) -> tuple[str, bool]:
    if hasattr(value, "__html__"):
        return value, False
    return str(value), bool(NUMBER.fullmatch(str(value)))


def _packed(table: pd.DataFrame) -> str:
    """Pack a table for the page, column by column: five significant digits, compressed, in base64."""
    floats = table.select_dtypes("float")
    table = table.assign(**{name: floats[name].map(_five_digits) for name in floats})
    columns = {name: json.loads(table[name].to_json(orient="values", double_precision=15)) for name in table}
    text = json.dumps(columns, separators=(",", ":"), ensure_ascii=False)
    return _zipped(text)


def _five_digits(value: float) -> float:
    return float(f"{value:.5g}")


def _zipped(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
