"""The library in a notebook: what ``import prunescope as ps`` offers. Imports only point down.

``arrays``
    `compare`: two arrays of activations (no torch)
``folders``
    `compare_folders`: activations that were recorded elsewhere (no torch)
``models``
    `compare_models`: two torch modules; with ``inputs``, ``wrappers`` and ``padding``
``run``
    `load`: the results of an experiment
``layers``
    the layers of a network, for the command
"""
