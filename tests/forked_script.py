"""Run a script in a fork of `forked.Scripts`: pass on this process's place and signals, end with its status.

``forked_script.py SOCKET PYTHON SCRIPT``. Anything that is not one of Snakemake's scripts is left to Python.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

address, python, *arguments = sys.argv[1:]
if len(arguments) != 1 or "/.snakemake/scripts/" not in arguments[0]:
    os.execv(python, [python, *arguments])
connection = socket.socket(socket.AF_UNIX)
connection.connect(address)
request = {
    "script": arguments[0],
    "folder": str(Path.cwd()),
    "environment": dict(os.environ),
    "group": os.getpgrp(),
    "ignores_interrupts": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
}
socket.send_fds(connection, [b"."], [0, 1, 2])
connection.sendall(json.dumps(request).encode() + b"\n")
answers = connection.makefile("r")
script = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT):
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, lambda number, frame: os.kill(script, number))
# A script that is killed gives no status.
sys.exit(int(answers.readline() or 128 + signal.SIGKILL))
