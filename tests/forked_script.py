"""Let a fork of `forked.Scripts` be this Python: pass on place, streams and signals, end with its status.

``forked_script.py SOCKET PYTHON ARGUMENTS``. Only scripts of Snakemake and descriptions of a user's kinds are
forks; anything else is left to Python.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

address, python, *arguments = sys.argv[1:]
if arguments[:3] != ["-P", "-m", "prunescope.user_code.description"] and not (
    len(arguments) == 1 and "/.snakemake/scripts/" in arguments[0]
):
    os.execv(python, [python, *arguments])
connection = socket.socket(socket.AF_UNIX)
connection.connect(address)
request = {
    "arguments": arguments,
    "folder": str(Path.cwd()),
    "environment": dict(os.environ),
    "group": os.getpgrp(),
    "ignores_interrupts": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
}
socket.send_fds(connection, [b"."], [0, 1, 2])
connection.sendall(json.dumps(request).encode() + b"\n")
answers = connection.makefile("r")
fork = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT):
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, lambda number, frame: os.kill(fork, number))
status = int(answers.readline())
# As a shell says it.
sys.exit(status if status >= 0 else 128 - status)
