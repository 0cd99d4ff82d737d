"""Cost of recording activations, as ratios within one run.

    python tests/benchmarks/bench_activations.py [--quick] [--repeat 3] [--threads 2]

The network is the VGG of the SVHN experiments on 32 x 32 colour images, every ReLU and pool recorded. The
forward pass alone runs over the same batches without hooks. The same number of bytes is also written
separately, because a disk can be slower than a network. Formats are compared by time, size, and the largest
change of each measure between two networks. Reading with verified checksums is compared with reading without,
in the chunks of a comparison and in turn.
"""

import argparse
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow/scripts"))

from prunescope import kinds
from prunescope.activations import store
from prunescope.activations.record import extract
from prunescope.networks.build import build
from prunescope.networks.preprocessing import normalise
from prunescope.settings.activations import RecordingSettings
from prunescope.settings.similarity import Similarity
from prunescope.similarity.matrix import compare_round
from prunescope.similarity.moments import chunk_rows

FORMATS = [("float32", "none"), ("float16", "none"), ("float32", "lzf"), ("float32", "gzip")]
MEAN, STD = [0.45, 0.45, 0.47], [0.2, 0.2, 0.2]


def forward(network, images, batch_size):
    network = network.to(memory_format=torch.channels_last).eval()
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = normalise(torch.from_numpy(images[start : start + batch_size]), MEAN, STD)
            network(batch.contiguous(memory_format=torch.channels_last))


def record(path, network, images, **settings):
    chosen = RecordingSettings(layers=["ReLU", "MaxPool2d", "output"], examples=None, **settings)
    origin = {
        "experiment": "",
        "seed": 0,
        "round": 0,
        "network": "",
        "density": 1.0,
        "dataset": "",
        "code": "",
    }
    prepare = partial(normalise, mean=MEAN, std=STD)
    extract(path, network, images, np.zeros(len(images), int), prepare, chosen, origin)


def write(path, size):
    """Write this many bytes and flush them to disk, as a recording does."""
    block = os.urandom(2**23)
    with open(path, "wb") as file:
        for start in range(0, size, len(block)):
            file.write(block[: size - start])
        file.flush()
        os.fsync(file.fileno())


def read(path, verify):
    """Read all layers, chunk by chunk as a comparison does."""
    with store.recordings([path]) as (recording,):
        matrices = list(recording.matrices.values())
        rows = chunk_rows(sum(matrix.shape[1] for matrix in matrices))
        for matrix in matrices:
            source = matrix if verify else matrix.data
            for start in range(0, matrix.shape[0], rows):
                source[start : start + rows]


def timed(function, *arguments, **keywords):
    start = time.perf_counter()
    function(*arguments, **keywords)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few images: shows that it runs, not how fast")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    n = 250 if arguments.quick else 2000
    # Smooth images: noise would give features that no format can compress.
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 255, (n, 3, 5, 5)).astype(np.float32))
    images = (
        torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bicubic").clamp(0, 255).byte().numpy()
    )
    pair = [build("vgg_svhn", {}, (3, 32, 32), 10, seed) for seed in (0, 1)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5"
        for view, positions in (("channels", "all"), ("channels", 16), ("pooled", "all")):
            keywords = {"view": view, "positions": positions}
            alone, extraction, writing = np.inf, np.inf, np.inf
            for _ in range(arguments.repeat):
                alone = min(alone, timed(forward, pair[0], images, 250))
                extraction = min(extraction, timed(record, path, pair[0], images, **keywords))
                size = path.stat().st_size
                path.unlink()
                writing = min(writing, timed(write, path, size))
            print(
                f"{view}, positions {positions}: {alone / extraction:.2f} of the forward pass's rate, "
                f"{(alone + writing) / extraction:.2f} of that with a plain write of {size / 2**20:.0f} MiB, "
                f"which takes {writing / alone:.2f} of a forward pass",
                flush=True,
            )
        record(path, pair[0], images)
        plain, verified = np.inf, np.inf
        for _ in range(3 * arguments.repeat):
            plain, verified = min(plain, timed(read, path, False)), min(verified, timed(read, path, True))
        print(
            f"reading {path.stat().st_size / 2**20:.0f} MiB with checksums: "
            f"{plain / verified:.2f} of the rate without",
            flush=True,
        )
        path.unlink()
        base_time = base_size = base = None
        for dtype, compression in FORMATS:
            keywords = {"positions": 16, "dtype": dtype, "compression": compression}
            paths = [Path(folder) / f"{seed}.h5" for seed in (0, 1)]
            seconds = min(
                timed(record, paths[0], pair[0], images, **keywords) for _ in range(arguments.repeat)
            )
            record(paths[1], pair[1], images, **keywords)
            start = time.perf_counter()
            table = compare_round(paths, Similarity(measures=list(kinds.known("measure"))))
            reading = time.perf_counter() - start
            frame, size = table.to_pandas(), paths[0].stat().st_size
            base_time, base_size, base = (
                base_time or (seconds, reading),
                base_size or size,
                frame if base is None else base,
            )
            change = (frame.value - base.value).abs().groupby(frame.measure).max()
            print(
                f"{dtype}, {compression}: recording takes {seconds / base_time[0]:.2f}, comparison "
                f"{reading / base_time[1]:.2f}, size {size / base_size:.2f}; largest changes: "
                + ", ".join(f"{measure} {value:.0e}" for measure, value in change.items()),
                flush=True,
            )


if __name__ == "__main__":
    main()
