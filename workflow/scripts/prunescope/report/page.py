"""A page: sections with text, menus, charts and tables, laid out as one HTML file that needs no network.

Its menus are plain ``<select>`` elements to which the charts' parameters are bound by name
(`prunescope.report.base`), so one menu controls all charts.
"""

import base64
import gzip
from dataclasses import dataclass
from pathlib import Path

import altair as alt
import jinja2
import pandas as pd
import vl_convert

from prunescope.report.base import Chart

TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Menu:
    """A `<select>` with its options, text by value; the first one is selected."""

    name: str
    label: str
    options: dict[str, str]


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes
    ----------
    name, title : str
        Its id and its heading.
    paragraphs : tuple of str
    menus : tuple of Menu
        Those that control only its own charts.
    charts : tuple of Chart
    tables, folded : tuple of (str, pandas.DataFrame)
        Tables with their captions; the folded ones are closed at first.
    texts : tuple of (str, str)
        Long texts with their captions, closed at first.
    links : tuple of (str, str or None)
        Texts with their addresses.
    command : str
        To be typed in a shell.
    grid : bool
        Whether its charts stand side by side where there is room.
    """

    name: str
    title: str
    paragraphs: tuple[str, ...] = ()
    menus: tuple[Menu, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[tuple[str, pd.DataFrame], ...] = ()
    folded: tuple[tuple[str, pd.DataFrame], ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str | None], ...] = ()
    command: str = ""
    grid: bool = False


def render(
    title: str, description: str, menus: list[Menu], sections: list[Section], tables: dict[str, pd.DataFrame]
) -> str:
    """Lay a page out as one HTML file with everything in it.

    Parameters
    ----------
    title, description : str
    menus : list of Menu
        Those that control the whole page.
    sections : list of Section
    tables : dict of str to pandas.DataFrame
        Those that the charts name.

    Returns
    -------
    str
        HTML. The same arguments give the same text.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(TEMPLATE).render(
        title=title,
        description=description,
        menus=menus,
        sections=sections,
        tables={name: _packed(table) for name, table in tables.items()},
        formats={name: _format(table) for name, table in tables.items()},
        libraries=vl_convert.javascript_bundle(
            vl_version=alt.SCHEMA_VERSION.removeprefix("v").rsplit(".", 1)[0]
        ),
    )


def _packed(table: pd.DataFrame) -> str:
    """Pack a table as CSV for the page: six significant digits, compressed, in base64."""
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _format(table: pd.DataFrame) -> dict:
    types = {name: "number" if pd.api.types.is_numeric_dtype(table[name]) else "string" for name in table}
    return {"type": "csv", "parse": types}
