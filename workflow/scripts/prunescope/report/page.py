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

from prunescope.report import vega
from prunescope.report.base import ALL, ANY, Chart

TEMPLATE = "report.html.j2"
# A number in a table, perhaps with a unit or a range.
NUMBER = re.compile(r"[−+-]?[\d,.]+(?:e[-+]?\d+)?(?: %)?(?: \([\d.,–− ]+\))?|×|–|")
# Parts of Vega's SVG that are invisible, repeat defaults, or name the font of the page.
NOT_SEEN = re.compile(
    r'<path[^>]* display="none"/>|<path[^>]* d="M0,0h0v0h0Z"[^>]*/>|<text[^>]* opacity="0"[^>]*>[^<]*</text>'
    r'| aria-hidden="true"| opacity="1"| font-weight="normal"| font-family="[^"]*"'
)
# Width of the images that need no JavaScript; they are scaled to the page.
WIDTH, PANEL_WIDTH = 900, 260


@dataclass(frozen=True)
class Menu:
    """A `<select>` with its options, text by value; the first one is selected."""

    name: str
    label: str
    options: dict[str, str]


@dataclass(frozen=True)
class Fact:
    """A key figure: a name, a number as text, and an explanation."""

    name: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Verdict:
    """The answer of a page: its sign (``yes``, ``no``, ``open``, ``few``, ``none``), a word, a sentence."""

    sign: str
    word: str
    sentence: str


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes
    ----------
    name, title : str
        Its id and its heading.
    paragraphs : tuple of str
    menus : tuple of Menu
        Menus that control only its own charts.
    charts : tuple of Chart
    tables, folded : tuple of (str, pandas.DataFrame)
        Tables with their captions; the folded tables are initially closed.
    texts : tuple of (str, str)
        Long texts with their captions, initially closed.
    details : tuple of (str, list of str)
        Paragraphs under a summary, initially closed.
    links : tuple of (str, str or None)
        Texts with their addresses.
    command : str
        A shell command.
    grid : bool
        Whether its charts are side by side if there is room.
    """

    name: str
    title: str
    paragraphs: tuple[str, ...] = ()
    menus: tuple[Menu, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[tuple[str, pd.DataFrame], ...] = ()
    folded: tuple[tuple[str, pd.DataFrame], ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    details: tuple[tuple[str, list[str]], ...] = ()
    links: tuple[tuple[str, str | None], ...] = ()
    command: str = ""
    grid: bool = False


@dataclass(frozen=True)
class Page:
    """The content of a page.

    Attributes
    ----------
    title, description : str
    menus : list of Menu
        Menus that control the whole page.
    sections : list of Section
        The first one stands on the first screen, without a heading.
    tables : dict of str to pandas.DataFrame
        Tables that the charts use.
    verdict : Verdict or None
    facts : list of Fact
    """

    title: str
    description: str
    menus: list[Menu]
    sections: list[Section]
    tables: dict[str, pd.DataFrame]
    verdict: Verdict | None = None
    facts: list[Fact] = field(default_factory=list)


def render(page: Page) -> str:
    """Lay out a page as one self-contained HTML file.

    Returns
    -------
    str
        HTML. The same page gives the same text.

    Raises
    ------
    InputError
        When the process's address space is limited, because the JavaScript engine would end the process.
    """
    vega.check_address_space()
    menus = [*page.menus, *(menu for section in page.sections for menu in section.menus)]
    selected = {menu.name: next(iter(menu.options)) for menu in menus}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["cells"] = _cells
    drawn = {
        chart.name: _draw(chart, page.tables[chart.table], selected)
        for section in page.sections
        for chart in section.charts
    }
    return environment.get_template(TEMPLATE).render(
        page=page,
        drawn=drawn,
        packed={name: _packed(table) for name, table in page.tables.items()},
        libraries=vl_convert.javascript_bundle(vl_version=vega.VERSION),
    )


def shown(chart: Chart, table: pd.DataFrame, selected: dict[str, str]) -> pd.DataFrame:
    """Return the rows of a table that a chart shows, with the column `role`: ``summary`` or ``seed``.

    Parameters
    ----------
    chart : Chart
    table : pandas.DataFrame
    selected : dict of str to str
        Value of each menu.
    """
    table = table.assign(role="summary")
    for key in chart.keys:
        if key not in table or key not in selected:
            continue
        values, wanted = table[key].astype(str), selected[key]
        here = values.isin([wanted, ANY])
        if chart.dots and key == "seed" and wanted == ALL:
            table["role"] = table["role"].where(here, "seed")
        else:
            table = table[here]
    for key, value in chart.fixed:
        table = table[table[key] == value]
    return table


def _draw(chart: Chart, table: pd.DataFrame, selected: dict[str, str]) -> dict:
    """Compile a chart for the browser, and draw its images for the menus' first options."""
    rows = json.loads(shown(chart, table, selected).to_json(orient="records", double_precision=6))
    spec = vega.compiled({**chart.spec, "data": {"name": "rows"}})
    _follow_scale(spec) if chart.scaled else None
    images = []
    width = PANEL_WIDTH if chart.panels else WIDTH if chart.wide else 560
    for panel in chart.panels or [None]:
        filled = json.loads(json.dumps(spec))
        for data in filled["data"]:
            if data["name"] == "rows":
                data["values"] = rows
        for signal in filled["signals"]:
            if panel and signal["name"] == "members":
                signal["value"] = list(panel.members)
            if signal["name"] == "width":
                signal.clear()
                signal |= {"name": "width", "value": width}
        images.append(_inline(vl_convert.vega_to_svg(filled), f"{chart.name}-{len(images)}"))
    return {"spec": spec, "images": images}


def _inline(image: str, name: str) -> str:
    """Embed an SVG file in a page: scaled to it, with unique ids, rounded to tenths of a pixel."""
    image = NOT_SEEN.sub("", image)
    image = re.sub(
        r'<svg([^>]*) width="[\d.]+" height="[\d.]+"', r'<svg\1 aria-hidden="true"', image, count=1
    )
    return vega.rounded(vega.numbered(image, name), 1)


def _follow_scale(spec: dict) -> None:
    """Let the page set the similarity axis: its title, and a lower end below 0 if needed."""
    spec["signals"].append({"name": "lower", "value": 0})
    spec["signals"].append({"name": "similarity_title", "value": "similarity"})
    for scale in spec.get("scales", []):
        if scale["name"] == "y" and scale.get("domain") == [0, 1]:
            scale["domain"] = {"signal": "[lower, 1]"}
    for axis in spec.get("axes", []):
        if axis.get("title") == "similarity":
            axis["title"] = {"signal": "similarity_title"}


def _cells(table: pd.DataFrame) -> dict:
    """Return a table's columns and rows as text, each with a flag for numbers."""
    rows = [[_cell(value) for value in row] for row in table.to_numpy().tolist()]
    numbers = [all(cell[1] for cell in column) for column in zip(*rows, strict=True)] or [
        False
    ] * table.shape[1]
    return {"columns": list(zip(map(str, table), numbers, strict=True)), "rows": rows}


def _cell(value) -> tuple[str, bool]:
    if hasattr(value, "__html__"):
        return value, False
    return str(value), bool(NUMBER.fullmatch(str(value)))


def _packed(table: pd.DataFrame) -> str:
    """Pack a table for the page, column by column: four decimals, compressed, in base64."""
    columns = {name: json.loads(table[name].to_json(orient="values", double_precision=5)) for name in table}
    text = json.dumps(columns, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
