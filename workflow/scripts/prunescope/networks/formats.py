"""Reading weight files of other programs as a state dict and masks; no code in a file is run."""

import pickle
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from prunescope.errors import InputError
from prunescope.files import damaged_member
from prunescope.networks.masks import Masks

# Keys under which training programs store the weights of a network, next to optimisers and epochs.
WRAPPERS = ("state_dict", "model_state_dict", "model", "weights")
# Prefix that torch.compile adds to the names in the module that it wraps.
COMPILED = "_orig_mod."


@dataclass(frozen=True)
class Found:
    """The content of a weight file.

    Attributes
    ----------
    state : dict of str to Tensor
        By parameter name.
    masks : dict of str to Tensor of bool
        Masks in the file, by parameter name; True means kept.
    prefix : str
        Prefix of the names, e.g. ``module.``.
    left_out : tuple of str
        Names without this prefix, which do not belong to the network.
    key : str
        The key of a dictionary under which the state dict was found.
    others : tuple of str
        Its other keys with a state dict, e.g. of a moving average of the weights.
    """

    state: dict[str, Tensor]
    masks: Masks
    prefix: str = ""
    left_out: tuple[str, ...] = ()
    key: str = ""
    others: tuple[str, ...] = ()


def read(path: str | Path, names: Iterable[str], key: str = "network.weights") -> Found:
    """Read the weights of a network.

    Parameters
    ----------
    path : path
        A ``.safetensors`` file, or what ``torch.save`` wrote: a state dict, a dictionary that holds one
        (checkpoints from PyTorch Lightning and other training programs), or a checkpoint of this workflow.
        ``NAME_orig`` and ``NAME_mask`` of `torch.nn.utils.prune` become the product and a mask. A prefix of
        all names is removed, e.g. ``module.`` of `DataParallel`.
    names : iterable of str
        The names in the network's own state dict.
    key : str, optional
        The configuration key that gives the path, for error messages.

    Raises
    ------
    InputError
        When the file cannot be read, or does not contain the weights of exactly one network.
    """
    where = f"{key} = {str(path)!r}"
    if not Path(path).is_file():
        raise InputError(f"{where}: no such file; relative paths start in {Path.cwd()}")
    content = _load(Path(path), where)
    # Checkpoints of this workflow store masks next to the weights.
    own = isinstance(content, dict) and {"schema", "weights", "masks"} <= set(content)
    state, inside, others = _state_in(content, where)
    found = Found(state, content["masks"] if own else {}, key=inside, others=() if own else others)
    found = _without_prune(found, where)
    found = replace(found, state={name.replace(COMPILED, ""): value for name, value in found.state.items()})
    found = replace(found, masks={name.replace(COMPILED, ""): mask for name, mask in found.masks.items()})
    return _without_prefix(found, set(names), where)


def _load(path: Path, where: str):
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*TorchScript archive")
            content = torch.load(path, map_location="cpu", weights_only=True)
        if member := damaged_member(path):
            raise ValueError(f"{member} in the archive is damaged")
        return content
    except MemoryError:
        raise
    except Exception as error:  # readers raise many kinds of errors for damaged files
        if found := re.search(r"Unsupported global: GLOBAL (\S+)", str(error)):
            raise InputError(
                f"{where}: the file holds a Python object ({found[1]}), and loading it could run code; if "
                "you trust it, load it yourself and save only the weights: "
                "torch.save(network.state_dict(), FILE)"
            ) from None
        if "TorchScript" in str(error):
            raise InputError(
                f"{where}: a TorchScript archive; save only the weights: "
                "torch.save(torch.jit.load(FILE).state_dict(), OTHER)"
            ) from None
        # Bytes that are no pickle make its reader fail in any way.
        other = isinstance(error, pickle.UnpicklingError | LookupError | ValueError | EOFError | TypeError)
        other &= path.suffix != ".safetensors" and not zipfile.is_zipfile(path)
        text = "not a file of torch.save" if other else str(error)
        text = text if path.stat().st_size else "the file is empty"
        problem = " ".join(text.split("\n")[0].split()) or type(error).__name__
        raise InputError(f"{where}: cannot be read ({problem})") from None


def _is_state(value) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(one, Tensor) for one in value.values())


def _state_in(content, where: str) -> tuple[dict[str, Tensor], str, tuple[str, ...]]:
    """Return a file's state dict, the key under which it was found, and the other keys with a state dict.

    The state dict is the whole content, or the value of one of its keys.
    """
    if _is_state(content):
        return dict(content), "", ()
    inner = (
        {key: value for key, value in content.items() if _is_state(value)}
        if isinstance(content, dict)
        else {}
    )
    known = [key for key in WRAPPERS if key in inner] or list(inner)
    if not known:
        raise InputError(
            f"{where}: the file holds no state dict; save the weights with "
            "torch.save(network.state_dict(), FILE)"
        )
    if known[0] not in WRAPPERS and len(known) > 1:
        raise InputError(
            f"{where}: the file holds several state dicts ({', '.join(map(str, known))}); save only that of "
            "the network"
        )
    return dict(inner[known[0]]), str(known[0]), tuple(str(key) for key in inner if key != known[0])


def _without_prune(found: Found, where: str) -> Found:
    """Replace the ``orig`` and ``mask`` of a parameter from `torch.nn.utils.prune` by their product."""
    state, masks = dict(found.state), dict(found.masks)
    for name in [name for name in state if name.endswith("_mask")]:
        base = name.removesuffix("_mask")
        if f"{base}_orig" not in state:
            continue
        mask, weight = state.pop(name), state.pop(f"{base}_orig")
        if mask.shape != weight.shape:
            raise InputError(f"{where}: {name} and {base}_orig have different shapes; save the weights again")
        masks[base] = mask.bool()
        state[base] = weight.masked_fill(~masks[base], 0.0)
    return replace(found, state=state, masks=masks)


def _without_prefix(found: Found, names: set[str], where: str) -> Found:
    """Remove the prefix under which most of the network's names are found."""
    counts = Counter()
    for name in found.state:
        parts = name.split(".")
        for start in range(len(parts)):
            if ".".join(parts[start:]) in names:
                counts["".join(f"{part}." for part in parts[:start])] += 1
    best = [prefix for prefix, count in counts.items() if count == max(counts.values())]
    if len(best) > 1 and "" not in best:
        raise InputError(
            f"{where}: the file holds several networks of this kind (under {', '.join(sorted(best))}); "
            "save the weights of one of them"
        )
    prefix = "" if "" in best or not best else best[0]
    own, others = {}, []
    for name, value in found.state.items():
        if name.startswith(prefix):
            own[name.removeprefix(prefix)] = value
        else:
            others.append(name)
    masks = {name.removeprefix(prefix): mask for name, mask in found.masks.items() if name.startswith(prefix)}
    return replace(found, state=own, masks=masks, prefix=prefix, left_out=tuple(others))
