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
``intervals``
    intervals of a similarity over samples of images
``chance``
    chance levels of measures
``unrelated``
    two representations after permuting the images of one
``whitening``
    second moments → independent units, whitened, and principal components
``classes``
    what measures give for other images of the same classes
``sample``
    rows of some images, or one vector for each
``moments``, ``moments_gpu``
    matrices → second moments
``leverage``, ``folds``
    whether few images carry the variance; images and their random folds
"""
