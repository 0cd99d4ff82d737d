"""The conclusions from an experiment: numbers, their spread over seeds, and verdicts.

Verdicts concern the primary measure, which is chosen before the run (`findings.measure`), and the seeds whose
networks all classify (`findings.least_accuracy`). `prunescope.findings.claims` defines the questions.
"""

import numpy as np
import pandas as pd

from prunescope.findings import claims, slices
from prunescope.findings.numbers import of_measure
from prunescope.findings.sentences import in_words
from prunescope.findings.statistics import FEWEST_SEEDS, LEVEL, Contrast, of_seeds, spread
from prunescope.findings.words import (
    ABOVE,
    FAILS,
    HOLDS,
    NOT_APPLICABLE,
    STAYS,
    TOO_FEW_SEEDS,
    UNDECIDED,
)


def conclude(
    name: str,
    similarity: pd.DataFrame,
    accuracy: pd.DataFrame,
    shapes: dict[str, list[int]],
    measures: dict[str, dict[str, str]],
    settings: dict,
    controls: dict[str, tuple[pd.DataFrame, pd.DataFrame]] | None = None,
    untrained: pd.DataFrame | None = None,
) -> dict:
    """Compute the findings of an experiment; results/README.md lists their keys.

    `shapes` are the output shapes of the recorded layers, in the order of the network: three numbers are a
    convolution's maps, one is a fully connected layer. `measures` are from `findings.labels.shown`.
    `settings` are ``primary`` (the measure of the verdicts; without it there are numbers but no verdicts),
    ``margin`` (the smallest difference of interest) and ``least_accuracy``: a network below it does not
    classify, and its seed is left out of verdicts. `controls` are matrix and accuracy table by series. With
    fewer than three seeds all verdicts are ``too few seeds``, and there is neither an interval nor a test.
    """
    last, controls = int(accuracy["round"].max()), controls or {}
    primary, margin, least_accuracy = (settings[key] for key in ("primary", "margin", "least_accuracy"))
    rows, other_seeds = slices.pruned(slices.to_dense(similarity)), slices.other_seeds(similarity)
    failed = slices.failed(accuracy, least_accuracy)
    findings = {
        "experiment": name,
        "seeds": sorted(int(seed) for seed in accuracy["seed"].unique()),
        "last_round": last,
        "last_density": float(accuracy.loc[accuracy["round"] == last, "density"].mean()),
        "primary": primary,
        "label": measures[primary]["label"] if primary else None,
        "margin": margin,
        "least_accuracy": least_accuracy,
        "failed": failed,
        "failed_controls": {
            control: networks
            for control, (_, table) in controls.items()
            if (networks := slices.failed(table, least_accuracy))
        },
        "measures": {
            measure: of_measure(
                slices.of_measure(rows, measure), slices.of_measure(other_seeds, measure), last, list(shapes)
            )
            for measure in slices.measures(rows)
        },
    }
    retrain = controls[slices.RETRAINED][0] if slices.RETRAINED in controls else None
    tables = [
        None if table is None or not primary or (part := slices.of_measure(table, primary)).empty else part
        for table in (rows, other_seeds, retrain, untrained)
    ]
    findings |= _answers(accuracy, shapes, margin, *tables)
    if failed or findings["failed_controls"].get(slices.RETRAINED):
        findings["with_failed"] = {
            key: findings[key] for key in ("accuracy", "claims", "layers") if key in findings
        }
        rows, other_seeds, retrain, untrained = tables
        classify = accuracy[~accuracy["seed"].isin(_seeds(failed))]
        tables = [slices.without_seeds(table, _seeds(failed)) for table in (rows, other_seeds)]
        without = _seeds(findings["failed_controls"].get(slices.RETRAINED, []))
        tables += [slices.without_seeds(retrain, without), untrained]
        findings |= _answers(classify, shapes, margin, *tables)
    return findings | {"text": in_words(findings)}


def _seeds(networks: list[list[int]]) -> set[int]:
    return {seed for seed, _ in networks}


