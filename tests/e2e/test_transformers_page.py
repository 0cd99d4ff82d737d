"""The example of docs/transformers.md, and its picture: run the example in docs/ to draw it again."""

import re
import runpy
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
DOCS = Path(__file__).parents[2] / "docs"
LARGEST = 60_000


def accuracies(picture: Path) -> list[float]:
    """The accuracies that a picture names, in its order."""
    return [float(number) for number in re.findall(r"accuracy (\d\.\d\d)", picture.read_text())]


def test_the_example_draws_the_picture_of_the_page(tmp_path, monkeypatch):
    page = (DOCS / "transformers.md").read_text()
    (example,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if ".save(" in code]
    (tmp_path / "example.py").write_text(example)
    monkeypatch.chdir(tmp_path)
    table = runpy.run_path("example.py")["table"]
    values = table.pivot(index="block", columns="network", values="value")[table["network"].unique()]
    assert values.shape == (4, 3) and set(table["status"]) == {"ok"}
    # The fewer weights are left, the less similar is every block; the first block has changed least.
    assert (values.diff(axis=1).iloc[:, 1:] < 0).all(axis=None) and (values.iloc[0] > values.iloc[-1]).all()
    drawn, shown = tmp_path / "transformers.svg", DOCS / "transformers.svg"
    # Other processors round differently, and training enlarges the difference.
    assert accuracies(drawn) == pytest.approx(accuracies(shown), abs=0.1) and len(accuracies(shown)) >= 4
    assert shown.stat().st_size < LARGEST
