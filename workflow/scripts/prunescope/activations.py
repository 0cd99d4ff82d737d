"""What a network's layers compute on chosen images: hooks, views, HDF5.

An activation file holds ``/layers/<dotted module name>``, one n × p matrix per layer whose rows are in the
same order for every round and seed; ``/examples``, the indices of the images in the test set; ``/labels``.
Attributes of a layer: ``order`` in the network, ``shape`` of the module's output for one image, ``positions``
that were sampled from it, and ``width``, the number of units, which is p unless the matrix was rotated.
"""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from prunescope import modules
from prunescope.errors import InputError
from prunescope.files import atomic_path
from prunescope.provenance import derive_seed

log = logging.getLogger("prunescope")

SCHEMA = 1
# Of compressed data sets, before compression.
CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class ActivationSettings:
    """What is recorded; the keys of `activations` in an experiment file.

    Attributes
    ----------
    layers : list of str
        Patterns of module names or types, see `modules.select`.
    examples : int or None
        Number of test images; None is all.
    view : str
        ``channels``, ``flatten`` or ``pooled``.
    positions : int or str
        Positions per image for the view ``channels``, or ``all``.
    dtype : str
        ``float32`` or ``float16``.
    compression : str
        ``none``, ``lzf`` or ``gzip``.
    batch_size : int
        Images per forward pass.
    threads : int
        Processor threads.
    """

    layers: list[str]
    examples: int | None = 500
    view: str = "channels"
    positions: int | str = "all"
    dtype: str = "float32"
    compression: str = "none"
    batch_size: int = 250
    threads: int = 1


def choose_examples(available: int, wanted: int | None) -> np.ndarray:
    """Draw test images: the same for every seed and round, in ascending order.

    Raises
    ------
    InputError
        When there are fewer than wanted.
    """
    if wanted is None or wanted == available:
        return np.arange(available)
    if wanted > available:
        raise InputError(f"activations.examples = {wanted}: there are {available} test images; ask for fewer")
    generator = np.random.default_rng(derive_seed(0, "examples", available))
    return np.sort(generator.choice(available, wanted, replace=False))


def choose_positions(height: int, width: int, wanted: int | str) -> np.ndarray:
    """Draw positions (row × width + column) of a feature map: a function of its shape alone, ascending.

    All of them when as many or more are wanted than there are.
    """
    places = height * width
    if wanted == "all" or wanted >= places:
        return np.arange(places)
    generator = np.random.default_rng(derive_seed(0, "positions", height, width))
    return np.sort(generator.choice(places, wanted, replace=False))


def to_rows(output: Tensor, view: str, positions: Tensor | None = None) -> Tensor:
    """Turn a layer's output into matrix rows.

    Parameters
    ----------
    output : Tensor, shape (n, p) or (n, c, h, w)
    view : str
        ``channels``: each chosen position of each image is a row; ``flatten``: each image is a row of c·h·w;
        ``pooled``: each image is a row of c spatial means. A matrix (n, p) stays as it is.
    positions : Tensor of int, shape (s,), optional
        Flat positions for ``channels``; None is all.

    Returns
    -------
    Tensor, shape (n·s, c), (n, c·h·w) or (n, c)
    """
    if output.ndim == 2:
        return output
    if view == "flatten":
        return output.flatten(1)
    if view == "pooled":
        return output.mean(dim=(2, 3))
    places = output.permute(0, 2, 3, 1).flatten(1, 2)
    if positions is not None:
        places = places.index_select(1, positions)
    return places.flatten(0, 1)