def _answers(
    accuracy: pd.DataFrame,
    shapes: dict[str, list[int]],
    margin: float,
    rows: pd.DataFrame | None,
    other_seeds: pd.DataFrame | None,
    retrain: pd.DataFrame | None,
    untrained: pd.DataFrame | None,
) -> dict:
    """Return ``accuracy``, ``claims`` and ``layers`` from the seeds in these tables of one measure."""
    findings = {"accuracy": _accuracy(accuracy)}
    if rows is None:
        return findings
    if accuracy["seed"].nunique() < FEWEST_SEEDS:
        few = {"verdict": TOO_FEW_SEEDS, "seeds": sorted(map(int, accuracy["seed"].unique())), "lost": []}
        answers = dict.fromkeys(("change", "grows_apart", "stays_similar", "finding"), few)
        answers |= {"beyond_retrain": None if retrain is None else few}
        answers |= {"untrained": None if untrained is None else few}
        layer = {"change": few, "other_seeds": None if other_seeds is None else few}
        return findings | {"claims": answers, "layers": dict.fromkeys(shapes, layer)}
    data = _Values(rows)
    control = None if retrain is None else _Values(slices.pruned(slices.to_dense(retrain)))
    change, middle = _falls(data, accuracy, shapes, margin, control)
    layers = {layer: {"change": answer} for layer, answer in change.items()}
    for layer, answer in _against_others(data, other_seeds, list(shapes)).items():
        layers[layer]["other_seeds"] = answer
    return findings | {"claims": middle | _shape(data, shapes, margin, control, untrained), "layers": layers}


class _Values:
    """The values of one measure, as tables of seeds × (round, layer)."""

    def __init__(self, rows: pd.DataFrame):
        trusted = slices.trusted(rows, slices.SIZES)
        self.rows, self.last = rows, rows["round_a"].max()
        # Values that may be compared in size, and those of which only the order can be trusted.
        self.sizes = slices.by_seed(trusted)
        self.order = slices.by_seed(slices.trusted(rows, slices.ORDER))
        self.above_classes = slices.by_seed(trusted.assign(value=trusted["value"] - rows["chance_classes"]))
        # Whether the layer is dead or lost rank.
        self.lost = slices.by_seed(rows.assign(value=rows["status"].isin(slices.LOST))).eq(True)

    def seeds_lost(self, layers: list[str], rounds: pd.Index) -> list[int]:
        """Return the seeds in which one of the layers is lost in one of the rounds."""
        columns = self.lost.columns
        here = columns.get_level_values(0).isin(rounds) & columns.get_level_values(1).isin(layers)
        return [int(seed) for seed in self.lost.index[self.lost.loc[:, here].any(axis=1)]]


def _mean(table: pd.DataFrame, rounds: pd.Index, layers: list[str]) -> pd.DataFrame:
    """Average some layers: seeds × rounds. A mean over fewer layers than these is missing."""
    # Networks that were trained elsewhere need not have all layers, and controls need not have all rounds.
    whole = table.reindex(columns=pd.MultiIndex.from_product([rounds, layers]))
    return pd.DataFrame({round: whole[round].mean(axis=1, skipna=False) for round in rounds})


def _side_by_side(tables: list[pd.DataFrame]) -> tuple[pd.Index, list[np.ndarray]]:
    """Return the seeds that have all values in all tables, and their values."""
    both = pd.concat(tables, axis=1, join="inner").dropna()
    return both.index, np.split(both.to_numpy(), np.cumsum([table.shape[1] for table in tables])[:-1], axis=1)


def _answer(
    word: np.ndarray,
    contrasts: dict[str, Contrast],
    seeds: pd.Index,
    margin: float | None = None,
    limits: tuple[float, ...] = (0.0,),
    level: float = LEVEL,
    lost: list[int] | None = None,
    against: str | None = None,
) -> dict:
    """Return the answer to a question: the verdict, the numbers behind it and the seeds that have them.

    The contrasts are compared with `limits`, at `level`. `lost` are seeds in which a layer is lost, which
    count against the verdict `against`.
    """
    about = {"seeds": [int(seed) for seed in seeds], "lost": lost or []}
    if len(seeds) < FEWEST_SEEDS:
        return {"verdict": TOO_FEW_SEEDS} | about
    blocked = bool(lost) and word == against
    verdict = UNDECIDED if blocked else str(word)
    needed = [one.seeds_needed(limit, level) for one in contrasts.values() for limit in limits]
    return {
        "verdict": verdict,
        "contrasts": {name: one.summary(margin) for name, one in contrasts.items()},
        "seeds_needed": None if verdict != UNDECIDED or blocked or None in needed else max(needed),
    } | about


