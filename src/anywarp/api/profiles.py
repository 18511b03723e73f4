"""Device profiles (`anywarp/devices/*.toml`) as a C++ table.

A profile is flat TOML: `name`, `compute_capability = "8.0"`, `sm_count` (0: as many as worker threads), `memory_fraction` of the host's
memory, and a table `[attributes]` whose keys are CUdevice_attribute names without `CU_DEVICE_ATTRIBUTE_`, in lower case.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from anywarp.api.cpp import BANNER
from anywarp.api.table import Api, Enum

DEVICES = Path(__file__).parent.parent / "devices"
_PREFIX = "CU_DEVICE_ATTRIBUTE_"


@dataclass
class Profile:
    id: str  # the file's name: generic-sm80
    name: str = ""
    compute_capability: tuple[int, int] = (8, 0)
    sm_count: int = 0
    memory_fraction: float = 0.75
    attributes: dict[str, int] = field(default_factory=dict)


def read(path: Path) -> Profile:
    """One profile. Python 3.10 has no TOML reader, and the build has no dependencies: the flat subset that profiles use is read here.

    Raises ValueError, with file and line, for anything else.
    """
    values: dict[str, dict[str, object]] = {"": {}}
    section = ""
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            values.setdefault(section, {})
            continue
        key, equals, text = line.partition("=")
        try:
            if not equals:
                raise SyntaxError("no `=`")
            values[section][key.strip()] = ast.literal_eval(text.strip())  # drops a comment behind the value as well
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"{path}:{number}: {error}") from None
    top = values[""]
    major, _, minor = str(top["compute_capability"]).partition(".")
    attributes = {k: int(str(v)) for k, v in values.get("attributes", {}).items()}
    return Profile(
        path.stem,
        str(top["name"]),
        (int(major), int(minor)),
        int(str(top.get("sm_count", 0))),
        float(str(top.get("memory_fraction", 0.75))),
        attributes,
    )


def cpp(api: Api) -> str:
    """`device_profiles.h`."""
    enum = api.by_name["CUdevice_attribute"]
    assert isinstance(enum, Enum)
    numbers = enum.members
    out = [BANNER, "#pragma once", '#include "driver/profile.h"', "namespace anywarp::driver {"]
    rows = []
    for path in sorted(DEVICES.glob("*.toml")):
        p = read(path)
        c_name = "kAttributes_" + p.id.replace("-", "_")
        out.append(f"inline constexpr Attribute {c_name}[] = {{")
        for key, value in p.attributes.items():
            full = _PREFIX + key.upper()
            if full not in numbers:
                raise ValueError(f"{path}: no attribute {full}")
            out.append(f"    {{{numbers[full]}, {value}}},  // {key}")
        out.append("};")
        major, minor = p.compute_capability
        rows.append(f'    {{"{p.id}", "{p.name}", {major}, {minor}, {p.sm_count}, {p.memory_fraction}, {c_name}}},')
    out += ["inline constexpr Profile kProfiles[] = {", *rows, "};", "}  // namespace anywarp::driver", ""]
    return "\n".join(out)
