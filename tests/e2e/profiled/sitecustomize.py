"""Note which functions of the library a script of the workflow runs; Python imports this at its start.

The notes go to a file of their own for each process, in the folder that PRUNESCOPE_PROFILE names.
"""

import atexit
import json
import os
import sys
import threading

script = sys.orig_argv[-1]
if ".snakemake/scripts/" in script:
    seen = set()

    def note(frame, event, _argument):
        code = frame.f_code
        if event == "call" and "/prunescope/" in code.co_filename and code.co_name != "<module>":
            seen.add((code.co_filename, code.co_firstlineno))

    def write():
        sys.setprofile(None)
        with open(f"{os.environ['PRUNESCOPE_PROFILE']}/{os.getpid()}.json", "w") as file:
            json.dump([script, sorted(seen)], file)

    atexit.register(write)
    threading.setprofile(note)
    sys.setprofile(note)
