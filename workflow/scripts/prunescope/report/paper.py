"""Charts of the page as figures for papers: the same specification, in the sizes, font and colours of print.

A figure is drawn in the page's own sizes and then scaled, so that text of 12 pixels becomes 7 points and
everything else follows. It is opaque, because files with transparency are not the same bytes twice.
"""

import copy
import json
import re

import pandas as pd
import vl_convert

from prunescope.report import palette, vega
from prunescope.report.base import Chart, Panel

# Journals and conferences require text of 7 points at final size. It has TEXT pixels when the chart is drawn.
POINTS, TEXT = 7, 12
PIXELS_PER_INCH = 72 * TEXT / POINTS
# Of a chart that does not use the width of the page, in inches: one column.
COLUMN = 3.25
# vl-convert has this font, so PDF files embed it wherever they are made. Others have the same widths.
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
# The page's colours in print, whatever its theme.
COLORS = {name.removeprefix("--"): color for name, color in palette.variables("light").items()}
# A figure's panel is at most so tall, in inches; with axes and legend it fits a page.
TALLEST = 7.5
LEGEND = {"title": None, "orient": "top", "symbolOpacity": 1, "columnPadding": 24}
# Smallest width of one of several panels in inches, and the space between and above them in pixels.
PANEL, GAP, ABOVE = 1.4, 18, 34
TRANSPARENT = re.compile(r'<[^>]* (?:fill-|stroke-)?opacity="[^"]*"[^>]*>')
PAINT = re.compile(r' (fill|stroke)="([^"]*)"')


def svg(chart: Chart, rows: pd.DataFrame, width: float, name: str) -> str:
    """Draw a chart as a figure: an SVG file of this width in inches. The same arguments give the same text.

    `rows` are from `prunescope.report.page.shown`; `name` is for ids. A chart that does not use the width of
    the page is at most `COLUMN` wide.
    """
    inches = width if chart.wide else min(width, COLUMN)
    # Vega draws whole pixels; the rest is a margin.
    pixels = int(inches * PIXELS_PER_INCH)
    drawn = _multiples(chart, rows, pixels) if chart.panels else _render(_single(chart, pixels), rows)
    head = re.match(r"<svg[^>]*>", drawn)[0]
    height = float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', head)[1])
    body = vega.cleaned(_opaque(drawn[len(head) :]), name, 2)
    start = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{72 * inches:g}pt" height="{height * POINTS / TEXT:.2f}pt" '
        f'viewBox="0 0 {inches * PIXELS_PER_INCH:.3f} {height:g}" font-family="{FONT}">'
    )
    return f"{start}{body}\n"


def pdf(figure: str) -> bytes:
    """Convert a figure to PDF."""
    return vl_convert.svg_to_pdf(_unitless(figure))


def png(figure: str, dpi: int) -> bytes:
    """Convert a figure to PNG."""
    return vl_convert.svg_to_png(_unitless(figure), ppi=dpi)


def _unitless(figure: str) -> str:
    """For vl-convert, a point is the unit of a size that has none."""
    return re.sub(r'(width|height)="([\d.]+)pt"', r'\1="\2"', figure, count=2)


def _single(chart: Chart, pixels: int) -> dict:
    spec = _printed(chart.spec)
    spec["width"] = pixels
    spec["height"] = min(spec["height"], TALLEST * PIXELS_PER_INCH)
    for part in spec.get("layer", [spec]):
        if chart.vertical and "y" in part.get("encoding", {}):
            part["encoding"]["y"]["title"] = chart.vertical
        for channel in ("color", "shape", "strokeDash"):
            encoded = part.get("encoding", {}).get(channel, {})
            # Cards have no legend: the page has one for all of them.
            if encoded.get("field") == "series" and len(names := encoded["scale"]["domain"]) > 1:
                encoded["legend"] = LEGEND | {"columns": _columns(names, pixels)}
    return spec


def _columns(names: list[str], pixels: int) -> int:
    """Return how many columns of a legend fit, each with a mark and the space to the next name."""
    longest = max(map(len, names)) * 0.55 * TEXT + 36
    return max(1, min(len(names), int((pixels - 60) / longest)))


