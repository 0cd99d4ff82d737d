"""Compare the layers of two torch modules on the same inputs."""

import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import pandas as pd
import torch
from torch import Tensor, nn

from prunescope import kinds
from prunescope.activations import store
from prunescope.activations.record import record_modules
from prunescope.errors import InputError, first_line, guess, listed, shrinking
from prunescope.notebook.arrays import COLUMNS, Rows, cores, load_measures
from prunescope.notebook.inputs import Inputs, read
from prunescope.notebook.padding import unpadded
from prunescope.notebook.wrappers import Runner, choose, evaluating, split, unwrapped
from prunescope.settings.activations import RecordingSettings
from prunescope.settings.base import load
from prunescope.settings.similarity import Similarity
from prunescope.similarity.engine import by_places, engine

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch.utils.data import DataLoader


def compare_models(
    a: nn.Module,
    b: nn.Module,
    inputs: "Tensor | ArrayLike | Mapping | tuple | DataLoader",
    layers: Sequence[str] | Mapping[str, str],
    measures: Sequence[str] | None = None,
    view: str = "channels",
    positions: int | str = "all",
    pairs: str = "same-layer",
    axes: str | Mapping[str, str] | None = None,
    mask: "ArrayLike | None" = None,
) -> pd.DataFrame:
    """Compare layers of two networks on the same images, sentences or other examples.

    Both networks run in evaluation mode, each on its own device, and are not changed. Outputs are stored in
    temporary files, in float32 whatever the precision of the networks.

    Parameters
    ----------
    a, b : torch.nn.Module
        Modules have the names that they have within `torch.compile` and DataParallel.
    inputs : array-like, mapping, tuple or DataLoader
        The input of both networks, prepared as in their training: a tensor of shape (n, ...); a tuple of the
        network's arguments, or a mapping from their names; or a DataLoader of such batches, which is read
        once, into memory. Batches of a DataLoader may have class labels, which are left out.
    layers : sequence of str, or mapping of str to str
        Modules whose outputs are compared: patterns of names or types, e.g. ``["ReLU"]`` or ``["layer1.*"]``,
        which must choose the same names in both networks (unless `pairs` is all-layers); or a mapping from
        names in `a` to the corresponding names in `b`. ``encoder[0]`` or ``encoder.last_hidden_state`` is a
        part of an output that is a tuple, a mapping or an object with attributes.
    measures : sequence of str, optional
        See `compare`.
    view : str, default 'channels'
        How an output becomes a matrix: ``channels``, one row for each position of each image; ``flatten`` or
        ``pooled``, one row for each image. ``prunescope kinds view`` lists them.
    positions : int or 'all', default 'all'
        Positions of each image that are sampled in the view ``channels``: pixels, or tokens that are not
        padding.
    pairs : str, default 'same-layer'
        ``same-layer`` compares each layer with its counterpart, ``all-layers`` each layer of `a` with each of
        `b`. Layers whose rows are at different positions get the status ``other positions``; in the views
        ``pooled`` and ``flatten``, all layers can be compared.
    axes : str or mapping of str to str, optional
        Which axis of an output holds the units, where the networks do not show it: ``first`` for (n, c, t),
        ``last`` for (n, t, d), for all such outputs or by pattern of modules.
    mask : array-like, shape (n, t), optional
        Which positions of the layers' outputs count; the others are padding and give no rows. By default,
        ``attention_mask`` in `inputs`, if it is a mapping.

    Returns
    -------
    pandas.DataFrame
        ``layer_a``, ``layer_b`` and the columns of `compare`, in the order of the layers in `a`. If a mask
        leaves different numbers of rows to the examples, `chance` is NaN, because it is not known.

    Raises
    ------
    InputError
        A `ValueError`, when a pattern selects no module, a module cannot be recorded, the layers of both
        networks do not correspond, activations are not finite or depend on chance or on the other images of a
        batch, or for the reasons of `compare`.

    Examples
    --------
    >>> import torch
    >>> import prunescope as ps
    >>> a, b = (torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU()) for _ in "ab")
    >>> images = torch.randn(200, 8)
    >>> ps.compare_models(a, b, images, layers=["ReLU"], measures=["cca"])[["layer_a", "measure", "n"]]
      layer_a measure    n
    0       1     cca  200
    >>> same = ps.compare_models(a, a, images, layers={"0": "0"}, measures=["cca"])
    >>> bool(same["value"][0] > 0.999999)
    True
    """
    chosen = load_measures(measures)
    settings = _settings(view, positions, axes)
    _check_modules(a, b)
    examples = read(inputs, mask)
    a, b = unwrapped(a), unwrapped(b)
    names = _names(a, b, layers, pairs)
    table: list[dict] = []
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        file = stack.enter_context(h5py.File(Path(folder, "layers.h5"), "w"))
        layers_a = _record(file.create_group("a"), a, names[0], examples, settings)
        layers_b = _record(file.create_group("b"), b, names[1], examples, settings)
        compared = stack.enter_context(engine(chosen, Similarity().variance, cores()))
        for group, others in _groups(layers_a, layers_b, names, pairs):
            table += compared.rows(group, others)
    for row in table:
        # Only whole images can be permuted, and only if all have as many rows.
        if layers_a[row["layer_a"]].ragged or layers_b[row["layer_b"]].ragged:
            row |= {"chance": math.nan, "chance_high": math.nan, "images": len(examples)}
    order = list(layers_a)
    table.sort(key=lambda row: order.index(row["layer_a"]))
    return pd.DataFrame(table, columns=["layer_a", "layer_b", *COLUMNS])


