"""What a chart draws: Vega's scene graph, with the data set, the signals and the width of a test."""

import json
from collections.abc import Iterator

import pandas as pd
import vl_convert

from prunescope.report import vega
from prunescope.report.base import Chart
from prunescope.report.page import shown


def drawn(
    chart: Chart, table: pd.DataFrame, selected: dict | None = None, width: int = 700, **signals
) -> list[tuple[str, dict]]:
    """All marks of a chart outside of axes and legends, as (type, properties)."""
    return [mark for mark in _marks(_scene(chart, table, selected, width, signals)) if mark[0] != "guide"]


def texts(chart: Chart, table: pd.DataFrame, selected: dict | None = None, width: int = 700) -> list[dict]:
    """All texts of a chart, those of axes and legends included."""
    found = _marks(_scene(chart, table, selected, width, {}), guides=True)
    return [
        mark for kind, mark in found if kind == "text" and mark.get("opacity", 1) > 0 and mark.get("text")
    ]


def _scene(chart: Chart, table: pd.DataFrame, selected: dict | None, width: int, signals: dict) -> dict:
    rows = shown(chart, table, {"seed": "all"} | (selected or {})).to_json(orient="records")
    spec = vega.compiled({**chart.spec, "data": {"name": "rows"}})
    for data in spec["data"]:
        if data["name"] == "rows":
            data["values"] = json.loads(rows)
    for signal in spec["signals"]:
        if signal["name"] == "width":
            signal.clear()
            signal |= {"name": "width", "value": width}
        if signal["name"] in signals:
            signal["value"] = signals[signal["name"]]
    return vl_convert.vega_to_scenegraph(spec)["scenegraph"]


def _marks(part: dict, guides: bool = False, kind: str = "") -> Iterator[tuple[str, dict]]:
    if part.get("role", "").startswith(("axis", "legend", "title")) and not guides:
        return
    kind = part.get("marktype", kind)
    for item in part.get("items", []):
        if kind and kind != "group":
            yield kind, item
        yield from _marks(item, guides, "")
