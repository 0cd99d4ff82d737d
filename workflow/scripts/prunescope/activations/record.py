"""Recording the outputs of a network's layers on chosen images."""

import logging
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from prunescope import checkpoints, kinds
from prunescope.activations import store
from prunescope.activations.views import sample, units_first
from prunescope.data import datasets
from prunescope.data.images import Images
from prunescope.errors import InputError, shrinking
from prunescope.networks.build import hooked
from prunescope.networks.modules import chosen
from prunescope.networks.outline import Module, check_repeatable, check_storable, outline
from prunescope.networks.preprocessing import normalise
from prunescope.provenance import derive_seed
from prunescope.settings.activations import EXAMPLES, RecordingSettings

log = logging.getLogger("prunescope")
# Numbers that `rotate` reads at a time.
BLOCK = 2**23
# Images on which a network is tried out before it is recorded.
TRIED = 3
# An output is constant if its range is at most this fraction of its size: the rounding error of a constant.
CONSTANT = 1e-6


def record(
    path: str | Path,
    network: checkpoints.Checkpoint,
    dataset: datasets.Prepared,
    settings: RecordingSettings,
    code: str,
    device: torch.device | str = "cpu",
) -> dict[str, dict]:
    """Record the layers of a network on test images and write the activation file, atomically.

    Parameters
    ----------
    path : path
        Of the activation file.
    network : Checkpoint
    dataset : Prepared
        The data set on which it was trained.
    settings : RecordingSettings
    code : str
        Version of the code, for the file's attributes.
    device : torch.device

    Returns
    -------
    dict of str to dict
        See `record_modules`.

    Raises
    ------
    InputError
        For the reasons of `extract`.
    """

    def prepare(images: Tensor) -> Tensor:
        return normalise(images, network.mean, network.std, network.resizing)

    attributes = {
        "experiment": network.experiment,
        "seed": network.seed,
        "round": network.round,
        "network": network.network["name"],
        "density": network.density,
        "dataset": network.dataset,
        "code": code,
    }
    images, labels = dataset.test_images, dataset.test_labels
    return extract(path, network.build(), images, labels, prepare, settings, attributes, device)


def extract(
    path: str | Path,
    network: nn.Module,
    images: np.ndarray | Images,
    labels: np.ndarray,
    prepare: Callable[[Tensor], Tensor],
    settings: RecordingSettings,
    attributes: dict,
    device: torch.device | str = "cpu",
) -> dict[str, dict]:
    """Record layers on chosen test images and write the activation file, atomically.

    After each out-of-memory error, it restarts with half the batch size.

    Parameters
    ----------
    path : path
    network : torch.nn.Module
        It is moved to `device` and put into evaluation mode.
    images : ndarray or Images of uint8, shape (N, C, H, W)
        All test images; only the chosen ones are read.
    labels : ndarray of int, shape (N,)
    prepare : callable
        Turns a batch of uint8 images into the network's input, e.g. normalises it.
    settings : RecordingSettings
    attributes : dict
        File attributes that identify the network: experiment, seed, round, network, density, dataset, code.
    device : torch.device

    Returns
    -------
    dict of str to dict
        See `record_modules`.

    Raises
    ------
    InputError
        When there are fewer images than wanted, a pattern matches no module, a module cannot be recorded,
        activations are not finite or depend on chance or on the other images of a batch, or there is not
        enough memory for one image.
    """

    modules = chosen(network, settings.layers)
    examples = choose_examples(len(images), settings.examples)

    def load(first: int, count: int) -> Tensor:
        batch = torch.from_numpy(images[examples[first : first + count]]).to(device)
        return prepare(batch).contiguous(memory_format=torch.channels_last)

    def run(batch_size: int) -> dict[str, dict]:
        smaller = settings.model_copy(update={"batch_size": batch_size})
        network.to(device, memory_format=torch.channels_last)
        network.eval()  # not chained: a user's train() need not return the network
        with (
            store.writing(
                path, settings.view, settings.sampled, examples, labels[examples], attributes
            ) as group,
            torch.inference_mode(),
        ):
            where = f" of round {attributes.get('round')}"
            return record_modules(group, network, modules, load, len(examples), smaller, where)

    return shrinking(run, settings.batch_size, "image", remedy="record fewer layers in activations.layers")


