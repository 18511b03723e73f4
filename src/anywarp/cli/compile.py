"""`anywarp compile FILE`: every entry of an image to an object, with what it needs and how long each stage took."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from anywarp.cli import files

STAGES = {"ir": "ir", "lower": "lower", "llvm": "llvm", "llvm-opt": "opt", "object": "emit"}  # pipeline's names, and the columns'


def compile_file(
    file: Annotated[Path, typer.Argument(help="PTX or a fatbin; - for standard input.", show_default=False)],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the objects, ENTRY.o.", show_default=False)] = None,
    entry: Annotated[str, typer.Option(help="One kernel only.", show_default="all")] = "",
    variant: Annotated[str, typer.Option(help="How a block's threads fill warps.", callback=files.check_variant)] = "line",
) -> None:
    """Compile an image's kernels and report what they need. The exit status is 1 where one does not compile."""
    data = files.read(file)
    from anywarp import image, pipeline, ptx
    from anywarp.codegen.llvm import CodegenError
    from anywarp.compiler.manifest import estimated_registers

    console, errors = Console(), Console(stderr=True)
    start = time.perf_counter()
    try:
        module = pipeline.read_module(pipeline.read_image(data))
    except (image.ImageError, ptx.PtxError) as error:
        raise files.fail(str(error).replace("<ptx>", str(file), 1)) from None
    parsed = time.perf_counter() - start
    names = [f.name for f in module.functions.values() if f.kind == "entry" and f.body is not None]
    if entry:
        if entry not in names:
            raise files.fail(f"{file}: there is no entry {entry}; there are: {', '.join(names) or 'none'}")
        names = [entry]
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    table = Table(
        title=f"{file}: parsed and verified in {1000 * parsed:.0f} ms, variant {variant}",
        caption="shared and local memory and the object's size in bytes; stages in ms",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("entry", overflow="fold", min_width=14)
    for column in ("regs", "shared", "local", "size", *STAGES.values()):
        table.add_column(column, justify="right", no_wrap=True)
    failures: list[tuple[str, str]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=len(names) < 3) as progress:
        task = progress.add_task("compiling", total=len(names))
        for name in names:
            try:
                compiled = pipeline.compile_kernel(module, name, variant)
            except (ptx.PtxError, CodegenError) as error:
                failures.append((name, str(error).replace("<ptx>", str(file), 1)))
            else:
                lowered = compiled.lowered
                numbers = (estimated_registers(compiled), lowered.static_shared_bytes, lowered.local_bytes, len(compiled.object))
                stages = (f"{1000 * compiled.seconds.get(s, 0):.1f}" for s in STAGES)
                table.add_row(name, *(str(n) for n in numbers), *stages)
                if output is not None:
                    (output / f"{name}.o").write_bytes(compiled.object)
            progress.advance(task)
    if table.row_count:
        # Narrow terminals wrap the lines rather than lose the last columns.
        least = console.measure(table, options=console.options.update(width=1000)).minimum
        console.width = max(console.width, least)
        console.print(table, soft_wrap=True)
    for name, message in failures:
        errors.print(f"[red]{name}[/red]: {message}", highlight=False, soft_wrap=True)
    if failures:
        raise typer.Exit(1)
