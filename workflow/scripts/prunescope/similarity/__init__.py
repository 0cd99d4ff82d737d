"""From recorded activations to rows of the similarity matrix.

Modules import only from those listed below them:

``matrix``
    activation files → rows of the matrix
``passes``
    passes over the rows of many matrices: one, or two if a layer is ill-conditioned
``memory``
    a bound on the memory of a comparison, computed from sizes
``pairs``
    two representations and their cross-moments → scores
``measures``
    the measures, each a kind of its own (see `prunescope.kinds`)
``chance``
    chance levels of measures
``unrelated``
    two representations after permuting the images of one
``whitening``
    second moments → independent units, whitened, and principal components
``sample``
    the rows of some images
``moments``, ``moments_gpu``
    matrices → second moments
"""