def record_modules(
    group: h5py.Group,
    network: nn.Module,
    modules: dict[str, nn.Module],
    load: Callable[[int, int], Tensor],
    images: int,
    settings: RecordingSettings,
    where: str = "",
) -> dict[str, dict]:
    """Record the outputs of modules.

    Parameters
    ----------
    group : h5py.Group
        Of an activation file, see `prunescope.activations.store`.
    network : torch.nn.Module
        In evaluation mode.
    modules : dict of str to torch.nn.Module
        By the name of the layer.
    load : callable
        Takes the first image and their number, and returns the network's input.
    images : int
        Total number of images.
    settings : RecordingSettings
    where : str, optional
        Follows the name of a layer in messages.

    Returns
    -------
    dict of str to dict
        For each layer whose axis of units is known: ``units``, their number, and ``constant``, those whose
        outputs are the same for all images, in every position of the output.

    Raises
    ------
    InputError
        When a module cannot be recorded, or activations are not finite.
    """
    first, start = 0, time.monotonic()
    names = {module: name for name, module in network.named_modules()}

    def keep(layer: str, output: Tensor) -> None:
        # No other reference to the output is kept, because outputs are large.
        recorders[layer].write(output, first)

    # Reduced-precision convolutions would make GPU and CPU differ in the third digit.
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        outlined = {one.name: one for one in outline(network, lambda: network(load(0, 1)), settings.axes)}
        check_repeatable(network, modules, load(0, min(TRIED, images)))
        recorders = {
            layer: Recorder(group, layer, order, outlined[names[module]], images, settings)
            for order, (layer, module) in enumerate(modules.items())
        }
        with hooked((module, partial(keep, layer)) for layer, module in modules.items()):
            for first in range(0, images, settings.batch_size):
                network(load(first, min(settings.batch_size, images - first)))
                done = min(first + settings.batch_size, images)
                log.info("%d of %d images after %.1f s", done, images, time.monotonic() - start)
    for recorder in recorders.values():
        recorder.finish(where)
    return {layer: recorder.units for layer, recorder in recorders.items() if recorder.units}


def choose_examples(available: int, wanted: int | None) -> np.ndarray:
    """Draw test images: the same for every seed and round, in ascending order.

    The default number means at most as many. The plan refuses it if it is written and there are fewer.

    Raises
    ------
    InputError
        When there are fewer than wanted.
    """
    if wanted is None or wanted == available or wanted == EXAMPLES > available:
        return np.arange(available)
    if wanted > available:
        raise InputError(f"activations.examples = {wanted}: there are only {available} test images; lower it")
    generator = np.random.default_rng(derive_seed(0, "examples", available))
    return np.sort(generator.choice(available, wanted, replace=False))


