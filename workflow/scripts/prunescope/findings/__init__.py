"""Conclusions from the numbers of an experiment.

``slices`` selects parts of the matrix ("to the dense network", "other seeds"), ``statistics`` summarises over
seeds, ``claims`` defines the questions, ``verdicts`` answers them, ``numbers`` summarises any measure,
``sentences`` puts all of it into words, and ``labels`` names the measures.
"""
