"""A page of comparisons that were made outside the workflow: without seeds, so without verdicts."""

from collections.abc import Sequence
from pathlib import Path

import altair as alt
import pandas as pd

from prunescope.errors import InputError
from prunescope.files import write_text
from prunescope.findings import labels
from prunescope.report import base, page_tables
from prunescope.report.base import Chart
from prunescope.report.heatmaps import FLAGS, heatmap
from prunescope.report.page import Menu, Page, Section, render
from prunescope.report.representations import IDENTICAL

SHOWN = ("layer_a", "layer_b", "measure", "value", "chance", "status", "n", "images", "rank_a", "rank_b")
NETWORK = "networks"


def write_report(
    frame: pd.DataFrame,
    path: str | Path,
    title: str = "Similarity of layers",
    networks: Sequence[str] | None = None,
) -> None:
    """Write an interactive page of a comparison: heatmap, chance level and status of each pair of layers.

    There are no verdicts, because these need several seeds.

    Parameters
    ----------
    frame : pandas.DataFrame
        From `compare_models` or `compare_folders`.
    path : path
        The HTML file to write. It opens from disk and needs no internet connection.
    title : str, default "Similarity of layers"
    networks : sequence of str, optional
        For a frame from `compare_folders`: the names of the folders, in their order; by default 0, 1, ... .

    Raises
    ------
    InputError
        A `ValueError`, when the frame has no layers or no rows, when the number of names is wrong, or when
        the process's address space is limited.

    Examples
    --------
    >>> table = ps.compare_models(a, b, images, layers=["ReLU"])  # doctest: +SKIP
    >>> ps.write_report(table, "comparison.html")  # doctest: +SKIP
    """
    write_text(path, render(contents(frame, title, networks)))


def contents(frame: pd.DataFrame, title: str, networks: Sequence[str] | None = None) -> Page:
    """Return the page of `write_report`."""
    if missing := [name for name in SHOWN if name not in frame]:
        raise InputError(
            f"write_report: the frame has no column {missing[0]}; give one from compare_models or "
            "compare_folders"
        )
    rows = _pairs_of_networks(frame, networks)
    if rows.empty:
        raise InputError("write_report: the frame has no pair of two networks; there is nothing to show")
    measures = list(dict.fromkeys(rows["measure"]))
    known = labels.shown(measures)
    menus = [Menu("measure", "Measure", {name: known[name]["label"] for name in measures})]
    pairs = list(dict.fromkeys(rows[NETWORK]))
    all_layers = bool((rows["layer_a"] != rows["layer_b"]).any())
    if all_layers and len(pairs) > 1:
        menus.append(Menu(NETWORK, "Networks", {pair: pair for pair in pairs}))
    by = ["measure", NETWORK, "layer", "layer_b"]
    table = page_tables.summary(rows.rename(columns={"layer_a": "layer"}), by)
    chart = _chart(rows, pairs, all_layers)
    values = rows[[*([NETWORK] if len(pairs) > 1 else []), *SHOWN]]
    return Page(
        title,
        "",
        menus,
        [
            Section("layers", "Similarity by layer", charts=(chart,)),
            Section("values", "All values", folded=((f"{len(values):,} values", _text(values)),)),
            Section(
                "cite",
                "How to cite",
                links=page_tables.references(known),
            ),
        ],
        {"compared": table},
        facts=[f"{len(pairs)} pairs of networks" if len(pairs) > 1 else pairs[0], _images(rows)],
    )


def _pairs_of_networks(frame: pd.DataFrame, networks: Sequence[str] | None) -> pd.DataFrame:
    """Return each pair of two networks once, with its name and the columns that pages need."""
    blank = {"failed": False, "weights": float("nan")}
    blank |= {name: float("nan") for name in ("low", "high", "chance_classes") if name not in frame}
    rows = frame.assign(**blank)
    if "round_a" not in rows:
        return rows.assign(**{NETWORK: "a – b"})
    last = int(rows["round_a"].max())
    names = [str(number) for number in range(last + 1)] if networks is None else list(networks)
    if len(names) != last + 1:
        raise InputError(f"write_report: {len(names)} names for {last + 1} networks; give one name for each")
    if repeated := [name for name in names if names.count(name) > 1]:
        raise InputError(f"write_report: {repeated[0]!r} names two networks; give each a name of its own")
    rows = rows[rows["round_a"] > rows["round_b"]]
    return rows.assign(
        **{
            NETWORK: [
                f"{names[a]} – {names[b]}" for a, b in zip(rows["round_a"], rows["round_b"], strict=True)
            ]
        }
    )


def _chart(rows: pd.DataFrame, pairs: list[str], all_layers: bool) -> Chart:
    firsts, seconds = (list(dict.fromkeys(rows[name])) for name in ("layer_a", "layer_b"))
    # Folders are compared in both orders; of the pairs shown, the first network is the later one.
    tips = [alt.Tooltip("layer:N", title="layer of a"), alt.Tooltip("layer_b:N", title="layer of b")]
    if all_layers:
        x = alt.X("layer_b:N", sort=seconds, axis=base.layer_axis(seconds, title="layers of b"))
        text = "Heatmap: layers of one network as rows, layers of the other as columns."
    else:
        axis = base.layer_axis(pairs) if len(pairs) > 1 else alt.Axis(title=None, labels=False, ticks=False)
        x = alt.X(f"{NETWORK}:N", sort=pairs, axis=axis)
        text = "Heatmap: layers as rows, pairs of networks as columns, similarity as colour."
    drawn = heatmap(
        base.chart(),
        x,
        alt.Y("layer:N", sort=firsts, title="layers of a" if all_layers else None),
        "viridis",
        base.similarity_tooltip(*tips),
        26 * len(firsts),
    )
    return Chart(
        "layers",
        "All layers of a against all layers of b" if all_layers else "Similarity of each layer",
        "Each layer of one network against each layer of the other."
        if all_layers
        else "Each layer against the corresponding layer of the other network.",
        "compared",
        ("measure", NETWORK) if all_layers else ("measure",),
        base.specification(drawn),
        text,
        beware=f"{IDENTICAL} {FLAGS}",
        wide=all_layers or len(pairs) > 6,
    )


def _text(values: pd.DataFrame) -> pd.DataFrame:
    """Write the table of all values for readers."""
    numbers = {
        name: values[name].map(lambda value: "×" if pd.isna(value) else f"{value:.4f}")
        for name in ("value", "chance")
    }
    return values.assign(**numbers).rename(columns={NETWORK: "networks (a – b)"})


def _images(rows: pd.DataFrame) -> str:
    counts = sorted({int(count) for count in rows["images"] if count})
    if not counts:
        return "no corresponding images"
    span = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    return f"{span} images"
