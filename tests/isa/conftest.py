"""Collects `tests/isa/**/*.ptx`: one test for each `// instruction:` group (format in case_format.py, what is run in lane_harness.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.isa import case_format
from tests.isa.lane_harness import CaseFailure, Runner


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix == ".ptx":
        return InstructionFile.from_parent(parent, path=file_path)
    return None


class InstructionFile(pytest.File):
    def collect(self) -> Iterator[pytest.Item]:
        runner = Runner(self.path.read_text(), str(self.path.relative_to(self.config.rootpath)))
        seen: Counter[str] = Counter()
        for group in runner.groups:
            seen[group.mnemonic] += 1
            again = f"#{seen[group.mnemonic]}" if seen[group.mnemonic] > 1 else ""
            yield InstructionItem.from_parent(self, name=group.mnemonic + again, runner=runner, group=group)


class InstructionItem(pytest.Item):
    def __init__(self, *, runner: Runner, group: case_format.Group, **rest: object) -> None:
        super().__init__(**rest)  # type: ignore[arg-type]
        self.runner, self.group = runner, group

    def runtest(self) -> None:
        self.runner.check(self.group)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        if isinstance(excinfo.value, CaseFailure | case_format.FormatError):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.group.line - 1, self.name
