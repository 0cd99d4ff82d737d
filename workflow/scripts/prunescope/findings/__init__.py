"""Conclusions from the numbers of an experiment.

``slices`` selects parts of the matrix ("to the dense network", "ceiling"), ``statistics`` summarises over
seeds, ``verdicts`` draws the conclusions, ``sentences`` puts them into words, and ``labels`` names the
measures.
"""
