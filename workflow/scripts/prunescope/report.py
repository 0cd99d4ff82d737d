"""The interactive report of one experiment, and the page that puts several side by side.

A page is data: sections with paragraphs, tables and charts. A chart is a Vega-Lite specification built with
Altair and the name of the table it shows; the template lays all of it out in one HTML file that needs no
network. The page's menus are plain ``<select>`` elements to which the charts' parameters are bound, so one
menu rules all charts.
"""

import base64
import gzip
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import altair as alt
import jinja2
import pandas as pd
import vl_convert
import yaml

from prunescope import charts
from prunescope.charts import Chart
from prunescope.files import atomic_path
from prunescope.findings import METRICS

TEMPLATE = "report.html.j2"
PAPERS = [
    (
        "A. Ansuini, E. Medvet, F. A. Pellegrino, M. Zullich: On the Similarity between Hidden Layers of "
        "Pruned and Unpruned Convolutional Neural Networks. ICPRAM 2020.",
        "https://doi.org/10.5220/0008960300520059",
    ),
    (
        "A. Ansuini, E. Medvet, F. A. Pellegrino, M. Zullich: Investigating Similarity Metrics for "
        "Convolutional Neural Networks in the Case of Unstructured Pruning. "
        "Lecture Notes in Computer Science, Springer.",
        None,
    ),
]
SOURCES = {
    "cca": (
        "H. Hotelling: Relations Between Two Sets of Variates. Biometrika 28, 1936.",
        "https://doi.org/10.1093/biomet/28.3-4.321",
    ),
    "svcca": (
        "M. Raghu, J. Gilmer, J. Yosinski, J. Sohl-Dickstein: SVCCA. NeurIPS 2017.",
        "https://arxiv.org/abs/1706.05806",
    ),
    "pwcca": (
        "A. Morcos, M. Raghu, S. Bengio: Insights on Representational Similarity in Neural Networks with "
        "Canonical Correlation. NeurIPS 2018.",
        "https://arxiv.org/abs/1806.05759",
    ),
    "cka": (
        "S. Kornblith, M. Norouzi, H. Lee, G. Hinton: Similarity of Neural Network Representations "
        "Revisited. ICML 2019.",
        "https://arxiv.org/abs/1905.00414",
    ),
    "nbs": (
        "S. Tang, W. J. Maddox, C. Dickens, T. Diethe, A. Damianou: Similarity of Neural Networks with "
        "Gradients. 2020.",
        "https://arxiv.org/abs/2003.11498",
    ),
}
BASES = {"cca_r2": "cca", "svcca_trim98": "svcca", "cka_debiased": "cka"}


@dataclass(frozen=True)
class Menu:
    """A `<select>` with its options, text by value; the first one is chosen."""

    name: str
    label: str
    options: dict[str, str]


@dataclass(frozen=True)
class Section:
    """A part of the page. Tables come with captions; those in `folded` and `texts` are closed at first."""

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


# --- one experiment ---------------------------------------------------------------------------------------


