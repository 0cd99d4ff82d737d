"""The library in a notebook: what ``import prunescope as ps`` offers. Imports only point down.

``arrays``
    `compare`: two arrays of activations (no torch)
``models``
    `compare_models`: two torch modules
``run``
    `load`: the results of an experiment
"""
