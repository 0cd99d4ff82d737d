"""What follows from the numbers of an experiment.

``slices`` cuts the matrix ("to the dense network", "ceiling"), ``statistics`` summarises over seeds,
``verdicts`` draws the conclusions, ``sentences`` puts them into words, and ``labels`` says what to call
each measure.
"""