def experiment_page(
    name: str,
    settings: dict,
    layers: list[str],
    similarity: pd.DataFrame,
    accuracy: pd.DataFrame,
    records: list[dict],
    densities: pd.DataFrame,
    training: pd.DataFrame,
    findings: dict,
    origin: dict[str, str],
) -> str:
    """Make the report of one experiment.

    Parameters
    ----------
    name : str
        The experiment.
    settings : dict
        All its settings.
    layers : list of str
        Recorded layers in the order of the network.
    similarity, accuracy : pandas.DataFrame
        Its matrix and accuracy table.
    records : list of dict
        Its networks' metrics.json.
    densities, training : pandas.DataFrame
        From `prunescope.records`.
    findings : dict
        From `prunescope.findings.conclude`.
    origin : dict of str to str
        What else is needed to make the same again: commit, digests.

    Returns
    -------
    str
        HTML. The same arguments give the same text.
    """
    metrics = list(dict.fromkeys(similarity["metric"]))
    seeds = sorted(accuracy["seed"].unique())
    rounds = sorted(accuracy["round"].unique())
    percents = {
        round: f"{100 * value:.3g}" for round, value in accuracy.groupby("round")["density"].mean().items()
    }
    named_rounds = {str(round): f"{round} ({percents[round]} % of weights)" for round in reversed(rounds)}
    colormap = settings["figures"]["colormap"].lower()
    tables = similarity_tables(similarity)
    tables |= {
        "accuracy": _percent(accuracy),
        "density": _percent(densities),
        "training": _measures(training),
    }

    prunable = list(dict.fromkeys(densities["layer"]))
    sections = [
        Section("findings", "What is seen", tuple(findings["text"])),
        Section(
            "dense",
            "Similarity to the dense network",
            charts=(charts.to_dense(layers, percents, colormap), charts.lines(layers, percents)),
            folded=tuple(
                (
                    f"{METRICS[metric]} to the dense network, mean over seeds",
                    _values(similarity, metric, layers),
                )
                for metric in metrics
            ),
        ),
        Section(
            "profile",
            "From layer to layer",
            menus=(Menu("round", "Round", named_rounds),),
            charts=(charts.profile(layers),)
            + ((charts.pairs(layers, colormap),) if "pairs" in tables else ()),
        ),
        Section(
            "rounds",
            "Round against round",
            menus=(Menu("layer", "Layer", {layer: layer for layer in layers}),),
            charts=(charts.rounds(rounds, colormap),),
        ),
        Section(
            "networks",
            "Accuracy and density",
            charts=(
                charts.accuracy(percents),
                charts.density(prunable, percents, bool((densities["density"] > 0).all())),
            ),
        ),
        Section(
            "training",
            "Training",
            menus=(
                Menu(
                    "measure",
                    "Curve",
                    {key: text for key, text in charts.MEASURES.items() if key in tables["training"]},
                ),
            ),
            charts=(charts.training(),),
        ),
        Section(
            "settings",
            "Networks and settings",
            tables=((_networks_caption(records), _networks(records)),),
            folded=(("Settings, all of them", _flat(settings)),),
        ),
        Section(
            "reproduce",
            "How to make the same again",
            command=f"snakemake --cores 2 results/{name}/report.html",
            tables=(("Where these results come from", _provenance(records, origin)),),
            texts=((f"config/experiments/{name}.yaml, with every default written out", _yaml(settings)),),
        ),
        Section(
            "cite",
            "How to cite",
            paragraphs=("If these results are of use, cite what they rest on.",),
            links=(
                *PAPERS,
                *(SOURCES[key] for key in dict.fromkeys(BASES.get(metric, metric) for metric in metrics)),
            ),
        ),
    ]
    menus = [Menu("metric", "Measure", {metric: METRICS[metric] for metric in metrics})]
    every = {charts.ALL: f"all {len(seeds)}, mean"} if len(seeds) > 1 else {}
    menus.append(Menu("seed", "Seed", every | {str(seed): str(seed) for seed in seeds}))
    return render(name, settings["description"], menus, sections, tables)


