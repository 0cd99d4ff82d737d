"""How much memory a comparison needs, from sizes alone."""

from collections.abc import Sequence

from prunescope.similarity.moments import MOST_TILE, chunk_rows

# Sums of products kept at a time, in numbers of 8 bytes; a single wider matrix may exceed it.
BATCH_NUMBERS = 2**26
# Of a second pass; smaller, because the sums of the first are still there.
SECOND_BATCH_NUMBERS = BATCH_NUMBERS // 4
# Numbers of matrices as large as a covariance: kept by a representation, needed to compute one or a score.
KEPT, NEEDED = 4, 8
# Rows of the result for one pair, all measures, as Python objects, in numbers of 8 bytes.
ROWS = 1200


def peak_bytes(widths: Sequence[int], recordings: int, threads: int = 1, pairs: str = "same-layer") -> int:
    """Return a bound on the memory of a comparison, beyond what the interpreter and the libraries need.

    It does not depend on the number of rows. docs/similarity.md explains the terms.

    Parameters
    ----------
    widths : sequence of int
        Stored columns of each layer.
    recordings : int
        Activation files that the job reads.
    threads : int, default 1
    pairs : str, default 'same-layer'
        ``same-layer`` or ``all-layers``.

    Returns
    -------
    int
        Bytes.
    """
    all_layers = pairs == "all-layers"
    together = [list(widths)] if all_layers else [[width] for width in set(widths)]
    rows = 2 * recordings * len(widths) ** (2 if all_layers else 1) * (ROWS + max(widths))
    return 8 * (rows + max(_peak_numbers(own, recordings, threads) for own in together))


def _peak_numbers(own: Sequence[int], recordings: int, threads: int) -> int:
    """Bound for layers whose pairs are summed together, in numbers of 8 bytes."""
    # In the sums, each matrix has two more columns: see `moments`.
    widest, width, squares = max(own) + 2, sum(own) + 2 * len(own), sum((p + 2) ** 2 for p in own)
    every = recordings * sum((width + p + 2) * (p + 2) for p in own)

    def batch(limit: int) -> int:
        return max(min(limit, every), (width + widest) * widest)

    # A batch ends at a number of sums, so one of narrow layers can have many columns.
    columns = width + max(widest, min(recordings * width, BATCH_NUMBERS // width))
    # The buffer and the rows as they are read, which are float64 once they are whitened.
    buffers = max(chunk_rows(count) * (2 * count + 3 * widest) for count in (width, columns))
    sums = batch(BATCH_NUMBERS) + batch(SECOND_BATCH_NUMBERS) + 2 * width**2
    others = max(min(recordings * squares, SECOND_BATCH_NUMBERS), widest**2)
    work = NEEDED * widest**2 + max(min(MOST_TILE, columns), widest) ** 2
    return buffers + sums + KEPT * (squares + others) + threads * work
