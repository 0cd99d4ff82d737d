"""Reading weight files of other programs as a state dict and masks; no code in a file is run."""

import pickle
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
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
# Last part of the name of what a module's `get_extra_state` returns.
EXTRA = "_extra_state"
SPARSE = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)


@dataclass(frozen=True)
class WeightFile:
    """The content of a weight file.

    Attributes
    ----------
    state : dict of str to Tensor
        By parameter name; the extra state of a module can be anything plain.
    masks : dict of str to Tensor of bool
        Masks in the file, by parameter name; True means kept.
    prefix : str
        Prefix of the names, e.g. ``module.``.
    left_out : tuple of str
        Names without this prefix, which do not belong to the network.
    key : str
        The key under which the state dict was found; keys of nested dictionaries are joined by dots.
    others : tuple of str
        Other keys with a state dict, e.g. of a moving average of the weights.
    ignored : tuple of str
        Names in the state dict whose values are not tensors.
    """

    state: dict[str, Tensor]
    masks: Masks
    prefix: str = ""
    left_out: tuple[str, ...] = ()
    key: str = ""
    others: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def read(path: str | Path, state: Mapping[str, Tensor], key: str = "network.weights") -> WeightFile:
    """Read the weights of a network with this state dict; `key` is the setting with the path.

    The file is ``.safetensors``, or what ``torch.save`` wrote: a state dict, nested dictionaries that hold
    one (checkpoints from PyTorch Lightning and other training programs), or a checkpoint of this workflow.
    ``NAME_orig`` and ``NAME_mask`` of `torch.nn.utils.prune` become the product and a mask. A prefix of all
    names is removed, e.g. ``module.`` of `DataParallel`.
    """
    where = f"{key} = {str(path)!r}"
    if not Path(path).is_file():
        raise InputError(f"{where}: no such file; relative paths start in {Path.cwd()}")
    content = _load(Path(path), where)
    # Checkpoints of this workflow store masks next to the weights.
    ours = isinstance(content, dict) and {"schema", "weights", "masks"} <= set(content)
    file = _state_dict_in(content, set(state), where)
    if ours:
        masks = content["masks"]
        if not isinstance(masks, dict) or not all(isinstance(mask, Tensor) for mask in masks.values()):
            raise InputError(f"{where}: its masks are not tensors by the name of their weight; save it again")
        file = replace(file, masks=masks, others=())
    file = replace(
        file,
        state={name.replace(COMPILED, ""): value for name, value in file.state.items()},
        masks={name.replace(COMPILED, ""): mask for name, mask in file.masks.items()},
    )
    return _without_prefix(_without_prune(file, state, where), set(state), where)