def similarity_tables(similarity: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Cut the matrix into the tables that the charts show.

    Returns
    -------
    dict of str to pandas.DataFrame
        ``dense``: each layer against the same layer of the dense network; ``profile``: the same and, as kind
        ``seeds``, dense networks of different seeds against each other; ``rounds``: each layer in every pair
        of rounds, both orders of a pair next to each other; ``pairs``: each layer against all layers of the
        dense network, only where layers were compared with others.
    """
    keep = ["metric", "value", "chance", "n", "rank_a", "rank_b", "status"]
    frame = similarity.rename(columns={"layer_a": "layer", "seed_a": "seed", "round_a": "round"})
    frame["weights"] = 100 * frame["density_a"]
    own = frame[frame["seed"] == frame["seed_b"]]
    same = own[own["layer"] == own["layer_b"]]
    dense = same[same["round_b"] == 0][["seed", "round", "weights", "layer", *keep]]
    across = frame[(frame["seed"] != frame["seed_b"]) & (frame["layer"] == frame["layer_b"])]
    across = across[(across["round"] == 0) & (across["round_b"] == 0)][
        ["seed", "round", "weights", "layer", *keep]
    ]
    rounds = same[["seed", "round", "round_b", "layer", *keep]]
    order = pd.DataFrame(
        {"low": rounds[["round", "round_b"]].min(axis=1), "high": rounds[["round", "round_b"]].max(axis=1)}
    )
    order = rounds[["metric", "layer", "seed"]].join(order)
    tables = {
        "dense": dense,
        "profile": pd.concat([dense.assign(kind="dense"), across.assign(kind="seeds")]),
        # Equal numbers side by side take half the room when they are compressed.
        "rounds": rounds.loc[order.sort_values(list(order), kind="stable").index],
    }
    if (own["layer"] != own["layer_b"]).any():
        tables["pairs"] = own[own["round_b"] == 0][["seed", "round", "layer", "layer_b", *keep]]
    return tables


# --- several experiments ------------------------------------------------------------------------------------


def overview_page(experiments: dict[str, dict]) -> str:
    """Put experiments side by side.

    Parameters
    ----------
    experiments : dict of str to dict
        By name: ``settings``, ``layers``, ``similarity``, ``accuracy`` and ``findings``, as for
        `experiment_page`.

    Returns
    -------
    str
        HTML. The same arguments give the same text.
    """
    metrics = list(
        dict.fromkeys(metric for one in experiments.values() for metric in one["findings"]["metrics"])
    )
    accuracies = pd.concat(
        [one["accuracy"].assign(experiment=name) for name, one in experiments.items()], ignore_index=True
    )
    tables = {"accuracy": _percent(accuracies)}
    heatmaps = []
    for name, one in experiments.items():
        tables[f"dense-{name}"] = similarity_tables(one["similarity"])["dense"]
        percents = {
            round: f"{100 * value:.3g}"
            for round, value in one["accuracy"].groupby("round")["density"].mean().items()
        }
        colormap = one["settings"]["figures"]["colormap"].lower()
        heatmaps.append(charts.to_dense(one["layers"], percents, colormap, name))
    sections = [
        Section(
            "experiments",
            "Experiments",
            tables=(
                ("Mean (lowest to highest seed)", _summary(experiments)),
                ("Settings in which they differ", _differences(experiments)),
            ),
            links=tuple((f"Report of {name}", f"{name}/report.html") for name in experiments),
        ),
        Section("accuracy", "Accuracy", charts=(charts.accuracies(list(experiments)),)),
        Section("dense", "Similarity to the dense network", charts=tuple(heatmaps), grid=True),
    ]
    menus = [Menu("metric", "Measure", {metric: METRICS[metric] for metric in metrics})]
    return render("Experiments side by side", ", ".join(experiments), menus, sections, tables)


def _summary(experiments: dict[str, dict]) -> pd.DataFrame:
    rows = []
    for name, one in experiments.items():
        found = one["findings"]
        row = {
            "experiment": name,
            "description": one["settings"]["description"],
            "seeds": len(found["seeds"]),
            "rounds": found["last_round"],
            "weights left (%)": f"{100 * found['last_density']:.3g}",
            "dense accuracy (%)": _range(found["accuracy"]["dense"], 100, 2),
            "last accuracy (%)": _range(found["accuracy"]["last"], 100, 2),
        }
        for metric, numbers in found["metrics"].items():
            row[f"{METRICS[metric]}: ends high, middle low?"] = numbers["claim"]["verdict"]
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def _range(numbers: dict | None, factor: float, digits: int) -> str:
    if numbers is None:
        return ""
    mean, low, high = (f"{factor * numbers[key]:.{digits}f}" for key in ("mean", "min", "max"))
    return f"{mean} ({low}–{high})" if numbers["count"] > 1 else mean


def _differences(experiments: dict[str, dict]) -> pd.DataFrame:
    columns = {name: dict(_flat(one["settings"]).to_numpy()) for name, one in experiments.items()}
    keys = dict.fromkeys(key for settings in columns.values() for key in settings)
    rows = [
        {"setting": key} | {name: settings.get(key, "") for name, settings in columns.items()} for key in keys
    ]
    return pd.DataFrame(
        [row for row in rows if len(set(list(row.values())[1:])) > 1], columns=["setting", *columns]
    )


# --- tables -----------------------------------------------------------------------------------------------


def _percent(table: pd.DataFrame) -> pd.DataFrame:
    """Turn fractions into percent."""
    columns = [name for name in table if name.startswith("density") or name.endswith("accuracy")]
    return table.assign(**{name: 100 * table[name] for name in columns})


def _measures(training: pd.DataFrame) -> pd.DataFrame:
    keep = [
        "seed",
        "round",
        "epoch",
        *(name for name in charts.MEASURES if name in training and training[name].notna().any()),
    ]
    return training[keep]


def _values(similarity: pd.DataFrame, metric: str, layers: list[str]) -> pd.DataFrame:
    """Similarity to the dense network as text: a row for each layer, a column for each round."""
    rows = similarity[
        (similarity["metric"] == metric)
        & (similarity["layer_a"] == similarity["layer_b"])
        & (similarity["seed_a"] == similarity["seed_b"])
        & (similarity["round_b"] == 0)
    ]
    table = rows.pivot_table(index="layer_a", columns="round_a", values="value", dropna=False).reindex(layers)
    table = table.map(lambda value: "×" if pd.isna(value) else f"{value:.3f}").reset_index()
    return table.rename(
        columns={"layer_a": "layer"} | {name: f"round {name}" for name in table if name != "layer_a"}
    )


def _networks_caption(records: list[dict]) -> str:
    one = records[0]
    sizes = f"{one['parameters']:,} parameters and {one['macs_dense']:,} multiply–adds when dense"
    return f"Networks ({one['network']}; {sizes})"


def _networks(records: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "seed": one["seed"],
                "round": one["round"],
                "weights left (%)": f"{100 * one['density']:.4g}",
                "parameters left": f"{one['parameters_kept']:,}",
                "multiply–adds": f"{one['macs_effective']:,}",
                "dead channels": one["dead_channels"],
                "test accuracy (%)": f"{100 * one['test_accuracy']:.2f}",
                "test loss": f"{one['test_loss']:.4f}",
                "epochs": one["epochs"],
                "time (s)": f"{one['seconds']:.1f}",
                "images/s": f"{one['images_per_second']:,.0f}",
            }
            for one in records
        ]
    )


def _provenance(records: list[dict], origin: dict[str, str]) -> pd.DataFrame:
    facts = dict(origin)
    environments = [one["environment"] for one in records]
    for key, name in (("processor", "processor"), ("instruction_set", "instructions"), ("cores", "cores")):
        facts[name] = _distinct(environment[key] for environment in environments)
    for key in ("device", "threads", "precision"):
        facts[key] = _distinct(one[key] for one in records)
    facts["platform"] = _distinct(environment["platform"] for environment in environments)
    facts["Python"] = _distinct(environment["python"] for environment in environments)
    for package in environments[0]["packages"]:
        facts[package] = _distinct(environment["packages"].get(package) for environment in environments)
    facts["data set"] = _distinct(one["dataset"] for one in records)
    return pd.DataFrame(list(facts.items()), columns=["what", "value"])


def _distinct(values) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None)) or "not known"


def _flat(settings: dict, prefix: str = "") -> pd.DataFrame:
    """Write nested settings as a table of dotted keys and values."""

    def walk(value: dict, prefix: str):
        for key, child in value.items():
            if isinstance(child, dict) and child:
                yield from walk(child, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", json.dumps(child, ensure_ascii=False).strip('"')

    return pd.DataFrame(list(walk(settings, prefix)), columns=["setting", "value"])


def _yaml(settings: dict) -> str:
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)


# --- the page -----------------------------------------------------------------------------------------------


def render(
    title: str, description: str, menus: list[Menu], sections: list[Section], tables: dict[str, pd.DataFrame]
) -> str:
    """Lay a page out as one HTML file with everything in it.

    Parameters
    ----------
    title, description : str
    menus : list of Menu
        Those that rule the whole page.
    sections : list of Section
    tables : dict of str to pandas.DataFrame
        Those that the charts name.

    Returns
    -------
    str
        HTML.
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
    """Pack a table as CSV for the page: six significant digits, compressed, in letters."""
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _format(table: pd.DataFrame) -> dict:
    kinds = {name: "number" if pd.api.types.is_numeric_dtype(table[name]) else "string" for name in table}
    return {"type": "csv", "parse": kinds}


def commit() -> str:
    """Name this code's commit, with ``-dirty`` when files were changed; "not known" outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return "not known"
    command = [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    return done.stdout.strip() or "not known"


def write(path: str | Path, text: str) -> None:
    """Write a page, atomically."""
    with atomic_path(path) as part:
        part.write_text(text)
