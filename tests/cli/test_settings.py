"""Environment variables are declared once: the native sources read no others, and the page is up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from anywarp import settings

ROOT = Path(__file__).resolve().parents[2]


def test_native_runtime_reads_declared_variables() -> None:
    declared = {s.name for s in settings.declared()}
    read = set()
    for path in [*(ROOT / "src" / "runtime").rglob("*.cpp"), *(ROOT / "src" / "runtime").rglob("*.h")]:
        read |= set(re.findall(r'"(ANYWARP_[A-Z_]+)(?:=[^"]*)?"', path.read_text()))
    assert read - declared == set()
    assert {"ANYWARP_TRACE", "ANYWARP_DEVICE"} <= read


def test_page_is_generated() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == settings.page(), "python -m anywarp.settings > docs/settings.md"


def test_values_have_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYWARP_DEVICES", "4")
    assert settings.DEVICES.get() == 4
    monkeypatch.setenv("ANYWARP_DEVICES", "four")
    with pytest.raises(ValueError, match="ANYWARP_DEVICES=four"):
        settings.DEVICES.get()
    monkeypatch.setenv("ANYWARP_INTEGRATIONS", "off")
    assert settings.INTEGRATIONS.get() is False
    monkeypatch.setenv("ANYWARP_INTEGRATIONS", "")
    assert settings.INTEGRATIONS.get() is True