def _load(path: Path, where: str):
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it looks at a TorchScript archive or at sparse tensors
            content = torch.load(path, map_location="cpu", weights_only=True)
        if member := damaged_member(path):
            raise ValueError(f"{member} in the archive is damaged")
        return content
    except MemoryError:
        raise
    except Exception as error:  # readers raise many kinds of errors for damaged files
        if match := re.search(r"Unsupported global: GLOBAL (\S+)", str(error)):
            raise InputError(
                f"{where}: the file holds a Python object ({match[1]}), and loading it could run code; if "
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


def largest(state: Mapping[str, Tensor]) -> int:
    """Return the number of values of the largest tensor in a state dict."""
    return max((value.numel() for value in state.values() if isinstance(value, Tensor)), default=0)


def dense(name: str, value: Tensor, most: int, where: str) -> Tensor:
    """Return a tensor of a file in the ordinary layout; refuse what is not simply an array of numbers.

    `most` is the largest number of values that a tensor of the network has; `where` is the origin, for
    messages.
    """
    if value.is_meta:
        problem = "has no values, because it was saved on the device meta; save the network that was trained"
    elif value.is_quantized:
        problem = f"is quantised ({value.dtype}); save the weights before quantisation, or dequantize() them"
    elif value.is_nested or value.layout not in (torch.strided, *SPARSE):
        problem = f"has the layout {value.layout}; save it as an ordinary tensor"
    elif value.numel() > most:
        problem = f"has {value.numel():,} values, more than any tensor of the network; save the weights again"
    else:
        return value if value.layout is torch.strided else value.to_dense()
    raise InputError(f"{where}: {name} {problem}")


def _dictionaries(content) -> Iterator[tuple[tuple[str, ...], dict]]:
    """Yield keys and dictionary of all dictionaries with tensors in a file, outermost first."""
    todo, seen = [((), content)], set()
    for path, value in todo:
        if isinstance(value, dict | list | tuple) and id(value) not in seen:  # one may contain itself
            seen.add(id(value))
            if isinstance(value, dict) and any(isinstance(one, Tensor) for one in value.values()):
                yield path, value
            items = value.items() if isinstance(value, dict) else enumerate(value)
            todo += [((*path, str(key)), inner) for key, inner in items]


def _state_dict_in(content, names: set[str], where: str) -> WeightFile:
    """Find the network's state dict in a file: the one with most of its names.

    Of several, it is the whole content, or the first of `WRAPPERS`.
    """
    candidates = []
    for path, one in _dictionaries(content):
        tensors = {key: value for key, value in one.items() if isinstance(key, str)}
        known = {name for key in tensors for name in _ends(key, names)}
        if known or all(isinstance(key, str) and isinstance(one[key], Tensor) for key in one):
            rank = WRAPPERS.index(path[-1]) if path and path[-1] in WRAPPERS else len(WRAPPERS)
            candidates.append((-len(known), rank if path else -1, len(path), ".".join(path), tensors))
    if not candidates:
        raise InputError(
            f"{where}: the file holds no state dict; save the weights with "
            "torch.save(network.state_dict(), FILE)"
        )
    candidates.sort(key=lambda one: one[:3])
    best, (_, _, _, key, state) = candidates[0][:3], candidates[0]
    if equal := [one[3] for one in candidates if one[:3] == best][1:]:
        raise InputError(
            f"{where}: the file holds several state dicts ({', '.join([key, *equal])}); save only that of "
            "the network"
        )
    used = {name for name, value in state.items() if isinstance(value, Tensor) or name.endswith(EXTRA)}
    return WeightFile(
        {name: value for name, value in state.items() if name in used},
        {},
        key=key,
        others=tuple(one[3] for one in candidates[1:] if one[0] and one[3]),
        ignored=tuple(name for name in state if name not in used),
    )


def _ends(key: str, names: set[str]) -> Iterator[str]:
    """Yield the names that a name in a file may mean: without a prefix, and without torch's suffixes."""
    plain = key.replace(COMPILED, "")
    for text in dict.fromkeys((plain, plain.removesuffix("_orig"))):
        parts = text.split(".")
        yield from (name for start in range(len(parts)) if (name := ".".join(parts[start:])) in names)


def _without_prune(file: WeightFile, network: Mapping[str, Tensor], where: str) -> WeightFile:
    """Replace the ``orig`` and ``mask`` of a parameter from `torch.nn.utils.prune` by their product."""
    state, masks = dict(file.state), dict(file.masks)
    names, most = set(network), largest(network)
    for name in [name for name in state if name.endswith("_mask")]:
        base = name.removesuffix("_mask")
        # A network may have weights of these names itself.
        if f"{base}_orig" not in state or any(_ends(name, names)):
            continue
        mask, weight = state.pop(name), state.pop(f"{base}_orig")
        if mask.shape != weight.shape:
            raise InputError(f"{where}: {name} and {base}_orig have different shapes; save the weights again")
        mask, weight = (
            dense(part, value, most, where) for part, value in ((name, mask), (f"{base}_orig", weight))
        )
        if not ((mask == 0) | (mask == 1)).all():
            raise InputError(f"{where}: {name} has values other than 0 and 1; save the weights again")
        masks[base] = mask.bool()
        state[base] = weight.masked_fill(~masks[base], 0.0)
    return replace(file, state=state, masks=masks)


def _without_prefix(file: WeightFile, names: set[str], where: str) -> WeightFile:
    """Remove the prefix under which most of the network's names are found."""
    counts = Counter()
    for name in file.state:
        for end in _ends(name, names):
            if name.endswith(end):
                counts[name.removesuffix(end)] += 1
    best = [prefix for prefix, count in counts.items() if count == max(counts.values())]
    if len(best) > 1 and "" not in best:
        raise InputError(
            f"{where}: the file holds several networks of this kind (under {', '.join(sorted(best))}); "
            "save the weights of one of them"
        )
    prefix = "" if "" in best or not best else best[0]
    state, others = {}, []
    for name, value in file.state.items():
        if name.startswith(prefix):
            state[name.removeprefix(prefix)] = value
        else:
            others.append(name)
    masks = {name.removeprefix(prefix): mask for name, mask in file.masks.items() if name.startswith(prefix)}
    return replace(file, state=state, masks=masks, prefix=prefix, left_out=tuple(others))
