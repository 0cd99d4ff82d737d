"""What a network's layers compute on chosen images; imports only point down.

``record``
    hooks: runs a network and records its layers (torch)
``store``
    the format of activation files, reading and writing (no torch)
``views``
    how a layer's output becomes a matrix, each a kind of its own (see `prunescope.kinds`)
"""
