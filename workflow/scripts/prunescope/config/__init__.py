"""What a plan does with the configuration, before any job.

For what the user can correct, functions raise `prunescope.errors.InputError`: one line with file, key, value
and what is allowed.
"""
