"""What goes with what: every combination of ways of pruning is planned, or refused with one line."""

import itertools

import pytest
from test_stages import MINIMAL

from prunescope import kinds
from prunescope.errors import InputError
from prunescope.plan import stages
from prunescope.settings.experiment import REFUSED, validated
from prunescope.settings.pruning import PruningSettings, Selection
from prunescope.settings.reading import merge

CHOICES = {
    "control": list(kinds.known("control")),
    "criterion": list(kinds.known("criterion")),
    **{
        name: list(field.annotation.__args__)
        for name, field in Selection.by_key().items()
        if name in ("at", "from", "unit", "scope", "retraining")
    },
}
CELLS = [dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())]
UNTRAINED = {"grasp", "snip", "synflow"}


def allowed(control, criterion, at, unit, scope, retraining, **_) -> bool:
    """What makes sense, in other words than the table."""
    if unit == "channel" and (scope == "erk" or criterion in {"grasp", "wanda"}):
        return False
    if unit == "channel" and criterion == "random" and scope != "layer":
        return False
    if retraining == "none" and control not in ("none", "shuffled-masks"):
        return False
    if at == "initialisation":
        return criterion in {"magnitude", "random"} | UNTRAINED and retraining == "lr-rewind"
    return criterion not in UNTRAINED and not (criterion == "wanda" and scope == "global")


def experiment(cell: dict) -> dict:
    """An experiment with these values; without the one that it would extend."""
    pruning = {key: value for key, value in cell.items() if key != "control"}
    pruning |= {"finetune": {"epochs": 1}} if pruning["retraining"] == "finetune" else {}
    return merge(MINIMAL, {"control": cell["control"], "pruning": pruning})


@pytest.mark.parametrize("criterion", CHOICES["criterion"])
@pytest.mark.parametrize("control", CHOICES["control"])
def test_every_combination_is_planned_or_refused(control, criterion):
    cells = [cell for cell in CELLS if (cell["control"], cell["criterion"]) == (control, criterion)]
    for cell in cells:
        if allowed(**cell):
            this = validated(experiment(cell), "x")
            own = PruningSettings(**stages.prune_params(this, 2)["pruning"])
            needed = stages.starts_from(this)
            assert own.at == cell["at"] and needed <= {"origin", "rewind", "masks"}
            # The masks are those of another experiment, or follow from scores.
            assert ("masks" in needed) == (control not in ("none", "retrain"))
            assert ("rewind" in needed) == (own.retraining == "rewind" and control != "new-weights")
            kept = own.at == "training" and own.retraining != "rewind" and control != "new-weights"
            scored = control == "none" and (own.at == "training" or own.origin == "previous")
            assert ("origin" in needed) == (kept or scored)
        else:
            with pytest.raises(InputError) as caught:
                validated(experiment(cell), "x")
            text = str(caught.value)
            assert text.startswith(("x: pruning.", "x: control = ")) and "\n" not in text
            assert any(f'= "{value}": ' in text for value in cell.values()), text
    assert len(cells) * len(CHOICES["control"]) * len(CHOICES["criterion"]) == len(CELLS)


def test_each_line_refuses_something_that_no_other_line_does():
    for parts, _ in REFUSED:
        assert set(parts) <= set(CHOICES) and all(set(parts[key]) <= set(CHOICES[key]) for key in parts)
    texts = {str_of(cell) for cell in CELLS if not allowed(**cell)}
    assert len(texts) == len(REFUSED)


def str_of(cell: dict) -> str:
    with pytest.raises(InputError) as caught:
        validated(experiment(cell), "x")
    return str(caught.value).partition('": ')[2]
