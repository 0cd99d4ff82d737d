"""Recording the outputs of a network's layers on chosen images."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from prunescope import checkpoints, kinds
from prunescope.activations import store
from prunescope.activations.views import every, views_for
from prunescope.data import datasets
from prunescope.data.images import Images
from prunescope.errors import InputError, shrinking
from prunescope.networks.build import normalise
from prunescope.networks.modules import chosen
from prunescope.networks.probe import check_repeatable, is_storable, obstacle
from prunescope.provenance import derive_seed
from prunescope.settings.activations import EXAMPLES, RecordingSettings

log = logging.getLogger("prunescope")
# Numbers that `rotate` reads at a time.
BLOCK = 2**23
# Images on which a network is tried out before it is recorded.
TRIED = 3


def record(
    path: str | Path,
    checkpoint: str | Path,
    dataset: str | Path,
    settings: RecordingSettings,
    code: str,
    device: torch.device | str = "cpu",
) -> None:
    """Record the layers of a checkpoint's network on test images and write the activation file, atomically.

    Parameters
    ----------
    path : path
        Of the activation file.
    checkpoint, dataset : path
        The network, and the data set it was trained on.
    settings : RecordingSettings
    code : str
        Version of the code, for the file's attributes.
    device : torch.device

    Raises
    ------
    InputError
        When one of the files cannot be used, the checkpoint belongs to another data set, or for the reasons
        of `extract`.
    """
    prepared, network = datasets.load(dataset), checkpoints.load(checkpoint)
    if network.dataset != prepared.digest:
        raise InputError(f"{checkpoint}: not trained on {dataset}; delete the checkpoint and run again")
    record_network(path, network, prepared, settings, code, device)


def record_network(
    path: str | Path,
    network: checkpoints.Checkpoint,
    dataset: datasets.Prepared,
    settings: RecordingSettings,
    code: str,
    device: torch.device | str = "cpu",
) -> None:
    """Record the layers of a network that is in memory; see `record`."""

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
    extract(path, network.build(), images, labels, prepare, settings, attributes, device)


def extract(
    path: str | Path,
    network: nn.Module,
    images: np.ndarray | Images,
    labels: np.ndarray,
    prepare: Callable[[Tensor], Tensor],
    settings: RecordingSettings,
    attributes: dict,
    device: torch.device | str = "cpu",
) -> None:
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

    Raises
    ------
    InputError
        When there are fewer images than wanted, a pattern matches no module, a module cannot be recorded,
        activations are not finite or depend on chance or on the other images of a batch, or there is not
        enough memory for one image.
    """

    def run(batch_size: int) -> None:
        smaller = settings.model_copy(update={"batch_size": batch_size})
        _extract(path, network, images, labels, prepare, smaller, attributes, device)

    shrinking(run, settings.batch_size, "image", remedy="record fewer layers in activations.layers")


