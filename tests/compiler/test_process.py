"""The compiler's process, apart from what it answers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from anywarp.compiler import protocol

# The service with an answer that never comes.
ENDLESS = """
import sys, time
from anywarp.compiler import __main__ as process, service
service.Service.answer = lambda self, kind, payload: (print("busy", flush=True), time.sleep(1e6))
sys.exit(process.main())
"""


def test_ends_with_its_host_in_the_middle_of_a_request() -> None:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-c", ENDLESS, "--fd", str(theirs.fileno())]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")}
    with subprocess.Popen(command, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE, env=environment) as child:
        theirs.close()
        assert child.stdout is not None
        protocol.send(ours, protocol.Request.UNLOAD, b"\0\0\0\0")
        assert child.stdout.readline() == b"busy\n"
        assert child.poll() is None
        ours.close()
        assert child.wait(timeout=120) == 0
