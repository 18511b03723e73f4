"""`anywarp dump --after=STAGE FILE`: what the compiler makes of an image, stage by stage (anywarp.pipeline)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anywarp.cli import files

STAGES = ("image", "ptx", "ir", "analyses", "llvm", "llvm-opt", "asm")  # pipeline.STAGES, whose import costs half a second


def _check_stage(stage: str) -> str:
    if stage not in STAGES:
        raise typer.BadParameter(f"one of {', '.join(STAGES)}")
    return stage


def dump(
    file: Annotated[Path, typer.Argument(help="PTX, a fatbin, or a program that holds one; - for standard input.", show_default=False)],
    after: Annotated[str, typer.Option(help=f"The stage: {', '.join(STAGES)}.", callback=_check_stage)] = "ir",
    entry: Annotated[str, typer.Option(help="One kernel only.", show_default="all")] = "",
    variant: Annotated[str, typer.Option(help="How a block's threads fill warps.", callback=files.check_variant)] = "line",
) -> None:
    """Print an image after a stage of the compiler."""
    data = files.read(file)
    from anywarp import image, pipeline, ptx
    from anywarp.codegen.llvm import CodegenError

    try:
        typer.echo(pipeline.dump(data, after, entry or None, variant))
    except (image.ImageError, ptx.PtxError, CodegenError) as error:
        raise files.fail(str(error).replace("<ptx>", str(file), 1)) from None
    except KeyError:
        raise files.fail(f"{file}: there is no entry {entry}") from None
