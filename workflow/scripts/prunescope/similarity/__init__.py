"""From recorded activations to rows of the similarity matrix.

Modules import only from those listed below them:

``matrix``
    activation files → rows of the matrix
``engine``
    matrices → rows of a table, for jobs and notebooks alike
``passes``
    passes over the rows of many matrices: one, or two if a layer is ill-conditioned
``memory``
    a bound on the memory of a comparison, computed from sizes
``scores``
    a pair → the values of measures, with chance levels, intervals and statuses
``pairs``
    two representations and their cross-moments
``measures``
    the measures, each a kind of its own (see `prunescope.kinds`); ``table`` lists them
``chance``
    chance levels of measures
``unrelated``
    two representations after permuting the images of one
``whitening``
    second moments → independent units, whitened, and principal components
``classes``
    what measures give for other images of the same classes
``moments``, ``moments_gpu``
    matrices → second moments
``images``
    the images behind the rows: random folds, samples, whether few carry the variance
``statuses``
    whether there is a value, and whether it needs a warning
"""
