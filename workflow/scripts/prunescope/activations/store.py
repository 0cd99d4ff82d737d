"""The format of activation files, reading and writing; without torch.

An activation file holds ``/layers/<dotted module name>``, one n × p matrix per layer whose rows are in the
same order for every round and seed; ``/examples``, the indices of the images in the test set; ``/labels``.
Attributes of a layer: ``order`` in the network; ``shape`` of the module's output for one image; ``grid``, the
sizes of the axes whose positions are rows, empty if each image has one row; ``positions`` in this grid; and
``width``, the number of units, which is p unless the matrix was rotated.
Attributes of the file describe what was recorded (``view``, ``positions``) and identify the network.
Checksums are at the end of the file, see `prunescope.hdf5`.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from prunescope import hdf5
from prunescope.errors import InputError
from prunescope.files import atomic_path, damaged

SCHEMA = 3
# Size of a chunk in compressed data sets, before compression.
CHUNK_BYTES = 2**20
# Rows to read at a time when only one matrix is read.
ROWS = hdf5.BLOCK


# --- reading ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Matrix:
    """One layer's matrix in an open activation file; slicing it returns arrays with verified checksums.

    Attributes
    ----------
    path : str
        Of the file, for messages.
    seed, round : int
    layer : str
    density : float
        Of the network.
    width : int
        Number of units.
    output : list of int
        Shape of the module's output for one image.
    positions : ndarray
        Sampled positions of an image.
    places : tuple
        See `places`.
    data : h5py.Dataset
    sums : ndarray of uint64 or None
        Checksums of the rows, see `prunescope.hdf5`; None if they were verified when the file was opened.
    """

    path: str
    seed: int
    round: int
    layer: str
    density: float
    width: int
    output: list[int]
    positions: np.ndarray
    places: tuple
    data: h5py.Dataset
    sums: np.ndarray | None

    @property
    def shape(self) -> tuple[int, int]:
        return self.data.shape

    @property
    def rows_per_image(self) -> int:
        """Number of consecutive rows that belong to one image."""
        return len(self.positions)

    @property
    def rotated(self) -> bool:
        """Whether the columns are a rotation of the units."""
        return self.width != self.shape[1]

    @property
    def table_columns(self) -> dict:
        """What the table of similarities has of it."""
        return {name: getattr(self, name) for name in ("seed", "round", "layer", "density")}

    def __getitem__(self, rows: slice) -> np.ndarray:
        try:
            values = self.data[rows] if self.sums is None else hdf5.read_rows(self.data, self.sums, rows)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"{self.path}: layer {self.layer} cannot be read ({error}); delete the file and run again"
            ) from None
        if values is None:
            raise damaged(f"{self.path}: layer {self.layer}")
        return values

    def not_finite(self) -> str:
        """Return a message that says how many activations are NaN or infinite."""
        starts = range(0, self.shape[0], ROWS)
        broken = sum(int(np.sum(~np.isfinite(self[start : start + ROWS]))) for start in starts)
        return (
            f"{self.path}: layer {self.layer} of round {self.round}: {broken} of {int(np.prod(self.shape))} "
            "activations are NaN or infinite; check this round's training"
        )


def places(data: h5py.Dataset) -> tuple:
    """Return what the rows of an image are. Rows of layers with equal places correspond."""
    grid = tuple(data.attrs["grid"].tolist())
    return (grid, tuple(data.attrs["positions"].tolist())) if grid else ()


@dataclass(frozen=True)
class Recording:
    """An open activation file.

    Attributes
    ----------
    path : str
    seed, round : int
    dataset, view, positions : str
        What was recorded: the data set's checksum, the view, and the requested positions.
    examples : h5py.Dataset
        Indices of the images in the test set.
    labels : ndarray of int, shape (images,), or None
        Classes of the images, -1 where there is none.
    matrices : dict of str to Matrix
        By layer, in the network's order.
    """

    path: str
    seed: int
    round: int
    dataset: str
    view: str
    positions: str
    examples: h5py.Dataset
    labels: np.ndarray | None
    matrices: dict[str, Matrix]


@contextmanager
def recordings(paths: Sequence[str | Path]) -> Iterator[list[Recording]]:
    """Open activation files.

    Raises
    ------
    InputError
        When a file is missing, damaged or has another schema.
    """
    with ExitStack() as stack:
        yield [_recording(str(path), stack) for path in paths]


def _recording(path: str, stack: ExitStack) -> Recording:
    with hdf5.opening(path, "activation file") as (file, sums):
        stack.enter_context(file)
        if file.attrs["schema"] != SCHEMA:
            raise InputError(
                f"{path}: activations of schema {file.attrs['schema']}, but this version reads {SCHEMA}; "
                "delete the file and run again"
            )
        seed, number, density = (file.attrs[key].item() for key in ("seed", "round", "density"))
        recorded = sorted(file["layers"].items(), key=lambda item: item[1].attrs["order"])
        matrices = {
            layer: Matrix(
                path,
                seed,
                number,
                layer,
                density,
                int(data.attrs["width"]),
                data.attrs["shape"].tolist(),
                data.attrs["positions"],
                places(data),
                data,
                sums.get(f"layers/{layer}"),
            )
            for layer, data in recorded
        }
        facts = {key: file.attrs[key] for key in ("dataset", "view", "positions")}
        labels = file["labels"][:] if "labels" in file else None
        return Recording(
            path, seed, number, **facts, examples=file["examples"], labels=labels, matrices=matrices
        )


# --- writing ---------------------------------------------------------------------------------------------


@contextmanager
def writing(
    path: str | Path,
    view: str,
    positions: int | str | list[int],
    examples: np.ndarray,
    labels: np.ndarray,
    attributes: dict,
) -> Iterator[h5py.Group]:
    """Write an activation file with checksums, atomically.

    Parameters
    ----------
    path : path
    view : str
        Name of the view.
    positions : int, str or list of int
        Requested positions for each image: their number, ``all``, or a list.
    examples, labels : ndarray of int, shape (n,)
        Indices of the images in the test set, and their classes.
    attributes : dict
        Attributes that identify the network: experiment, seed, round, network, density, dataset, code.

    Yields
    ------
    h5py.Group
        The layers, for `Writer`.
    """
    with atomic_path(path) as part:
        with h5py.File(part, "w", rdcc_nbytes=0) as file:
            file.attrs.update(schema=SCHEMA, view=view, positions=str(positions), **attributes)
            file["examples"] = examples
            file["labels"] = labels
            yield file.create_group("layers")
        hdf5.seal(part)


@dataclass(frozen=True)
class Layout:
    """How a layer's output becomes a matrix.

    Attributes
    ----------
    order : int
        Position of the layer in the network.
    shape : sequence of int
        Shape of the module's output for one image.
    grid : sequence of int
        Sizes of the axes whose positions become rows; empty if each image has one row.
    positions : ndarray of int
        Positions in the grid that become rows.
    images : int
        Total number of images.
    units : int
        Columns of the rows to write.
    columns : int
        Columns to store; fewer than `units` if the rows are rotated.
    """

    order: int
    shape: Sequence[int]
    grid: Sequence[int]
    positions: np.ndarray
    images: int
    units: int
    columns: int

    @property
    def rows(self) -> int:
        return self.images * len(self.positions)

    @property
    def rotated(self) -> bool:
        return self.columns < self.units


class Writer:
    """Writes one layer's rows to its HDF5 data set, or to scratch space until they are rotated at the end.

    Parameters
    ----------
    group : h5py.Group
        From `writing`.
    layer : str
    layout : Layout
    batch : int
        Number of images whose rows are written at a time.
    dtype : str
        ``float32`` or ``float16``; ``float64`` for activations from elsewhere.
    compression : str
        ``none``, ``lzf`` or ``gzip``.
    """

    def __init__(
        self, group: h5py.Group, layer: str, layout: Layout, batch: int, dtype: str, compression: str
    ):
        self.layout, compressed = layout, compression != "none"
        at_once = layout.rows if layout.rotated else min(batch, layout.images) * len(layout.positions)
        self.data = group.create_dataset(
            layer,
            (layout.rows, layout.columns),
            dtype=dtype,
            chunks=(_chunk(at_once, layout.columns), layout.columns) if compressed else None,
            compression=compression if compressed else None,
            shuffle=compressed,
        )
        self.data.attrs.update(
            order=layout.order,
            shape=list(layout.shape),
            grid=np.array(layout.grid, dtype=int),
            positions=layout.positions,
            width=layout.units,
        )
        folder = Path(group.file.filename).parent
        self._rows = (
            _scratch(folder, self.data.dtype, layout.rows, layout.units) if layout.rotated else self.data
        )

    def write(self, rows: np.ndarray, first: int) -> None:
        """Write the rows of a batch that starts at image `first`."""
        start = first * len(self.layout.positions)
        self._rows[start : start + len(rows)] = rows

    def finish(self, rotate: Callable[[np.ndarray], np.ndarray]) -> None:
        """Store the rotation of the rows in scratch space."""
        if self.layout.rotated:
            self.data[...] = rotate(self._rows).astype(self.data.dtype)


def _chunk(rows: int, columns: int) -> int:
    """Rows of a chunk of about a megabyte. Each batch fills whole chunks, so no partial chunk is cached."""
    parts = max(1, 4 * columns * rows // CHUNK_BYTES)
    return rows // next(count for count in range(min(parts, rows), rows + 1) if rows % count == 0)


def _scratch(folder: Path, dtype: np.dtype, rows: int, columns: int) -> np.memmap:
    """Numbers in an unnamed file on disk, at least float32, so nothing remains however the job ends."""
    dtype = np.result_type(dtype, np.float32)
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            # A full disk raises an error here; later, in the memory map, it would cause SIGBUS.
            os.posix_fallocate(file.fileno(), 0, dtype.itemsize * rows * columns)
        return np.memmap(file, dtype, "w+", shape=(rows, columns))