def _settings(view: str, positions: int | str, axes: str | Mapping[str, str] | None) -> RecordingSettings:
    """Return how layers are recorded; their names come later."""
    kinds.find("view", view, "view")
    if positions != "all" and not (isinstance(positions, Integral) and positions > 0):
        raise InputError(f"positions = {positions!r}: must be 'all' or an integer of at least 1")
    number = positions if positions == "all" else int(positions)
    values = {"layers": {}, "view": view, "positions": number, "axes": {} if axes is None else axes}
    return load(RecordingSettings, values)


def _check_modules(a: nn.Module, b: nn.Module) -> None:
    for side, network in (("a", a), ("b", b)):
        if not isinstance(network, nn.Module):
            raise InputError(f"{side}: must be a torch.nn.Module, not a {type(network).__name__}")


def _groups(
    layers_a: dict[str, Rows], layers_b: dict[str, Rows], names: tuple[list[str], list[str]], pairs: str
) -> list[tuple[list[Rows], list[Rows]]]:
    """Return groups of layers of a whose rows correspond, each with the layers of b to compare them with."""
    if pairs == "all-layers":
        return [(group, list(layers_b.values())) for group in by_places(layers_a.values())]
    both = [(layers_a[one], layers_b[other]) for one, other in zip(*names, strict=True)]
    for one, other in both:
        if one.places != other.places:
            raise InputError(
                f"layers {one.name} and {other.name} have rows at different positions of the "
                'images; use view="pooled" or view="flatten", with one row for each image'
            )
    return [([one], [other]) for one, other in both]


def _names(
    a: nn.Module, b: nn.Module, layers: Sequence[str] | Mapping[str, str], pairs: str
) -> tuple[list[str], list[str]]:
    """Return the chosen layers of both networks, in corresponding order if they are compared in pairs."""
    if pairs not in ("same-layer", "all-layers"):
        raise InputError(f"pairs = {pairs!r}: must be same-layer or all-layers")
    if isinstance(layers, str):
        raise InputError(f"layers = {layers!r}: must be a list of patterns; write [{layers!r}]")
    if not layers:
        raise InputError("layers: must choose at least one layer")
    if isinstance(layers, Mapping):
        names = list(layers), list(layers.values())
        for network, of_network in zip((a, b), names, strict=True):
            known = dict(network.named_modules())
            for name in of_network:
                if not name or split(name, known)[0] not in known:
                    raise InputError(
                        f"layers: {type(network).__name__} has no module {name!r}{guess(name, known)}; a "
                        "mapping needs the names of modules, not patterns; modules: "
                        f"{listed(filter(None, known))}"
                    )
        return names
    names = choose(a, list(layers)), choose(b, list(layers))
    if pairs == "all-layers":
        return names
    if only := sorted({*names[0]} ^ {*names[1]}):
        raise InputError(
            f"layers: {', '.join(only)} {'is' if len(only) == 1 else 'are'} in only one of the networks; "
            f"give a mapping from names in a to names in b, such as {{{names[0][0]!r}: {names[1][0]!r}}}"
        )
    return names[0], names[0]


def _record(
    group: h5py.Group, network: nn.Module, layers: Sequence[str], inputs: Inputs, settings: RecordingSettings
) -> dict[str, Rows]:
    """Write the rows of layers to a file and return them by layer, in the network's own order."""
    masked, pooled = inputs.mask is not None, settings.view == "pooled"
    # Means over positions are taken after the rows of padding are removed.
    recorded = _unpooled(settings) if masked else settings
    side, known = group.name.strip("/"), dict(network.named_modules())
    parts = {name: part for name in layers if (part := split(name, known))[1] is not None}
    order = list(known)
    layers = sorted(dict.fromkeys(layers), key=lambda name: order.index(split(name, known)[0]))
    runner = Runner(network, inputs, parts)
    taps = dict(runner.named_modules())
    modules = {name: taps[name] for name in layers}

    def run(batch_size: int) -> None:
        group.clear()
        smaller = recorded.model_copy(update={"batch_size": batch_size})
        record_modules(group, runner, modules, _examples, len(inputs), smaller)

    try:
        with evaluating(network), runner.tapped(), torch.no_grad():
            shrinking(run, min(settings.batch_size, len(inputs)), "image", remedy="record fewer layers")
    except InputError as error:
        raise InputError(f"{side}: {_advised(str(error))}") from None
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        problem = first_line(error)
        raise InputError(
            f"{side}: fails on inputs of shape {inputs.shapes()} ({problem}); give the input it expects"
        ) from error
    rows = {name: _rows(name, group[name], len(inputs)) for name in modules}
    if not masked:
        return rows
    kept = inputs.kept(settings.positions)
    return {name: unpadded(matrix, kept, pooled) for name, matrix in rows.items()}


def _examples(first: int, count: int) -> Tensor:
    return torch.arange(first, first + count)


def _rows(name: str, data: h5py.Dataset, images: int) -> Rows:
    return Rows(name, data, int(data.attrs["width"]), len(data) // images, store.places(data))


def _unpooled(settings: RecordingSettings) -> RecordingSettings:
    """Return how layers with padding are recorded: at all positions."""
    if settings.view not in ("channels", "tokens", "pooled"):
        raise InputError(
            f'view = {settings.view!r}: rows would hold padding; use view="channels" or view="pooled"'
        )
    return settings.model_copy(update={"view": "channels", "positions": "all"})


def _advised(message: str) -> str:
    """Return a message of recording in terms of the parameters of `compare_models`."""
    message = message.replace("activations.", "")
    if match := re.search(r"module (\S+) returns a .* instead of one tensor", message):
        return message.replace("choose other layers", f"choose a part of it, e.g. {match[1]}[0]")
    if "set axes" in message:
        message += ', or use view="flatten", with one row for each input'
    return message