@contextmanager
def recording(layers: dict[str, nn.Module], keep: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Hand over the outputs of modules as they run, until the block ends.

    Parameters
    ----------
    layers : dict of str to torch.nn.Module
        By name.
    keep : callable
        Gets name and output, which nothing else holds for it: outputs are large.

    Raises
    ------
    InputError
        From the forward pass, when an output is not one tensor of 2 or 4 dimensions.
    """

    def hook(name: str, output) -> None:
        if not isinstance(output, Tensor):
            problem = f"gives a {type(output).__name__} instead of one tensor"
        elif output.ndim not in (2, 4):
            problem = (
                f"gives shape {tuple(output.shape)}, neither (n, units) nor (n, channels, height, width)"
            )
        else:
            keep(name, output)
            return
        raise InputError(f"activations.layers: module {name} {problem}; choose other layers")

    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: hook(name, output))
        for name, module in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def extract(
    path: str | Path,
    network: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    prepare: Callable[[Tensor], Tensor],
    settings: ActivationSettings,
    attributes: dict,
    device: torch.device | str = "cpu",
) -> None:
    """Record layers on chosen test images and write the activation file, atomically.

    Parameters
    ----------
    path : path
    network : torch.nn.Module
        Is moved to `device` and put into evaluation mode.
    images : ndarray of uint8, shape (N, C, H, W)
        All test images.
    labels : ndarray of int, shape (N,)
    prepare : callable
        Turns a batch of uint8 images into the network's input, e.g. normalises it.
    settings : ActivationSettings
    attributes : dict
        File attributes that say where the network comes from: experiment, seed, round, network, density,
        dataset, code.
    device : torch.device

    Raises
    ------
    InputError
        When fewer images are there than asked for, a pattern matches no module, a module cannot be recorded,
        or activations are not finite.
    """
    layers = modules.select(network, settings.layers, "activations.layers")
    examples = choose_examples(len(images), settings.examples)
    network = network.to(device, memory_format=torch.channels_last).eval()
    start = time.monotonic()
    with atomic_path(path) as part, h5py.File(part, "w", rdcc_nbytes=0) as file:
        file.attrs.update(schema=SCHEMA, view=settings.view, positions=str(settings.positions), **attributes)
        file["examples"] = examples
        file["labels"] = labels[examples]
        group = file.create_group("layers")
        stores: dict[str, _Store] = {}
        first, seen = 0, set()

        def keep(name: str, output: Tensor) -> None:
            if name in seen:
                raise InputError(
                    f"activations.layers: module {name} runs more than once in a forward pass, so it has no "
                    "single output; choose other layers"
                )
            seen.add(name)
            if name not in stores:
                order = list(layers).index(name)
                stores[name] = _Store(group, name, order, output, len(examples), settings)
            stores[name].write(output, first)

        with (
            torch.inference_mode(),
            # Reduced-precision convolutions would make GPU and CPU differ in the third digit.
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
            recording(layers, keep),
        ):
            for first in range(0, len(examples), settings.batch_size):
                batch = torch.from_numpy(images[examples[first : first + settings.batch_size]]).to(device)
                seen.clear()
                network(prepare(batch).contiguous(memory_format=torch.channels_last))
                for name in layers:
                    if name not in seen:
                        raise InputError(f"activations.layers: module {name} never runs; choose other layers")
                done = first + len(batch)
                log.info("%d of %d images after %.1f s", done, len(examples), time.monotonic() - start)
        for name, store in stores.items():
            if store.broken:
                hint = (
                    ", or float16 too narrow for them: it ends at 65504"
                    if settings.dtype == "float16"
                    else ""
                )
                raise InputError(
                    f"layer {name} of round {attributes.get('round')}: {store.broken} of {store.written} "
                    f"activations are NaN or infinite; look at this round's training{hint}"
                )
            store.finish(device)


class _Store:
    """Where one layer's rows go, batch by batch: its HDF5 data set, or scratch space to be rotated later."""

    def __init__(
        self,
        group: h5py.Group,
        name: str,
        order: int,
        output: Tensor,
        images: int,
        settings: ActivationSettings,
    ):
        self.view, self.dtype, self.name = settings.view, getattr(torch, settings.dtype), name
        self.broken = self.written = 0
        places = choose_positions(1, 1, "all")
        self.positions = None
        if settings.view == "channels" and output.ndim == 4:
            places = choose_positions(*output.shape[2:], settings.positions)
            if len(places) < output.shape[2:].numel():
                self.positions = torch.from_numpy(places).to(output.device)
        self.places = len(places)
        units = to_rows(output[:1], settings.view, self.positions).shape[1]
        self.rotates = settings.view == "flatten" and units > images
        n, p = images * self.places, images if self.rotates else units
        compressed = settings.compression != "none"
        # Each batch fills whole chunks, about a megabyte each: there is no cache that could keep half of one.
        batch = min(settings.batch_size, images) * self.places if not self.rotates else n
        parts = max(1, 4 * p * batch // CHUNK_BYTES)
        parts = next(count for count in range(min(parts, batch), batch + 1) if batch % count == 0)
        self.data = group.create_dataset(
            name,
            (n, p),
            dtype=settings.dtype,
            chunks=(batch // parts, p) if compressed else None,
            compression=settings.compression if compressed else None,
            shuffle=compressed,
        )
        self.data.attrs.update(order=order, shape=list(output.shape[1:]), positions=places, width=units)
        self.rows = self.data
        if self.rotates:
            # Without a name from the start, so nothing is left behind however the job ends.
            with tempfile.TemporaryFile(dir=Path(group.file.filename).parent) as scratch:
                if hasattr(os, "posix_fallocate"):
                    # A full disk is an error here; later, in the memory map, it would be a signal's death.
                    os.posix_fallocate(scratch.fileno(), 0, 4 * images * units)
                self.rows = np.memmap(scratch, np.float32, "w+", shape=(n, units))
            self.dtype = torch.float32

    def write(self, output: Tensor, first: int) -> None:
        """Write the rows of a batch that starts at image `first`."""
        rows = to_rows(output, self.view, self.positions).to(self.dtype)
        # A value that is not finite makes the sum so; the other way round it is rare, and costs only time.
        if not torch.isfinite(rows.sum(dtype=torch.float32)):
            self.broken += int((~torch.isfinite(rows)).sum())
        self.written += rows.numel()
        start = first * self.places
        self.rows[start : start + len(rows)] = rows.contiguous().cpu().numpy()

    def finish(self, device: torch.device | str) -> None:
        """Rotate what was put into scratch space."""
        if self.rotates:
            log.info("layer %s: rotating %d units to %d", self.name, self.rows.shape[1], self.data.shape[1])
            self.data[...] = rotate(self.rows, device).astype(self.data.dtype)


def rotate(matrix: np.ndarray, device: torch.device | str = "cpu") -> np.ndarray:
    """Turn a wide matrix into a square one with the same distances between its rows.

    With the centred matrix X = USVᵀ this is US = XV, from the eigenvectors of XXᵀ, which is summed over
    blocks of columns: memory is set by n, not by p.

    Parameters
    ----------
    matrix : array-like, shape (n, p)
        With p > n; read a block of columns at a time.
    device : torch.device, optional
        Where to compute.

    Returns
    -------
    ndarray of float64, shape (n, n)
        Columns are uncorrelated and in descending order of variance; the last is zero but for rounding,
        because centring takes one dimension.
    """
    n, p = matrix.shape
    products = torch.zeros(n, n, dtype=torch.float64, device=device)
    columns = max(1, 2**23 // n)
    for start in range(0, p, columns):
        block = torch.from_numpy(np.asarray(matrix[:, start : start + columns], dtype=np.float64)).to(device)
        block -= block.mean(dim=0)
        products.addmm_(block, block.T)
    values, vectors = torch.linalg.eigh(products)
    return (vectors * values.clamp(min=0).sqrt()).flip(1).cpu().numpy()
