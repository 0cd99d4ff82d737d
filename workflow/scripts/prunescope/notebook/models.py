"""Compare the layers of two torch modules on the same inputs."""

import math
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import repeat
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
from prunescope.errors import InputError, guess, listed, shrinking
from prunescope.notebook.arrays import Rows, cores, load_measures, scores, table
from prunescope.notebook.inputs import Inputs, read
from prunescope.notebook.padding import unpadded
from prunescope.notebook.wrappers import Runner, choose, evaluating, split, unwrapped
from prunescope.settings.activations import RecordingSettings
from prunescope.settings.base import load
from prunescope.settings.similarity import Similarity
from prunescope.similarity.measures import Measure
from prunescope.similarity.pairs import Pair
from prunescope.similarity.passes import engine

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
    chosen, pooled = load_measures(measures), False
    kinds.find("view", view, "view")
    if pairs not in ("same-layer", "all-layers"):
        raise InputError(f"pairs = {pairs!r}: must be same-layer or all-layers")
    for side, network in (("a", a), ("b", b)):
        if not isinstance(network, nn.Module):
            raise InputError(f"{side}: must be a torch.nn.Module, not a {type(network).__name__}")
    if positions != "all" and not (isinstance(positions, Integral) and positions > 0):
        raise InputError(f"positions = {positions!r}: must be 'all' or an integer of at least 1")
    sampled = positions if positions == "all" else int(positions)
    given = {"layers": {}, "view": view, "positions": sampled, "axes": {} if axes is None else axes}
    settings = load(RecordingSettings, given)
    examples = read(inputs, mask)
    if masked := examples.mask is not None:
        settings, pooled = _unpooled(settings)
    a, b = unwrapped(a), unwrapped(b)
    names = _names(a, b, layers, pairs)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        file = stack.enter_context(h5py.File(Path(folder, "layers.h5"), "w"))
        lefts, rights = (
            _record(file.create_group(side), network, own, examples, settings)
            for side, network, own in (("a", a, names[0]), ("b", b, names[1]))
        )
        if masked:
            kept = examples.kept(sampled)
            lefts, rights = (
                {name: unpadded(rows, kept, pooled) for name, rows in side.items()}
                for side in (lefts, rights)
            )
        if pairs == "same-layer":
            groups = [([lefts[one]], [rights[other]]) for one, other in zip(*names, strict=True)]
        else:
            groups = [
                ([own for own in lefts.values() if own.places == places], list(rights.values()))
                for places in dict.fromkeys(own.places for own in lefts.values())
            ]
        found = _compare(groups, chosen, len(examples), pairs)
    return table(sorted(found, key=lambda row: list(lefts).index(row["layer_a"])))


def _unpooled(settings: RecordingSettings) -> tuple[RecordingSettings, bool]:
    """Return how layers with padding are recorded, and whether rows are averaged after it is removed."""
    if settings.view not in ("channels", "tokens", "pooled"):
        raise InputError(
            f'view = {settings.view!r}: rows would hold padding; use view="channels" or view="pooled"'
        )
    return settings.model_copy(update={"view": "channels", "positions": "all"}), settings.view == "pooled"


def _compare(
    groups: Sequence[tuple[list[Rows], list[Rows]]], measures: list[Measure], images: int, pairs: str
) -> list[dict]:
    """Within each group, compare all layers of one network with all layers of the other."""
    found: list[dict] = []
    with engine(measures, Similarity().variance, cores(), intervals=False) as compared:
        for left, right in groups:

            def scored(other: Rows, pairs: Iterator[Pair | None], left: list[Rows] = left) -> list[dict]:
                return [
                    row
                    for own, pair in zip(left, pairs, strict=True)
                    for row in scores(pair, measures, **_sides(own, other, images))
                ]

            same = [other for other in right if other.places == left[0].places]
            apart = [other for other in right if other.places != left[0].places]
            if apart and pairs == "same-layer":
                raise InputError(
                    f"layers {left[0].name} and {apart[0].name} have rows at different positions of the "
                    'images; use view="pooled" or view="flatten", with one row for each image'
                )
            if same:
                positions = 1 if left[0].ragged else left[0].shape[0] // images
                for few in compared(left, positions=positions).against(same, scored):
                    found += few
            for other in apart:
                found += scored(other, repeat(None, len(left)))
    return found


def _names(
    a: nn.Module, b: nn.Module, layers: Sequence[str] | Mapping[str, str], pairs: str
) -> tuple[list[str], list[str]]:
    """Return the chosen layers of both networks, in corresponding order if they are compared in pairs."""
    if isinstance(layers, str):
        raise InputError(f"layers = {layers!r}: must be a list of patterns; write [{layers!r}]")
    if not layers:
        raise InputError("layers: must choose at least one layer")
    if isinstance(layers, Mapping):
        names = list(layers), list(layers.values())
        for network, own in zip((a, b), names, strict=True):
            known = dict(network.named_modules())
            for name in own:
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
    side, known = group.name.strip("/"), dict(network.named_modules())
    parts = {name: found for name in layers if (found := split(name, known))[1] is not None}
    order = list(known)
    layers = sorted(dict.fromkeys(layers), key=lambda name: order.index(split(name, known)[0]))
    runner = Runner(network, inputs, parts)
    taps = dict(runner.named_modules())
    modules = {name: taps[name] for name in layers}

    def run(batch: int) -> None:
        group.clear()
        own = settings.model_copy(update={"batch_size": batch})
        record_modules(
            group, runner, modules, lambda first, count: torch.arange(first, first + count), len(inputs), own
        )

    try:
        with evaluating(network), runner.tapped(), torch.no_grad():
            shrinking(run, min(settings.batch_size, len(inputs)), "image", remedy="record fewer layers")
    except InputError as error:
        raise InputError(f"{side}: {_advised(str(error))}") from None
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        problem = " ".join(str(error).split("\n")[0].split())
        raise InputError(
            f"{side}: fails on inputs of shape {inputs.shapes()} ({problem}); give the input it expects"
        ) from error
    width = {name: int(group[name].attrs["width"]) for name in modules}
    return {name: Rows(name, group[name], width[name], store.places(group[name])) for name in modules}


def _advised(message: str) -> str:
    """Return a message of recording in terms of the parameters of `compare_models`."""
    message = message.replace("activations.", "")
    if found := re.search(r"module (\S+) returns a .* instead of one tensor", message):
        return message.replace("choose other layers", f"choose a part of it, e.g. {found[1]}[0]")
    if "set axes" in message:
        message += ', or use view="flatten", with one row for each input'
    return message


def _sides(a: Rows, b: Rows, images: int) -> dict:
    sides = {"layer_a": a.name, "layer_b": b.name, "width_a": a.width, "width_b": b.width}
    # Only whole images can be permuted, and only if all have as many rows.
    unknown = {"chance": math.nan, "chance_high": math.nan, "images": images}
    return sides | unknown if a.ragged or b.ragged else sides
