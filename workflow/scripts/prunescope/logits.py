"""The format of predictions.h5: a network's logits for all test images; reading and writing, without torch.

``/logits`` (n × outputs, float32), ``/labels`` (-1 where an image has none) and ``/examples``, the indices of
the images in the test set. Attributes: experiment, seed, round; dataset, the checksum of the data set, and
classes, the number of its classes.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from prunescope import hdf5
from prunescope.files import atomic_path, damaged


def write(path: str | Path, logits: np.ndarray, labels: np.ndarray, **attributes) -> None:
    """Write predictions.h5 with checksums, atomically; `attributes` are those of the file."""
    with atomic_path(path) as part:
        with h5py.File(part, "w") as file:
            file.attrs.update(attributes)
            file["logits"] = np.ascontiguousarray(logits, np.float32)
            file["labels"] = np.asarray(labels, np.int64)
            file["examples"] = np.arange(len(labels))
        hdf5.seal(part)


@dataclass(frozen=True)
class Logits:
    """The logits in an open file; slicing returns rows with verified checksums.

    Attributes
    ----------
    path : str
    labels : ndarray of int, shape (n,)
    classes : int
        Of the data set; a network that was trained elsewhere may have another number of outputs.
    outputs : int
    """

    path: str
    labels: np.ndarray
    classes: int
    data: h5py.Dataset
    sums: np.ndarray

    @property
    def outputs(self) -> int:
        return self.data.shape[1]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice) -> np.ndarray:
        read = hdf5.read_rows(self.data, self.sums, rows)
        if read is None:
            raise damaged(self.path)
        return read


@contextmanager
def opened(paths: Sequence[str | Path]) -> Iterator[list[Logits]]:
    """Open several predictions.h5."""
    with ExitStack() as stack:
        yield [_open(str(path), stack) for path in paths]


def _open(path: str, stack: ExitStack) -> Logits:
    with hdf5.opening(path, "file of predictions") as (file, sums):
        stack.enter_context(file)
        return Logits(path, file["labels"][:], int(file.attrs["classes"]), file["logits"], sums["logits"])
