"""The memory that a comparison needs, computed from sizes."""

from collections.abc import Sequence

from prunescope.similarity.images import MOST_NUMBERS, MOST_VECTORS, READ_ROWS
from prunescope.similarity.moments import (
    BATCH_NUMBERS,
    MOST_TILE,
    SECOND_BATCH_NUMBERS,
    batch_numbers,
    chunk_rows,
    map_numbers,
)

# Numbers of matrices of the size of a covariance: stored in a representation; needed to compute a
# representation or a score; needed for a pair without a fold.
KEPT, NEEDED, REPLICA = 8, 8, 12
# Maps that a representation stores, in several coordinates.
KEPT_MAPS = 5
# Matrices of the size images × images that a measure needs which compares images.
IMAGE_PAIRS = 6
# Matrices of the size of a sample needed to compute its levels, with the sample.
SAMPLE_WORK = 4
# Rows of the result for one pair, all measures, as Python objects, in numbers of 8 bytes.
ROWS = 1200


def peak_bytes(
    widths: Sequence[int],
    recordings: int,
    threads: int = 1,
    pairs: str = "same-layer",
    positions: Sequence[int] | None = None,
    intervals: bool = False,
    sample: bool = False,
    images: int = 0,
) -> int:
    """Return a bound on the memory of a comparison, in addition to the interpreter and the libraries.

    It hardly depends on the number of images. docs/similarity.md explains the terms.

    Parameters
    ----------
    widths : sequence of int
        Stored columns of each layer.
    recordings : int
        Activation files that the job reads.
    threads : int, default 1
    pairs : str, default 'same-layer'
        ``same-layer`` or ``all-layers``.
    positions : sequence of int, optional
        Rows of an image in each layer; by default 1.
    intervals : bool, optional
        Whether intervals are computed.
    sample : bool, optional
        Whether a measure needs rows of a sample of images.
    images : int, optional
        Number of images, of which a sample is kept.

    Returns
    -------
    int
        Bytes.
    """
    all_layers = pairs == "all-layers"
    sizes = list(zip(widths, positions or [1] * len(widths), strict=True))
    together = [([width], count) for width, count in set(sizes)]
    if all_layers:
        together = [([p for p, other in sizes if other == count], count) for _, count in set(sizes)]
    rows = 2 * recordings * len(widths) ** (2 if all_layers else 1) * (ROWS + max(widths))
    peaks = [
        _peak_numbers(group, recordings, threads, count, intervals) + sample * _sample_numbers(group, threads)
        for group, count in together
    ]
    # Samples of all layers that are compared together and of one other for each thread, with work on them.
    samples = [
        sum(min(MOST_NUMBERS, images * count * width) for width in group)
        + SAMPLE_WORK * threads * min(MOST_NUMBERS, images * count * max(group))
        for group, count in together
    ]
    return 8 * (rows + max(peaks) + max(samples))


def _sample_numbers(widths: Sequence[int], threads: int) -> int:
    """Vectors of images and what is computed of them, for a layer's own matrices and one other per thread."""
    vectors = MOST_VECTORS * (sum(widths) + threads * max(widths))
    # A mask of neighbours has one byte for each pair of images; two halves of similarities have eight each.
    work = MOST_VECTORS**2 * (IMAGE_PAIRS * threads + 9 * (len(widths) + threads) // 8 + 1)
    return vectors + work + threads * (2 * READ_ROWS + MOST_VECTORS) * max(widths)


def _peak_numbers(
    widths: Sequence[int], recordings: int, threads: int, positions: int, intervals: bool
) -> int:
    """Bound for layers whose pairs are summed together, in numbers of 8 bytes."""
    # In the sums, each matrix has two additional columns, see `moments`.
    widest, width, squares = max(widths) + 2, sum(widths) + 2 * len(widths), sum((p + 2) ** 2 for p in widths)
    every = recordings * sum(batch_numbers(width, p + 2, positions, intervals) for p in widths)

    def batch(limit: int) -> int:
        return max(min(limit, every), batch_numbers(width, widest, positions, intervals))

    # The number of sums limits a batch, so a batch of narrow layers can have many columns.
    columns = width + max(widest, min(recordings * width, BATCH_NUMBERS // width))
    # The buffer, and the rows that are read and sorted; whitened rows are float64.
    buffers = max(chunk_rows(count) * (2 * count + (3 + threads) * widest) for count in (width, columns))
    itself = batch_numbers(0, width, positions, intervals)
    sums = batch(BATCH_NUMBERS) + batch(SECOND_BATCH_NUMBERS) + 2 * itself
    others = max(min(recordings * squares, SECOND_BATCH_NUMBERS), widest**2)
    # Sums of the folds are copied while moments are read.
    maps = KEPT_MAPS * (positions > 1) * positions * (width + (threads + 1) * widest)
    maps += map_numbers(positions) * threads * widest
    work = (NEEDED + REPLICA * intervals) * widest**2 + max(min(MOST_TILE, columns), widest) ** 2
    return buffers + sums + KEPT * (squares + others) + maps + threads * work