class Recorder:
    """Records one layer to the file, batch by batch."""

    def __init__(
        self,
        group: h5py.Group,
        name: str,
        order: int,
        module: Module,
        images: int,
        settings: RecordingSettings,
    ):
        if module.obstacle:
            raise InputError(f"activations.layers: module {name} {module.obstacle}; choose other layers")
        self._view, self._name = kinds.load("view", settings.view, "activations.view"), name
        check_storable(name)
        self._settings, self._axis, self._positions = settings, module.axis or 1, None
        self._known, self._range, self._order = module.axis is not None, None, None
        shape = units_first(settings.view, name, module.output, module.axis)
        grid, positions = sample(settings.view, shape, settings.sampled)
        if len(positions) < math.prod(self._view.grid(shape)):
            self._positions = torch.from_numpy(positions)
        self._layout = store.Layout(
            order,
            module.output,
            grid,
            positions,
            images,
            self._view.units(shape),
            self._view.stored(shape, images),
        )
        self._writer = store.Writer(
            group, name, self._layout, settings.batch_size, settings.dtype, settings.compression
        )
        self._dtype = torch.float32 if self._layout.rotated else getattr(torch, settings.dtype)
        self._broken = self._images = 0

    def write(self, output: Tensor, first: int) -> None:
        """Write the rows of a batch that starts at image `first`."""
        if self._positions is not None:
            self._positions = self._positions.to(output.device)
        rows = self._view.to_rows(output, self._axis, self._positions).to(self._dtype)
        # A non-finite value makes the sum non-finite; the converse is rare, and costs only time.
        if not torch.isfinite(rows.sum(dtype=torch.float32)):
            self._broken += int((~torch.isfinite(rows)).sum())
        self._images += len(output)
        if self._known:
            # In the order of memory, which is faster.
            self._order = self._order or sorted(range(1, output.ndim), key=output.stride, reverse=True)
            ordered = output.permute(0, *self._order)
            low, high = ordered.amin(0), ordered.amax(0)
            before = self._range or (low, high)
            self._range = torch.minimum(low, before[0]), torch.maximum(high, before[1])
        self._device = output.device
        self._writer.write(rows.contiguous().cpu().numpy(), first)

    @property
    def units(self) -> dict | None:
        """What `record_modules` returns of a layer."""
        if self._range is None:
            return None
        axis = self._order.index(self._axis)
        low, high = (limit.double().movedim(axis, 0) for limit in self._range)
        varies = high - low > CONSTANT * torch.maximum(low.abs(), high.abs())
        constant = ~varies.reshape(len(varies), -1).any(1)
        return {"units": len(constant), "constant": constant.nonzero().flatten().tolist()}

    def finish(self, where: str = "") -> None:
        """Check what was written, and rotate the layer if it has more units than rows."""
        layer, layout, dtype = f"layer {self._name}{where}", self._layout, self._settings.dtype
        if self._images != layout.images:
            raise InputError(
                f"activations.layers: {layer} has outputs for {self._images} instead of {layout.images} "
                "images; choose other layers"
            )
        if self._broken:
            hint = ", or use float32: float16 ends at 65504" if dtype == "float16" else ""
            raise InputError(
                f"{layer}: {self._broken} of {layout.rows * layout.units} activations are NaN or infinite; "
                f"check its training{hint}"
            )

        def turn(rows: np.ndarray) -> np.ndarray:
            log.info("layer %s: rotating %d units to %d columns", self._name, rows.shape[1], len(rows))
            rotated = rotate(rows, self._device)
            largest = np.abs(rotated).max(initial=0.0)
            if largest > np.finfo(dtype).max:
                raise InputError(
                    f"activations.dtype = {dtype}: layer {self._name} has more units than images and is "
                    f"rotated, and the result reaches {largest:.3g}, too large for this type; use float32"
                )
            return rotated

        self._writer.finish(turn)


def rotate(matrix: np.ndarray, device: torch.device | str = "cpu") -> np.ndarray:
    """Convert a wide matrix to a square one with the same distances between its rows.

    With the centred matrix X = USVᵀ this is US = XV, from the eigenvectors of XXᵀ, which is summed over
    blocks of columns, so memory depends on n, not on p.

    Parameters
    ----------
    matrix : array-like, shape (n, p)
        With p > n; read a block of columns at a time.
    device : torch.device, optional
        Where to compute.

    Returns
    -------
    ndarray of float64, shape (n, n)
        Columns are uncorrelated and in descending order of variance; the last is zero up to rounding, because
        centring removes one dimension.
    """
    n, p = matrix.shape
    products = torch.zeros(n, n, dtype=torch.float64, device=device)
    columns = max(1, BLOCK // n)
    for start in range(0, p, columns):
        block = torch.from_numpy(np.asarray(matrix[:, start : start + columns], dtype=np.float64)).to(device)
        block -= block.mean(dim=0)
        products.addmm_(block, block.T)
    values, vectors = torch.linalg.eigh(products)
    return (vectors * values.clamp(min=0).sqrt()).flip(1).cpu().numpy()
