"""`python -m anywarp.compiler --fd N`: the child process that the runtime starts."""

from __future__ import annotations

import argparse
import gc
import os
import select
import signal
import socket
import sys
import threading
import time

GRACE = 2.0  # seconds: a result that is nearly there still goes into the cache


def end_with_host(connection: socket.socket) -> None:
    """Ends the process when the host program has, also in the middle of a compilation (which may take minutes, and gigabytes)."""
    poll = select.poll()
    poll.register(connection, 0)  # nothing but the other end's hanging up
    poll.poll()
    time.sleep(GRACE)
    os._exit(0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m anywarp.compiler", description="The compiler service; the runtime starts it.")
    parser.add_argument("--fd", type=int, required=True, help="file descriptor of a connected socket")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the host program, whose end closes the socket
    gc.disable()  # syntax trees are large and acyclic for most; a pause for each generation costs more than it frees
    connection = socket.socket(fileno=arguments.fd)
    from anywarp.codegen import llvm
    from anywarp.compiler.service import serve

    threading.Thread(target=end_with_host, args=(connection,), daemon=True).start()
    llvm.target_machine()
    serve(connection)
    return 0


if __name__ == "__main__":
    sys.exit(main())
