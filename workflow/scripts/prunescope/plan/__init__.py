"""What is worked out before any job: what each rule reads, who makes round 0, sizes, bounds, checks, notes.

For what the user can correct, functions raise `prunescope.errors.InputError`: one line with file, key, value
and what is allowed.
"""
