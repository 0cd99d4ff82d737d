"""Given weights: initial weights for training, and networks that were trained elsewhere."""

import logging
from collections import defaultdict

import torch
from torch import Tensor, nn

from prunescope import files, kinds
from prunescope.errors import InputError, listed
from prunescope.networks import DEFAULT, formats, modules
from prunescope.networks.build import build
from prunescope.networks.masks import Masks

log = logging.getLogger("prunescope")
# Fewer zeros than this share of a matrix do not mean that it was pruned.
ACCIDENTAL = 0.01


def initial(network: dict, seed: int, download: bool = True) -> nn.Module:
    """Build a network with its initial weights for training.

    ``network["more"]["weights"]`` is a file or ``DEFAULT``. Without it, all weights are newly drawn, as the
    seed determines. With `download`, missing weights may be downloaded.
    """
    more = network.get("more") or {}
    source = more.get("weights")
    if source is None:
        return build(**network, seed=seed)
    built = build(**network, seed=seed)
    if source == DEFAULT:
        state = _pretrained(network, download)
    else:
        state = _read(source, more, built, "network.weights").state
    drawn = fit(built, state, f"network.weights = {source}", draw_head=True)
    log.info("loaded weights from %s; newly initialised: %s", source, ", ".join(drawn) or "none")
    return built


def elsewhere(network: dict) -> tuple[nn.Module, Masks]:
    """Build a network that was trained, and perhaps pruned, elsewhere; return it with its masks.

    The masks are those in the file, else of the weights that are exactly zero, see `zeros`; there may be
    none.
    """
    more = network["more"]
    where = f"weights = {more['weights']!r}"
    built = build(**network, seed=0)
    file = _read(more["weights"], more, built, "weights")
    fit(built, file.state, where, draw_head=False)
    first, given = modules.first_names(built), {}
    for name, mask in file.masks.items():
        weight = built.get_parameter(name) if name in first else None
        if weight is None or mask.shape != weight.shape:
            problem = "matches no weight"
        elif weight.detach()[~mask.bool()].any():
            problem = "removes weights that are not zero"
        else:
            given[first[name]] = mask.bool()
            continue
        raise InputError(f"{where}: the mask of {name} {problem}; save it again")
    return built, zeros(built, trained_further=False, given=given, few=more.get("zeros") == "all")


def _read(source: str, more: dict, network: nn.Module, key: str) -> formats.WeightFile:
    file = formats.read(source, network.state_dict(), key)
    if "digest" in more and files.sha256(source) != more["digest"]:
        raise InputError(f"{source}: changed since the workflow was planned; run the workflow again")
    if file.others:
        log.info("%s: read from %s; not used: %s", source, file.key, listed(file.others, 5))
    if file.prefix:
        log.info("%s: removed the prefix %s from all names", source, file.prefix)
    if file.ignored:
        log.info("%s: not tensors, ignored: %s", source, listed(file.ignored, 5))
    if file.left_out:
        log.info("%s: not part of the network: %s", source, listed(file.left_out, 5))
    return file


def _pretrained(network: dict, download: bool) -> dict[str, Tensor]:
    """Return the weights that torchvision or timm provides for a network."""
    name = network["name"]
    kind = kinds.find("network", name, "network.name")
    if "pretrained" not in kind.functions:
        raise InputError(
            f"network.weights = DEFAULT: {name} has no trained weights of its own; give the path of a file"
        )
    pretrained = kinds.imported(kind.functions["pretrained"])
    return pretrained(kinds.rest(kind, name), network["arguments"], download)


