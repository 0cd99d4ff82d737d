"""Compare the layers of two torch modules on the same inputs."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
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
from prunescope.networks.modules import select
from prunescope.notebook.arrays import Rows, cores, load_measures, scores, table
from prunescope.settings.activations import RecordingSettings
from prunescope.settings.base import load
from prunescope.settings.similarity import Similarity
from prunescope.similarity.measures import Measure
from prunescope.similarity.pairs import Pair
from prunescope.similarity.passes import engine

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def compare_models(
    a: nn.Module,
    b: nn.Module,
    images: "Tensor | ArrayLike",
    layers: Sequence[str] | Mapping[str, str],
    measures: Sequence[str] | None = None,
    view: str = "channels",
    positions: int | str = "all",
    pairs: str = "same-layer",
    axes: str | Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Compare layers of two networks on the same images.

    Both networks run in evaluation mode, each on its own device, and are not changed. Outputs are stored in
    temporary files.

    Parameters
    ----------
    a, b : torch.nn.Module
    images : Tensor or array-like, shape (n, ...)
        The input of both networks, normalised as in their training.
    layers : sequence of str, or mapping of str to str
        Modules whose outputs are compared: patterns of names or types, e.g. ``["ReLU"]`` or ``["layer1.*"]``,
        which must choose the same names in both networks (unless `pairs` is all-layers); or a mapping from
        names in `a` to the corresponding names in `b`.
    measures : sequence of str, optional
        See `compare`.
    view : str, default 'channels'
        How an output becomes a matrix: ``channels``, one row for each position of each image; ``flatten`` or
        ``pooled``, one row for each image. ``prunescope kinds view`` lists them.
    positions : int or 'all', default 'all'
        Positions of each image that are sampled in the view ``channels``: pixels or tokens.
    pairs : str, default 'same-layer'
        ``same-layer`` compares each layer with its counterpart, ``all-layers`` each layer of `a` with each of
        `b`. Layers whose rows are at different positions get the status ``other positions``; in the views
        ``pooled`` and ``flatten``, all layers can be compared.
    axes : str or mapping of str to str, optional
        Which axis of an output holds the units, where the networks do not show it: ``first`` for (n, c, t),
        ``last`` for (n, t, d), for all such outputs or by pattern of modules.

    Returns
    -------
    pandas.DataFrame
        ``layer_a``, ``layer_b`` and the columns of `compare`, in the order of the layers in `a`.

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
    # torch.compile cannot trace hooks; what it wraps computes the same.
    a, b = (getattr(network, "_orig_mod", network) for network in (a, b))
    names = _names(a, b, layers, pairs)
    try:
        inputs = torch.as_tensor(images)
    except (ValueError, TypeError, RuntimeError):
        raise InputError(
            f"images: a {type(images).__name__} is not an array of numbers; give one tensor or array (n, ...)"
        ) from None
    if inputs.ndim < 2 or not len(inputs):
        raise InputError(f"images: has shape {tuple(inputs.shape)}, must be (n, ...) with at least one image")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        file = stack.enter_context(h5py.File(Path(folder, "layers.h5"), "w"))
        lefts = _record(file.create_group("a"), a, names[0], inputs, settings)
        rights = _record(file.create_group("b"), b, names[1], inputs, settings)
        if pairs == "same-layer":
            groups = [([lefts[one]], [rights[other]]) for one, other in zip(*names, strict=True)]
        else:
            groups = [
                ([own for own in lefts.values() if own.places == places], list(rights.values()))
                for places in dict.fromkeys(own.places for own in lefts.values())
            ]
        found = _compare(groups, chosen, len(inputs), pairs)
    return table(sorted(found, key=lambda row: list(lefts).index(row["layer_a"])))


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
                    for row in scores(pair, measures, **_sides(own, other))
                ]

            same = [other for other in right if other.places == left[0].places]
            apart = [other for other in right if other.places != left[0].places]
            if apart and pairs == "same-layer":
                raise InputError(
                    f"layers {left[0].name} and {apart[0].name} have rows at different positions of the "
                    "images; use the view pooled or flatten"
                )
            if same:
                for few in compared(left, positions=left[0].shape[0] // images).against(same, scored):
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
            known = {name: module for name, module in network.named_modules() if name}
            for name in own:
                if name not in known:
                    raise InputError(
                        f"layers: {type(network).__name__} has no module {name!r}{guess(name, known)}; a "
                        f"mapping needs the names of modules, not patterns; modules: {listed(known)}"
                    )
        return names
    names = tuple(list(select(network, list(layers), "layers")) for network in (a, b))
    if pairs == "all-layers":
        return names
    if only := sorted({*names[0]} ^ {*names[1]}):
        raise InputError(
            f"layers: {', '.join(only)} {'is' if len(only) == 1 else 'are'} in only one of the networks; "
            f"give a mapping from names in a to names in b, such as {{{names[0][0]!r}: {names[1][0]!r}}}"
        )
    return names[0], names[0]


def _record(
    group: h5py.Group, network: nn.Module, layers: Sequence[str], images: Tensor, settings: RecordingSettings
) -> dict[str, Rows]:
    """Write the rows of layers to a file and return them by layer, in the network's own order."""
    side = group.name.strip("/")
    modules = {name: module for name, module in network.named_modules() if name in layers}
    weight = next(network.parameters(), images)

    def load(first: int, count: int) -> Tensor:
        inputs = images[first : first + count].to(weight.device)
        return inputs.to(weight.dtype) if inputs.is_floating_point() else inputs

    def run(batch: int) -> None:
        group.clear()
        own = settings.model_copy(update={"batch_size": batch})
        record_modules(group, network, modules, load, len(images), own)

    try:
        with _evaluating(network), torch.no_grad():
            shrinking(run, min(settings.batch_size, len(images)), "image", remedy="record fewer layers")
    except InputError as error:
        raise InputError(f"{side}: {str(error).replace('activations.', '')}") from None
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        problem = " ".join(str(error).split("\n")[0].split())
        raise InputError(
            f"{side}: fails on images of shape {tuple(images.shape[1:])} ({problem}); give the input it "
            "expects"
        ) from error
    width = {name: int(group[name].attrs["width"]) for name in modules}
    return {name: Rows(name, group[name], width[name], store.places(group[name])) for name in modules}


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Put every module into evaluation mode, and restore its mode at the end."""
    modes = {module: module.training for module in network.modules()}
    # What torch.compile wraps in place computes the same, and ignores hooks.
    compiled = {module: call for module in modes if (call := module._compiled_call_impl) is not None}
    for module in compiled:
        module._compiled_call_impl = None
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for module, call in compiled.items():
            module._compiled_call_impl = call


def _sides(a: Rows, b: Rows) -> dict:
    return {"layer_a": a.name, "layer_b": b.name, "width_a": a.width, "width_b": b.width}