def _accuracy(table: pd.DataFrame) -> dict:
    """Compare the test accuracy of the last round with that of the dense network, seed by seed."""
    rounds = table.pivot(index="seed", columns="round", values="test_accuracy")
    # Lineages of networks that were trained elsewhere can be shorter.
    both = rounds.reindex(columns=[rounds.columns.max(), 0]).dropna()
    change = of_seeds(both.to_numpy(), [1.0, -1.0])
    answer = _answer(claims.differ([change])[..., 0], {"change": change}, both.index)
    return answer | {"dense": spread(both.iloc[:, 1]), "last": spread(both.iloc[:, 0])}


def _falls(
    data: _Values,
    accuracy: pd.DataFrame,
    shapes: dict[str, list[int]],
    margin: float,
    control: _Values | None,
) -> tuple[dict[str, dict | None], dict]:
    """Answer what falls over the rounds, for each layer, and for any layer and the middle together."""
    rounds = data.sizes.columns.unique(0)
    rounds = rounds if control is None else rounds.intersection(control.sizes.columns.unique(0))
    log_density = np.log(accuracy.groupby("round")["density"].mean()).loc[rounds].to_numpy()
    if len(np.unique(log_density)) < 2:
        none = _not_applicable("fewer than two densities to fit a line to")
        return dict.fromkeys(shapes), dict.fromkeys(("change", "grows_apart", "stays_similar"), none)

    def fall(layers: list[str]) -> dict:
        tables = [_mean(one.sizes, rounds, layers) for one in (data, control) if one is not None]
        seeds, values = _side_by_side(tables)
        return {
            "contrasts": {"fall": claims.fall(values[0], log_density, *values[1:])},
            "seeds": seeds,
            "margin": margin,
            "limits": (margin, -margin),
            "lost": data.seeds_lost(layers, rounds),
        }

    falls = {layer: fall([layer]) for layer in shapes}
    enough = [layer for layer, one in falls.items() if len(one["seeds"]) >= FEWEST_SEEDS]
    words = claims.layers_change([falls[layer]["contrasts"]["fall"] for layer in enough], margin)
    words = dict(zip(enough, words, strict=True))
    level = LEVEL / max(len(enough), 1)
    layers = {
        layer: _answer(words.get(layer), **one, level=level, against=STAYS) for layer, one in falls.items()
    }
    verdicts = np.array([one["verdict"] for one in layers.values()])
    change = {"verdict": str(claims.changes(verdicts)) if enough else TOO_FEW_SEEDS}
    try:
        middle = fall(_groups(data, shapes)[0]["middle"])
    except ValueError as reason:
        none = _not_applicable(str(reason))
        return layers, {"change": change, "grows_apart": none, "stays_similar": none}
    one = middle["contrasts"]["fall"]
    stays = _answer(claims.stays_similar(one, margin), **middle, against=HOLDS)
    middle |= {"limits": (margin,)}
    grows = _answer(claims.grows_apart(one, margin), **middle, against=FAILS)
    return layers, {"change": change, "grows_apart": grows, "stays_similar": stays}


def _not_applicable(reason: str) -> dict:
    return {"verdict": NOT_APPLICABLE, "reason": reason}


def _shape(
    data: _Values,
    shapes: dict[str, list[int]],
    margin: float,
    control: _Values | None,
    untrained: pd.DataFrame | None,
) -> dict:
    """Answer the questions about the paper's finding; the controls' answers are None without a control."""
    try:
        members, left_out = _groups(data, shapes)
    except ValueError as reason:
        none = _not_applicable(str(reason))
        others = {"beyond_retrain": control, "untrained": untrained}
        return {"finding": none} | {name: None if one is None else none for name, one in others.items()}

    def means(table: pd.DataFrame) -> pd.DataFrame:
        last = pd.Index([data.last])
        return pd.concat([_mean(table, last, layers) for layers in members.values()], axis=1, keys=members)

    def answer(tables: list[pd.DataFrame]) -> dict:
        seeds, values = _side_by_side(tables)
        contrasts = claims.shape(*values)
        word = claims.has_shape(contrasts, margin)
        ends, middle = (
            data.seeds_lost(layers, [data.last])
            for layers in (members["first"] + members["output"], members["middle"])
        )
        # A lost layer is not similar. In the middle this agrees with the finding, elsewhere it does not.
        against = HOLDS if ends and word == HOLDS else FAILS if middle else None
        lost = sorted({*ends, *middle})
        return _answer(word, contrasts, seeds, margin, (margin,), lost=lost, against=against)

    values = means(data.sizes)
    finding, above = answer([values]), _side_by_side([means(data.above_classes)])[1][0]
    finding |= {"groups": members, "left_out": left_out, "rows_per_unit": _unequal(data.rows, members)}
    finding |= {group: spread(values.loc[finding["seeds"], group].iloc[:, 0]) for group in members}
    finding["above_classes"] = (
        {name: one.summary(margin) for name, one in claims.shape(above).items()}
        if len(above) >= FEWEST_SEEDS
        else None
    )
    return {
        "finding": finding,
        "beyond_retrain": None if control is None else answer([values, means(control.sizes)]),
        "untrained": None if untrained is None else _untrained(untrained, members, margin),
    }