def _extract(path, network, images, labels, prepare, settings, attributes, device) -> None:
    modules = chosen(network, settings.layers)
    examples = choose_examples(len(images), settings.examples)
    network.to(device, memory_format=torch.channels_last)
    network.eval()
    start = time.monotonic()
    with store.writing(
        path, settings.view, settings.sampled, examples, labels[examples], attributes
    ) as group:
        recorders: dict[str, Recorder] = {}
        first, seen = 0, set()

        def keep(name: str, output: Tensor) -> None:
            if name in seen:
                raise InputError(
                    f"activations.layers: module {name} runs more than once in a forward pass, so it has no "
                    "single output; choose other layers"
                )
            seen.add(name)
            if name not in recorders:
                recorders[name] = Recorder(
                    group, name, list(modules).index(name), output, len(examples), settings
                )
            recorders[name].write(output, first)

        with (
            ExitStack() as stack,
            torch.inference_mode(),
            # Reduced-precision convolutions would make GPU and CPU differ in the third digit.
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            few = prepare(torch.from_numpy(images[examples[:TRIED]]).to(device))
            check_repeatable(network, modules, few.contiguous(memory_format=torch.channels_last))
            stack.enter_context(hooked(modules, keep))
            for first in range(0, len(examples), settings.batch_size):
                batch = torch.from_numpy(images[examples[first : first + settings.batch_size]]).to(device)
                seen.clear()
                network(prepare(batch).contiguous(memory_format=torch.channels_last))
                for name in modules:
                    if name not in seen:
                        raise InputError(f"activations.layers: module {name} never runs; choose other layers")
                done = first + len(batch)
                log.info("%d of %d images after %.1f s", done, len(examples), time.monotonic() - start)
        for name, recorder in recorders.items():
            if recorder.broken:
                hint = ", or use float32: float16 ends at 65504" if settings.dtype == "float16" else ""
                raise InputError(
                    f"layer {name} of round {attributes.get('round')}: {recorder.broken} of "
                    f"{recorder.written} activations are NaN or infinite; check this round's training{hint}"
                )
            recorder.finish(device)


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


@contextmanager
def hooked(modules: dict[str, nn.Module], keep: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Pass the outputs of modules to `keep` as they run, until the block ends.

    Parameters
    ----------
    modules : dict of str to torch.nn.Module
        By name.
    keep : callable
        Takes name and output. No other reference to the output is kept, because outputs are large.

    Raises
    ------
    InputError
        During the forward pass, when an output is not a single tensor.
    """

    def hook(name: str, output) -> None:
        if problem := obstacle(output):
            raise InputError(f"activations.layers: module {name} {problem}; choose other layers")
        keep(name, output)

    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: hook(name, output))
        for name, module in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Recorder:
    """Records one layer to the file, batch by batch."""

    def __init__(
        self,
        group: h5py.Group,
        name: str,
        order: int,
        output: Tensor,
        images: int,
        settings: RecordingSettings,
    ):
        self._view, self._name = kinds.load("view", settings.view, "activations.view"), name
        shape = tuple(output.shape[1:])
        if not self._view.accepts(shape):
            raise InputError(
                f"activations.layers: the output of module {name} has shape {tuple(output.shape)}, which "
                f"activations.view = {settings.view} cannot turn into rows; {views_for(shape)}"
            )
        if not is_storable(name):
            raise InputError(
                f"activations.layers: {name!r} contains a slash or a null character, so it cannot be the "
                "name of a layer; rename this module"
            )
        places = self._view.positions(shape, settings.sampled)
        self._positions = None if len(places) == every(shape) else torch.from_numpy(places).to(output.device)
        layout = store.Layout(
            order, shape, places, images, self._view.units(shape), self._view.stored(shape, images)
        )
        self._writer = store.Writer(
            group, name, layout, settings.batch_size, settings.dtype, settings.compression
        )
        self._dtype = torch.float32 if layout.rotated else getattr(torch, settings.dtype)
        self.broken = self.written = 0

    def write(self, output: Tensor, first: int) -> None:
        """Write the rows of a batch that starts at image `first`."""
        rows = self._view.to_rows(output, self._positions).to(self._dtype)
        # A non-finite value makes the sum non-finite; the converse is rare, and costs only time.
        if not torch.isfinite(rows.sum(dtype=torch.float32)):
            self.broken += int((~torch.isfinite(rows)).sum())
        self.written += rows.numel()
        self._writer.write(rows.contiguous().cpu().numpy(), first)

    def finish(self, device: torch.device | str) -> None:
        """Rotate the layer if it has more units than rows."""

        def turn(rows: np.ndarray) -> np.ndarray:
            log.info("layer %s: rotating %d units to %d columns", self._name, rows.shape[1], len(rows))
            rotated = rotate(rows, device)
            largest = np.abs(rotated).max(initial=0.0)
            if largest > np.finfo(self._writer.data.dtype).max:
                raise InputError(
                    f"activations.dtype = {self._writer.data.dtype}: layer {self._name} has more units than "
                    f"images and is rotated, and the result reaches {largest:.3g}, too large for this type; "
                    "use float32"
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
