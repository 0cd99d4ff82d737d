"""What does pruning change inside a network? The workflow's library, usable on its own.

>>> import prunescope as ps  # doctest: +SKIP
>>> ps.compare(x, y, measures=["cca"])  # two arrays  # doctest: +SKIP
>>> ps.compare_models(a, b, images, layers=["ReLU"])  # two torch modules  # doctest: +SKIP
>>> ps.compare_folders(["mine/0", "mine/1"])  # activations recorded elsewhere  # doctest: +SKIP
>>> ps.write_report(table, "comparison.html")  # a page of such a comparison  # doctest: +SKIP
>>> ps.described(label="...", reference="...")  # describes a measure of your own  # doctest: +SKIP
>>> ps.load("results/digits-lenet")  # the results of an experiment  # doctest: +SKIP

Importing it is fast: torch and NumPy are loaded only when something that needs them is used.

Contents, in the order in which the workflow uses them:

``errors``, ``files``, ``hdf5``, ``identity``, ``provenance``
    messages for users; reading and writing; what each job read and wrote; seeds and versions
``jobs``, ``devices``
    what every script does first; one GPU per job
``kinds``, ``user_code``, ``digests``
    networks, measures and so on by name; the user's own code; digests of code
``settings``
    everything that a user may write: load, validate, explain
``plan``
    what is known before any job: what each rule reads, whose files it uses, sizes, bounds, notes
``data``
    sources of images, the prepared data set, augmentation
``networks``
    architectures, and what their layers compute
``checkpoints``
    the network of one round as a file
``pruning``
    criteria, controls, masks, and everything that one round does
``training``
    the training loop, optimisers, schedules, evaluation
``activations``
    views, recording layers, the file format
``similarity``
    measures, moments, and the matrix of similarities
``levels``, ``tables``
    comparison of weights, predictions and loss landscape; per-network metrics of all rounds
``findings``
    statistics and verdicts from the matrix
``report``
    charts, figures, pages
``notebook``
    the public functions above
"""

from importlib import import_module

__version__ = "0.1.0"

# The public API: a name and the module that defines it. The module is imported when the name is first used.
# `__init__.pyi` has the same names for type checkers.
_PUBLIC = {
    "InputError": "prunescope.errors",
    "compare": "prunescope.notebook.arrays",
    "compare_folders": "prunescope.notebook.folders",
    "compare_models": "prunescope.notebook.models",
    "described": "prunescope.user_code.description",
    "load": "prunescope.notebook.run",
    "write_report": "prunescope.report.recorded",
}


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
