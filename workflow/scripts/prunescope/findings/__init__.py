"""Conclusions from the numbers of an experiment.

``slices`` selects parts of the matrix ("to the dense network", "other seeds"), ``statistics`` summarises over
seeds, ``claims`` defines the questions, ``verdicts`` answers them, ``numbers`` summarises any measure,
``sentences`` puts all of it into words, and ``labels`` names the measures. ``levels`` measures how far
networks moved from the dense one at all levels, ``levels_over_seeds`` summarises it, and ``levels_in_words``
puts it into a sentence.
"""
