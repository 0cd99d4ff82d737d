"""Outputs of a network's layers on chosen images. Modules import only from those listed below them.

``record``
    runs a network with hooks and records its layers (torch)
``store``
    the format of activation files: reading and writing (no torch)
``views``
    how a layer's output becomes a matrix, each a kind of its own (see `prunescope.kinds`)
"""
