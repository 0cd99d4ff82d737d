"""The inputs of networks in a notebook: a tensor, a mapping or tuple of tensors, or a DataLoader of these."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import DataLoader

from prunescope.errors import InputError
from prunescope.provenance import derive_seed

MASK = "attention_mask"
# Keys of a mapping that hold the classes of the images, if they are one number for each.
LABELS = ("label", "labels")


@dataclass(frozen=True)
class Inputs:
    """Arguments of a network for all images, sentences or other examples.

    Attributes
    ----------
    arguments : dict of int or str to Tensor or other
        By position or keyword. Tensors have an example in each row; other values are passed as they are.
    mask : ndarray of bool, shape (n, ...), or None
        False where a position is padding; None if nothing is.
    """

    arguments: dict[int | str, Any]
    mask: np.ndarray | None

    def __len__(self) -> int:
        return len(next(value for value in self.arguments.values() if isinstance(value, Tensor)))

    def shapes(self) -> str:
        """Return the shapes of one example, for messages."""
        tensors = {key: value for key, value in self.arguments.items() if isinstance(value, Tensor)}
        return ", ".join(
            f"{'' if isinstance(key, int) else f'{key} '}{tuple(value.shape[1:])}"
            for key, value in tensors.items()
        )

    def take(self, examples: Tensor, like: Tensor | None, device: Any) -> tuple[list, dict]:
        """Return positional and keyword arguments for some examples, in the precision of `like`."""

        def prepared(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            value = value[examples.to(value.device)].to(device)
            return value.to(like.dtype) if like is not None and value.is_floating_point() else value

        arguments = {key: prepared(value) for key, value in self.arguments.items()}
        keywords = {key: value for key, value in arguments.items() if isinstance(key, str)}
        return [value for key, value in arguments.items() if key not in keywords], keywords

    def kept(self, positions: int | str) -> np.ndarray | None:
        """Return which positions of each example become rows; None if all do.

        With a number of positions, as many are drawn from those of each example that are not padding.

        Raises
        ------
        InputError
            When an example has fewer.
        """
        if self.mask is None or positions == "all":
            return self.mask
        flat = self.mask.reshape(len(self.mask), -1)
        if (short := flat.sum(axis=1) < positions).any():
            first = int(short.argmax())
            raise InputError(
                f"positions = {positions}: input {first} has only {flat[first].sum()} positions that are not "
                "padding; lower it"
            )
        order = np.random.default_rng(derive_seed(0, "positions", *flat.shape)).random(flat.shape)
        drawn = np.argsort(np.where(flat, order, np.inf), axis=1)[:, :positions]
        kept = np.zeros_like(flat)
        np.put_along_axis(kept, drawn, True, axis=1)
        return kept.reshape(self.mask.shape)


def read(inputs: Any, mask: Any = None) -> Inputs:
    """Return the arguments of a network from what the user has.

    Raises
    ------
    InputError
        When they are not numbers, there is no example, or their numbers of examples differ.
    """
    arguments = _loaded(inputs) if isinstance(inputs, DataLoader) else _arguments(inputs)
    tensors = {key: value for key, value in arguments.items() if isinstance(value, Tensor)}
    lengths = {key: len(value) if value.ndim else 0 for key, value in tensors.items()}
    if not tensors:
        raise InputError("inputs: no tensors; give a tensor (n, ...), or a mapping or tuple of such tensors")
    if len(set(lengths.values())) > 1:
        sizes = ", ".join(f"{key!r}: {length}" for key, length in lengths.items())
        raise InputError(f"inputs: numbers of examples differ ({sizes}); row i of all must be example i")
    first = next(iter(tensors.values()))
    if first.ndim < 2 or not len(first):
        raise InputError(
            f"inputs: has shape {tuple(first.shape)}, must be (n, ...) with at least one example"
        )
    return Inputs(arguments, _mask(arguments.get(MASK) if mask is None else mask, len(first)))


def _mask(mask: Any, examples: int) -> np.ndarray | None:
    if mask is None:
        return None
    values = _tensor(mask, "mask").cpu().numpy()
    if values.ndim < 2 or len(values) != examples:
        raise InputError(f"mask: has shape {values.shape}, must be ({examples}, positions)")
    if not np.isin(values, (0, 1)).all():
        raise InputError(
            "mask: must be 1 or True where a position counts, and 0 or False where it is padding"
        )
    values = values.astype(bool)
    if (empty := ~values.reshape(examples, -1).any(axis=1)).any():
        raise InputError(f"mask: input {int(empty.argmax())} is all padding; remove it")
    return None if values.all() else values


def _arguments(inputs: Any) -> dict[int | str, Any]:
    if isinstance(inputs, Mapping):
        return {str(key): _tensor(value, f"inputs[{key!r}]") for key, value in inputs.items()}
    if isinstance(inputs, tuple):
        return {i: _tensor(value, f"inputs[{i}]") for i, value in enumerate(inputs)}
    return {0: _tensor(inputs, "inputs")}


def _tensor(value: Any, name: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    try:
        return torch.as_tensor(value)
    except (ValueError, TypeError, RuntimeError):
        raise InputError(
            f"{name}: a {type(value).__name__} is not an array of numbers; give a tensor or array (n, ...), "
            "a mapping or tuple of these, or a DataLoader"
        ) from None


def _loaded(loader: DataLoader) -> dict[int | str, Any]:
    """Read all batches, without the classes of the examples."""
    batches = [_arguments(tuple(batch) if isinstance(batch, list) else batch) for batch in loader]
    if not batches:
        raise InputError("inputs: the DataLoader has no batches")
    arguments = {}
    for key, value in batches[0].items():
        parts = [batch.get(key) for batch in batches]
        classes = isinstance(value, Tensor) and value.ndim == 1 and not value.is_floating_point()
        if not classes or (isinstance(key, str) and key not in LABELS) or key == 0:
            arguments[key] = _joined(parts, key, MASK in batches[0]) if isinstance(value, Tensor) else value
    return arguments


def _joined(parts: list, key: int | str, masked: bool) -> Tensor:
    """Join batches; with a mask, shorter ones are padded with zeros, which the mask leaves out."""
    shapes = {(*part.shape[2:], part.ndim) if isinstance(part, Tensor) else None for part in parts}
    lengths = {part.shape[1] for part in parts if isinstance(part, Tensor) and part.ndim > 1}
    if len(shapes) > 1 or (len(lengths) > 1 and not masked):
        sizes = ", ".join(str(tuple(getattr(part, "shape", ()))) for part in parts[:3])
        raise InputError(
            f"inputs[{key!r}]: batches have different shapes ({sizes}); pad all to the same length and add "
            f"{MASK}"
        )
    if len(lengths) > 1:
        sides = (0, 0) * (parts[0].ndim - 2)
        parts = [pad(part, (*sides, 0, max(lengths) - part.shape[1])) for part in parts]
    return torch.cat(parts)
