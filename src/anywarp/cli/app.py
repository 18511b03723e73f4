"""The Typer application: every command but the quick way into `anywarp run`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import anywarp
from anywarp.cli import cache, check, devices, doctor, dump, run
from anywarp.cli import compile as compile_command

application = typer.Typer(
    name="anywarp",
    help="Runs unmodified CUDA programs on machines without an NVIDIA GPU.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"anywarp {anywarp.__version__}")
        raise typer.Exit


@application.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    pass


@application.command(name="run", context_settings={"allow_interspersed_args": False})
def _run(
    command: Annotated[list[str], typer.Argument(help="The program and its arguments.", metavar="CMD...", show_default=False)],
    device: Annotated[str, typer.Option(help="Device profile, one of `anywarp devices`.", show_default=False)] = "",
    devices: Annotated[str, typer.Option(help="How many devices the program sees.", metavar="N", show_default=False)] = "",
    trace: Annotated[bool, typer.Option("--trace", help="Every API call on stderr; --trace=FILE appends them to a file.")] = False,
) -> None:
    """Run a CUDA program: exit status, signals and output are its own."""
    options = run.Options()
    options.command, options.device, options.devices, options.trace = command, device, devices, "1" if trace else ""
    sys.exit(run.start(options))


application.command(name="doctor")(doctor.doctor)
application.command(name="dump")(dump.dump)
application.command(name="compile")(compile_command.compile_file)
application.command(name="check")(check.check)
application.command(name="devices")(devices.devices)
application.add_typer(cache.application, name="cache", help="The cache of compiled kernels.")
