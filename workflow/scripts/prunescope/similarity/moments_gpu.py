"""Second moments accumulated on a GPU; everything else is computed on the CPU.

The sums are float64 as on the CPU, so the two differ only by rounding. This is a separate module because
comparisons on the CPU are short and importing torch takes seconds.
"""

from collections.abc import Sequence

import numpy as np
import torch

from prunescope.similarity.images import Images
from prunescope.similarity.moments import Gram


class DeviceGram(Gram):
    """Sums of products of augmented rows on a torch device; see `moments.Gram`.

    Parameters
    ----------
    shifts, blocks, images, by_fold
        Those of `moments.Gram`.
    device : torch.device or str
    """

    def __init__(
        self,
        shifts: Sequence[np.ndarray],
        blocks: Sequence[tuple[range, range]],
        images: Images,
        device: torch.device | str,
        by_fold: bool = False,
    ):
        self._device = device
        super().__init__(shifts, blocks, images, by_fold=by_fold)

    def _numbers(self, *shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=torch.float64, device=self._device)

    def _host(self, numbers: torch.Tensor) -> np.ndarray:
        return numbers.cpu().numpy()

    def _augment(self, chunk: np.ndarray, shift: np.ndarray, out: torch.Tensor) -> None:
        columns = out[:, :-2]
        columns.copy_(torch.from_numpy(chunk))
        columns.sub_(torch.from_numpy(shift).to(self._device))
        out[:, -2] = torch.linalg.vecdot(columns, columns)
        out[:, -1] = 1.0

    def _multiply(self, left: torch.Tensor, right: torch.Tensor, total: torch.Tensor) -> None:
        total.addmm_(left.T, right)

    def finish(self) -> None:
        """Copy the sums to the host and free the device's memory."""
        super().finish()
        self._tiles = [(rows, columns, self._host(total)) for rows, columns, total in self._tiles]
        self._maps = self._host(self._maps)
