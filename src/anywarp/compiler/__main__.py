"""`python -m anywarp.compiler --fd N`: the child process that the runtime starts."""

from __future__ import annotations

import argparse
import gc
import signal
import socket
import sys


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m anywarp.compiler", description="The compiler service; the runtime starts it.")
    parser.add_argument("--fd", type=int, required=True, help="file descriptor of a connected socket")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the host program, whose end closes the socket
    gc.disable()  # syntax trees are large and acyclic for most; a pause for each generation costs more than it frees
    connection = socket.socket(fileno=arguments.fd)
    from anywarp.codegen import llvm
    from anywarp.compiler.service import serve

    llvm.target_machine()
    serve(connection)
    return 0


if __name__ == "__main__":
    sys.exit(main())
