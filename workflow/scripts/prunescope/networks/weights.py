"""Trained weights to start from: reading them safely, and fitting them to a network."""

import logging
import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from prunescope import files, kinds
from prunescope.errors import InputError
from prunescope.networks import DEFAULT, modules
from prunescope.networks.build import build
from prunescope.networks.masks import Masks

log = logging.getLogger("prunescope")


def initial(network: dict, seed: int, download: bool = True) -> nn.Module:
    """Build a network with the weights that its training starts from.

    Parameters
    ----------
    network : dict
        ``name``, ``arguments``, ``shape``, ``classes``; and ``more``, whose ``weights`` is a file or
        ``DEFAULT``. Without ``weights``, all weights are newly drawn.
    seed : int
        Determines newly drawn weights.
    download : bool, default True
        Whether missing weights may be downloaded.

    Raises
    ------
    InputError
        When the weights cannot be read, do not fit, or are not those that the workflow was planned with.
    """
    more = network.get("more") or {}
    source = more.get("weights")
    if source is None:
        return build(**network, seed=seed)
    state = _pretrained(network, download) if source == DEFAULT else read(source)
    if "digest" in more and files.sha256(source) != more["digest"]:
        raise InputError(f"{source}: changed since the workflow was planned; run it again")
    built = build(**network, seed=seed)
    drawn = fit(built, state, f"network.weights = {source}")
    log.info("weights of %s; newly drawn: %s", source, ", ".join(drawn) or "none")
    return built


def _pretrained(network: dict, download: bool) -> dict[str, Tensor]:
    """Return the weights that torchvision or timm offers for a network."""
    name = network["name"]
    kind = kinds.find("network", name, "network.name")
    offered = None if name.startswith("file:") else kinds.load("network", name).pretrained
    if offered is None:
        raise InputError(
            f"network.weights = DEFAULT: {name} has no trained weights of its own; give the path of a file"
        )
    return offered(kinds.rest(kind, name), network["arguments"], download)


def read(path: str | Path) -> dict[str, Tensor]:
    """Read weights by parameter name from a file; no code in the file is run.

    Parameters
    ----------
    path : path
        A state dict saved by ``torch.save``, a ``.safetensors`` file, or a checkpoint of this workflow.

    Raises
    ------
    InputError
        When the file cannot be read or holds something else.
    """
    if not Path(path).is_file():
        raise InputError(f"network.weights = {str(path)!r}: no such file; paths start in {Path.cwd()}")
    try:
        if Path(path).suffix == ".safetensors":
            from safetensors.torch import load_file

            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"network.weights: {path} holds more than weights, which is not safe to read; save them with "
            "torch.save(network.state_dict(), FILE)"
        ) from None
    except Exception as error:  # readers raise errors of many kinds for damaged files
        raise InputError(f"network.weights: {path} cannot be read ({_first_line(error)})") from None
    if isinstance(content, dict) and {"schema", "weights", "masks"} <= set(content):
        content = content["weights"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(
            f"network.weights: {path} is not a state dict; save the weights with "
            "torch.save(network.state_dict(), FILE)"
        )
    return content


def fit(network: nn.Module, state: dict[str, Tensor], where: str) -> list[str]:
    """Load weights into a network, in place.

    The last layer keeps its newly drawn weights if `state` was trained on another number of classes.

    Parameters
    ----------
    network : torch.nn.Module
    state : dict of str to Tensor
    where : str
        Where the weights come from, for the error message.

    Returns
    -------
    list of str
        The parameters that keep their newly drawn weights.

    Raises
    ------
    InputError
        With the names that are missing, unexpected or of another shape.
    """
    own = network.state_dict()
    head = [name for name, module in network.named_modules() if modules.weights_of(module)][-1]
    wrong = [name for name in own if name in state and state[name].shape != own[name].shape]
    drawn = [name for name in wrong if name.rpartition(".")[0] == head]
    shapes = [f"{name} ({_shape(state[name])} instead of {_shape(own[name])})" for name in wrong]
    # Old files lack this counter, which only matters for a batch norm without momentum.
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    problem = "; ".join(
        f"{what}: {_listed(names)}"
        for what, names in (
            ("missing", missing),
            ("unexpected", [name for name in state if name not in own]),
            ("of another shape", shapes if set(wrong) != set(drawn) else []),
        )
        if names
    )
    if problem:
        raise InputError(f"{where}: the weights do not fit the network; {problem}")
    network.load_state_dict({name: value for name, value in state.items() if name not in drawn}, strict=False)
    return drawn


def zeros(network: nn.Module) -> Masks:
    """Return masks of the zeros in a network's weights, to prune a sparse network further.

    A weight that is zero everywhere is not pruned: it was initialised so.

    Returns
    -------
    dict of str to Tensor of bool
        Masks of all weights that can be pruned; empty when there are no zeros.
    """
    weights = {
        f"{prefix}.{name}": weight.detach().cpu()
        for prefix, module in network.named_modules()
        for name, weight in modules.weights_of(module).items()
    }
    masks = {name: (weight != 0) | ~weight.any() for name, weight in weights.items()}
    found = sum(int((~mask).sum()) for mask in masks.values())
    log.info("%d weights are zero and stay so", found)
    return masks if found else {}


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"


def _listed(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split("\n")[0].split()) or type(error).__name__
