"""Everything that a user may write, defined once: one module of pydantic models for each stage.

A key has its type, range, default and one-sentence description here, and rules between keys are validators.
Plan, jobs, reference, JSON schemas and error messages use these models. They need no torch. The module of one
stage imports that of no other, except that pruning retrains with keys of `training`;
`prunescope.settings.experiment` combines all.
"""