def fit(network: nn.Module, state: dict[str, Tensor], where: str, draw_head: bool) -> list[str]:
    """Load weights into a network, in place; return the parameters that keep their newly drawn weights.

    With `draw_head`, these are those of the last layer if `state` was trained on another number of classes.
    `where` is the origin of the weights, for messages.
    """
    whole = network.state_dict()
    tensors = {name: value for name, value in whole.items() if not name.endswith(formats.EXTRA)}
    extra = {name: value for name, value in state.items() if name.endswith(formats.EXTRA) and name in whole}
    state = {name: value for name, value in state.items() if not name.endswith(formats.EXTRA)}
    shared = _shared(network)
    weighted = [name for name, module in network.named_modules() if modules.weights_of(module)]
    head = weighted[-1] if weighted else None
    wrong = [name for name in tensors if name in state and state[name].shape != tensors[name].shape]
    drawn = [name for name in wrong if draw_head and name.rpartition(".")[0] == head]
    shapes = [f"{name} ({_shape(state[name])} instead of {_shape(tensors[name])})" for name in wrong]
    missing = [
        name
        for name in tensors
        # Old files lack this counter, which matters only for a batch norm without momentum.
        if not (name.endswith("num_batches_tracked") or {name, *shared[name]} & set(state))
    ]
    problem = "; ".join(
        f"{what}: {listed(names, 5)}"
        for what, names in (
            ("missing", missing),
            ("unexpected", [name for name in state if name not in tensors]),
            ("of another shape", shapes if set(wrong) != set(drawn) else []),
        )
        if names
    )
    if problem:
        raise InputError(f"{where}: the weights do not fit the network; {problem}")
    used = {
        name: _converted(name, value, tensors[name], where)
        for name, value in state.items()
        if name not in drawn
    }
    for name, others in shared.items():
        for other in others:
            if name in used and other in used and not torch.equal(used[name], used[other]):
                raise InputError(
                    f"{where}: {name} and {other} are one weight in the network, but differ in the file; "
                    "choose a network that does not share it, or save the weights again"
                )
    network.load_state_dict(used | extra, strict=False)
    return drawn


def _shared(network: nn.Module) -> dict[str, list[str]]:
    """Return the other names of each tensor in a network's state dict: modules can share weights."""
    names = defaultdict(list)
    for name, value in network.state_dict(keep_vars=True).items():
        names[id(value)].append(name)
    return {
        name: [other for other in shared if other != name] for shared in names.values() for name in shared
    }


def _converted(name: str, value: Tensor, target: Tensor, where: str) -> Tensor:
    """Return a tensor of a file with the type of the network's; refuse one that means something else."""
    value = formats.dense(name, value, target.numel(), where).detach()
    try:
        whole = _kind(target) == "integer" and _kind(value) == "float" and value.double().frac().eq(0).all()
        same = _kind(value) == _kind(target) or whole or name.endswith("num_batches_tracked")
        converted = value.to(target.dtype) if same else None
    except RuntimeError:  # torch does not compute with types of a few bits
        converted = None
    if converted is None:
        raise InputError(
            f"{where}: {name} has the type {value.dtype} instead of {target.dtype}; save the weights that "
            "the network computes with"
        )
    if target.isfinite().all() and (broken := int((~converted.isfinite()).sum())):
        raise InputError(
            f"{where}: {broken} of {target.numel()} values of {name} are NaN or infinite; check how they "
            "were trained and saved"
        )
    return converted


def _kind(value: Tensor) -> str:
    return "complex" if value.is_complex() else "float" if value.is_floating_point() else "integer"


def zeros(network: nn.Module, trained_further: bool, given: Masks | None = None, few: bool = False) -> Masks:
    """Return masks of the zeros in all weights that can be pruned; empty when there are no zeros.

    If the network is `trained_further`, a matrix that is zero everywhere is treated as initialised to zero,
    not as pruned. Masks that are `given` are not changed. Weights can become zero by accident, for example in
    half precision, so in a matrix that has hardly any, less than `ACCIDENTAL`, zeros count only with `few`.
    """
    weights = {
        name: weight.detach().cpu()
        for of_module in modules.weighted(network).values()
        for name, weight in of_module.items()
    }
    given, masks, accidental = given or {}, {}, 0
    for name, weight in weights.items():
        mask = given.get(name, weight != 0)
        removed = int((~mask).sum())
        if name not in given and 0 < removed < ACCIDENTAL * mask.numel() and not few:
            accidental += removed
            mask = torch.ones_like(mask)
        masks[name] = mask
    masks |= given
    if trained_further:
        masks = {name: mask | ~mask.any() for name, mask in masks.items()}
    pruned = sum(int((~mask).sum()) for mask in masks.values())
    total = sum(mask.numel() for mask in masks.values())
    log.info(
        "%d of %d weights are treated as pruned: %d masks from the file, else zeros",
        pruned,
        total,
        len(given),
    )
    if accidental:
        log.info("%d zeros are not: there are less than %g %% of their layer", accidental, 100 * ACCIDENTAL)
    return masks if pruned else {}


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"
