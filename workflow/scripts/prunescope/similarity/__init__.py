"""How alike are layers? From recorded activations to rows of the similarity matrix; imports only point down.

``matrix``
    activation files → rows of the matrix
``passes``
    goes over the rows of many matrices, twice where a layer is ill-conditioned
``memory``
    a bound on the memory of a comparison, from sizes alone
``pairs``
    two representations and what is between them → scores
``measures``
    the measures, each a kind of its own (see `prunescope.kinds`)
``chance``
    what measures give for unrelated representations
``whitening``
    second moments → independent units, whitened, and principal components
``moments``, ``moments_gpu``
    matrices → second moments
"""