def _multiples(chart: Chart, rows: pd.DataFrame, pixels: int) -> str:
    """Draw a grid of panels of equal size: y labels on the left, x labels below the last of a column."""
    count = len(chart.panels)
    columns = min(count, max(2, int(pixels / PIXELS_PER_INCH / PANEL)))
    spec = _printed(chart.spec)
    outer = {key: spec.pop(key) for key in ("config", "$schema") if key in spec}
    outer["params"] = [one for one in spec.pop("params", []) if one["name"] != "members"]
    for key in ("autosize", "width"):
        spec.pop(key, None)
    inner = (pixels - 60 - GAP * (columns - 1)) / columns
    # The labels' width is known once they are drawn; then the panels fill the rest.
    for _ in range(2):
        views = [
            _panel(spec, panel, inner, chart.vertical, index % columns == 0, index + columns >= count)
            for index, panel in enumerate(chart.panels)
        ]
        grid = {
            "concat": views,
            "columns": columns,
            "bounds": "flush",
            "spacing": {"column": GAP, "row": ABOVE},
            "padding": 2,
        }
        drawn = _render(outer | grid, rows)
        inner += (pixels - float(re.search(r'viewBox="0 0 ([\d.]+)', drawn)[1])) / columns
    return drawn


def _panel(spec: dict, panel: Panel, width: float, vertical: str, leftmost: bool, bottom: bool) -> dict:
    members = json.dumps(f"indexof({json.dumps(list(panel.members))},")[1:-1]
    view = json.loads(json.dumps(spec).replace("indexof(members,", members))
    title = {"text": panel.title, "anchor": "start", "offset": 4, "limit": round(width)}
    view |= {"width": round(width, 2), "height": round(min(spec["height"], 0.75 * width)), "title": title}
    for part in view["layer"]:
        for channel, shown in (("x", bottom), ("y", leftmost)):
            encoded = part["encoding"].get(channel, {})
            if not {"field", "datum"} & set(encoded):
                continue
            title = {"title": vertical if shown else None} if channel == "y" or not shown else {}
            encoded |= title
            encoded["axis"] = (encoded.get("axis") or {}) | title | ({} if shown else {"labels": False})
    return view


def _printed(spec: dict) -> dict:
    """Return a specification in print: its colours, its font, no text below `TEXT`."""
    text = re.sub(r"var\(--([\w-]+)\)", lambda name: COLORS[name[1]], json.dumps(spec))
    spec = json.loads(text)
    _enlarge(spec)
    config = spec["config"]
    sizes = {"labelFontSize": TEXT, "titleFontSize": TEXT}
    config |= {
        "font": FONT.split(",")[0],
        "background": COLORS["paper"],
        "axis": config["axis"] | sizes | {"translate": 0},
        "legend": config["legend"] | sizes | {"titleFontWeight": "normal"},
        # Rows of a heatmap may be lower than text.
        "axisYDiscrete": {"labelOverlap": "greedy"},
        "text": {"fontSize": TEXT},
        "title": {"fontSize": TEXT, "fontWeight": "normal", "color": COLORS["ink"]},
    }
    return spec


def _enlarge(part) -> None:
    for value in part.values() if isinstance(part, dict) else part:
        if isinstance(value, dict | list):
            _enlarge(value)
    if isinstance(part, dict) and isinstance(part.get("fontSize"), int | float):
        part["fontSize"] = max(TEXT, part["fontSize"])


def _render(spec: dict, rows: pd.DataFrame) -> str:
    values = json.loads(rows.to_json(orient="records", double_precision=6))
    data = {"data": {"name": "rows"}, "datasets": {"rows": values}}
    return vl_convert.vegalite_to_svg(copy.deepcopy(spec) | data, vl_version=vega.VERSION)


def _opaque(image: str) -> str:
    """Blend what is transparent with the paper."""
    return TRANSPARENT.sub(_blended, image)


def _blended(match: re.Match) -> str:
    element = match[0]
    share = dict.fromkeys(("fill", "stroke"), 1.0)
    for part, number in re.findall(r' ((?:fill-|stroke-)?)opacity="([^"]*)"', element):
        for kind in share:
            if not part or part == f"{kind}-":
                share[kind] *= float(number)
    if not any(share.values()):
        return element
    element = re.sub(r' (?:fill-|stroke-)?opacity="[^"]*"', "", element)
    return PAINT.sub(lambda paint: f' {paint[1]}="{_tint(paint[2], share[paint[1]])}"', element)


def _tint(color: str, share: float) -> str:
    if share == 1 or color in ("none", "transparent"):
        return color
    if share == 0:
        return "none"
    return "#" + "".join(f"{round(255 + share * (channel - 255)):02x}" for channel in _channels(color))


def _channels(color: str) -> list[int]:
    if rgb := re.fullmatch(r"rgb\((\d+), ?(\d+), ?(\d+)\)", color):
        return [int(channel) for channel in rgb.groups()]
    digits = {"white": "ffffff", "black": "000000"}.get(color, color.removeprefix("#"))
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    return [int(digits[start : start + 2], 16) for start in (0, 2, 4)]
