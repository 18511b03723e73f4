"""`python -m tests.litmus [--experiments N] [--only TEXT]`: every shape with every mechanism, how often the weak outcome came up."""

from __future__ import annotations

import itertools
import time
from typing import Annotated

import typer

from tests.litmus import kernels
from tests.litmus.device import find
from tests.litmus.kernels import MECHANISMS, SCOPES


def main(
    experiments: Annotated[int, typer.Option(help="of each kernel")] = 1 << 20,
    only: Annotated[str, typer.Option(help="kernels whose name holds this")] = "",
) -> None:
    device = find()
    if isinstance(device, str):
        raise typer.BadParameter(device)
    total = forbidden = count = 0
    begin = time.monotonic()
    for shape, between, mechanism, lanes in itertools.product(kernels.shapes(), SCOPES, MECHANISMS, (1, 32)):
        for scope in SCOPES[between][:1] if mechanism == "volatile" else SCOPES[between]:
            name = f"{shape.name} {between} {mechanism} {scope} {lanes}"
            if only not in name:
                continue
            outcome = device.run(shape, mechanism, scope, between, lanes, experiments)
            is_forbidden = mechanism in shape.forbidden
            count += 1
            total += outcome.experiments
            forbidden += outcome.weak * is_forbidden
            verdict = "FORBIDDEN" if outcome.weak and is_forbidden else "forbidden" if is_forbidden else "allowed"
            print(f"{name:60} {outcome.weak:>9} of {outcome.experiments} {verdict}", flush=True)
    print(f"{count} kernels, {total:,} experiments, {forbidden} forbidden outcomes, {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    typer.run(main)
