"""What happens when memory is not enough."""

import numpy as np
import pytest
import torch

from prunescope.errors import InputError, shrinking


@pytest.mark.parametrize("allocate", [torch.empty, np.empty])
def test_out_of_memory_halves_the_size_until_it_fits(allocate):
    """The library's own allocator refuses."""
    tried = []

    def run(size, fits=3):
        tried.append(size)
        return len(allocate(10**17 if size > fits else 1))

    assert shrinking(run, 20, "image", "record fewer layers") == 1
    assert tried == [20, 10, 5, 2]
    with pytest.raises(InputError, match="not enough memory for even one image; record fewer layers"):
        shrinking(lambda size: run(size, fits=0), 4, "image", "record fewer layers")


def test_what_is_no_lack_of_memory_is_raised_as_it_is():
    with pytest.raises(RuntimeError, match="shape"):
        shrinking(lambda size: torch.ones(2) @ torch.ones(3, 3), 4, "image", "")
