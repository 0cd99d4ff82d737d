"""Names of the rounds in pages and figures, and their positions in charts."""

from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from prunescope.errors import counted


@dataclass(frozen=True)
class Rounds:
    """The rounds of an experiment."""

    # Weights remaining by round: mean over seeds.
    percents: dict[int, float]
    # Names of networks that were trained elsewhere, by round; empty for rounds of this workflow.
    labels: dict[int, str]
    # The fewest and the most weights remaining of any network, in percent.
    span: tuple[float, float]

    @classmethod
    def of(cls, accuracy: pd.DataFrame, models: list[dict] | None = None) -> "Rounds":
        """Return the rounds of an accuracy table, with the labels of `models` (the key of an experiment)."""
        densities = accuracy.groupby("round")["density"].mean()
        names: dict[int, dict[str, None]] = {}
        counts: dict[int, int] = {}
        for model in models or ():
            round = counts.get(model["lineage"], 0)
            counts[model["lineage"]] = round + 1
            names.setdefault(round, {})[model["label"] or str(round)] = None
        named = any(model["label"] for model in models or ())
        labels = {round: " / ".join(texts) for round, texts in names.items()} if named else {}
        span = 100 * float(accuracy["density"].min()), 100 * float(accuracy["density"].max())
        return cls({int(round): 100 * float(density) for round, density in densities.items()}, labels, span)

    @property
    def last(self) -> int:
        """The last round."""
        return max(self.percents)

    @property
    def by_weights(self) -> bool:
        """Whether weights are removed in every round, so that they can be an axis; else, rounds are."""
        percents = list(self.percents.values())
        return all(after < before for before, after in pairwise(percents))

    @property
    def texts(self) -> dict[int, str]:
        """Weights remaining in percent, as text by round."""
        return {round: f"{percent:.3g}" for round, percent in self.percents.items()}

    @property
    def field(self) -> str:
        """The column of tables that has the position of a row in charts."""
        return "weights" if self.by_weights else "round"

    @property
    def positions(self) -> dict[int, float]:
        """Position of each round in charts: its weights remaining in percent, or its number."""
        return self.percents if self.by_weights else {round: float(round) for round in self.percents}

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and highest position of any network."""
        return self.span if self.by_weights else (float(min(self.percents)), float(self.last))

    @property
    def word(self) -> str:
        """The word for a round."""
        return "model" if self.labels else "round"

    @property
    def across(self) -> str:
        """What `positions` are, in words."""
        return "weights remaining" if self.by_weights else self.word

    @property
    def against(self) -> str:
        """The end of a chart's title: what it draws something against."""
        return f"against {self.across}" if self.by_weights else f"by {self.across}"

    @property
    def axis(self) -> str:
        """Title of an axis of `positions`."""
        return f"{self.across} (%)" if self.by_weights else self.across

    def name(self, round: int) -> str:
        """Return the name of a round."""
        return self.labels.get(round, str(round))

    def when(self, round: int) -> str:
        """When a round is, as part of a sentence: ``after 5 rounds`` or ``in “50 %”``."""
        if self.labels:
            return f"in “{self.name(round)}”"
        return f"after {counted(round, 'round')}"

    @property
    def after(self) -> str:
        """When the last round is, as part of a sentence."""
        return self.when(self.last)

    def text(self, round: int) -> str:
        """Return the weights left in a round and its name, as the slider shows them."""
        if self.labels:
            return f"{self.texts[round]} % · {self.name(round)}"
        return f"{self.texts[round]} % · " + (f"round {round} of {self.last}" if round else "dense")