def _untrained(rows: pd.DataFrame, members: dict[str, list[str]], margin: float) -> dict:
    """Test whether untrained networks of different seeds show the shape of the finding."""
    trusted = slices.trusted(rows, slices.SIZES)
    pairs = {layer: slices.by_pair(trusted, layer) for layers in members.values() for layer in layers}
    tables = [sum(pairs[layer] for layer in layers) / len(layers) for layers in members.values()]
    matrices = np.stack([table.to_numpy() for table in tables])
    complete = claims.complete(matrices.sum(axis=0))
    seeds = tables[0].index[complete]
    if len(complete) < FEWEST_SEEDS:
        return _answer(np.array(UNDECIDED), {}, seeds)
    contrasts = claims.shape_of_pairs(matrices[:, complete][:, :, complete])
    return _answer(claims.has_shape(contrasts, margin), contrasts, seeds, margin, (margin,))


def _against_others(data: _Values, other_seeds: pd.DataFrame, layers: list[str]) -> dict[str, dict | None]:
    """Compare each layer's similarity in the last round with that of dense networks of different seeds."""
    if other_seeds is None:
        return dict.fromkeys(layers)
    trusted = slices.trusted(other_seeds, slices.ORDER)
    values = data.order[data.last].reindex(columns=layers)
    seeds, contrasts = {}, {}
    for layer in layers:
        table = slices.by_pair(trusted, layer)
        of_seed, matrix = values[layer].reindex(table.index).to_numpy(), table.to_numpy()
        # Pairs with a seed that has no value itself are not used.
        known = np.flatnonzero(~np.isnan(of_seed))
        known = known[claims.complete(matrix[np.ix_(known, known)])]
        seeds[layer] = table.index[known]
        if len(known) >= FEWEST_SEEDS:
            contrasts[layer] = claims.against_others(of_seed[known], matrix[np.ix_(known, known)])
    words = dict(zip(contrasts, claims.differ(list(contrasts.values())), strict=True))
    return {
        layer: _answer(
            words.get(layer),
            {"difference": contrasts[layer]} if layer in contrasts else {},
            seeds[layer],
            level=LEVEL / 2 / len(layers),
            lost=data.seeds_lost([layer], [data.last]),
            against=ABOVE,
        )
        for layer in layers
    }


def _groups(data: _Values, shapes: dict[str, list[int]]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the layers of each group, and those left out because they have no trusted value in any seed.

    A layer that is lost stays in its group.
    """
    final = data.rows[data.rows["round_a"] == data.last]
    usable = set(final[final["status"].isin([*slices.SIZES, *slices.LOST])]["layer_a"])
    status = final[~final["layer_a"].isin(usable)].groupby("layer_a")["status"].agg("first")
    kept, left_out = {}, {}
    for group, layers in claims.groups(shapes).items():
        kept[group] = [layer for layer in layers if layer in usable]
        missing = {layer: str(status.get(layer, "not compared")) for layer in layers if layer not in usable}
        if not kept[group]:
            why = ", ".join(dict.fromkeys(missing.values()))
            raise ValueError(
                f"{group} layers have no value in the last round that can be compared between layers "
                f"({why}): {', '.join(layers)}"
            )
        left_out |= missing
    return kept, left_out


def _unequal(rows: pd.DataFrame, members: dict[str, list[str]]) -> list[float] | None:
    """Return the smallest and largest number of rows per unit if the layers' biases differ.

    A measure whose chance level is 0 has no such bias.
    """
    used = rows[rows["layer_a"].isin([layer for layers in members.values() for layer in layers])]
    rates = used["n"] / used[["width_a", "width_b"]].max(axis=1)
    if (used["chance"] == 0).all() or rates.nunique() < 2:
        return None
    return [float(rates.min()), float(rates.max())]
