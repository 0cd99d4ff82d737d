"""What does pruning change inside a network? The library behind the workflow, importable without it.

Rooms, each with one job; imports only point down this list:

``report``, ``charts``, ``figures``
    what people look at: a page, its interactive charts, figures for papers
``findings``
    what the numbers say, computed
``records``, ``tables``
    the rounds' measurements as tables; Parquet
``comparison``, ``similarity``, ``moments_gpu``, ``moments``
    activation files → rows of the matrix; moments → measures; matrices → second moments, also on a GPU
``activations``
    hooks, views, HDF5
``training``, ``optimizers``, ``augmentation``
    the training loop, what it steps with, what it does to images
``pruning``, ``masks``
    which weights go; what is left
``checkpoints``
    the network of one round as a file
``networks``, ``modules``
    architectures by name; choosing modules by pattern
``sources``, ``datasets``
    where images come from; the prepared file all stages read
``settings``
    configuration files: load, validate, explain
``jobs``, ``devices``, ``provenance``, ``files``, ``errors``
    what every script does first; one GPU each; seeds, versions, digests; atomic writes; errors for people
"""
