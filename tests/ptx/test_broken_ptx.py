"""Broken modules cost their caller a `PtxError`: no other exception, no hang, no memory without bound."""

from __future__ import annotations

import random
import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anywarp.ptx import PtxError, parse, print_module, verify
from fuzz.broken_modules import FILES as MODULES
from fuzz.broken_modules import broken
from fuzz.broken_modules import outcome as compiled
from tests.ptx.content import FILES, content

TEXTS = [path.read_text() for path in FILES]
# Sections of debug data would take most mutations and are skipped by the parser anyway.
TEXTS = [re.sub(r"\.section[^{}]*\{[^}]*\}", "", text) for text in TEXTS]
TOKENS = sorted({token for text in TEXTS for token in re.findall(r"[\w$%.]+|[^\s\w]", text)})
RELAXED = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def outcome(text: str) -> None:
    """All that happens to a module's text before it reaches the instruction set."""
    try:
        module = parse(text)
        verify(module)
    except PtxError as error:
        assert error.message
        assert 0 <= error.line <= text.count("\n") + 1
        return
    assert content(parse(print_module(module))) == content(module)


@RELAXED
@given(st.sampled_from(TEXTS), st.floats(0, 1))
def test_truncated(text: str, where: float) -> None:
    outcome(text[: int(where * len(text))])


@RELAXED
@given(st.sampled_from(TEXTS), st.data())
def test_tokens_replaced_inserted_and_deleted(text: str, data: st.DataObject) -> None:
    spans = [match.span() for match in re.finditer(r"[\w$%.]+|[^\s\w]", text)]
    chosen = data.draw(st.lists(st.integers(0, len(spans) - 1), min_size=1, max_size=6, unique=True))
    for index in sorted(chosen, reverse=True):
        start, end = spans[index]
        new = data.draw(st.sampled_from([*TOKENS[:: max(1, len(TOKENS) // 200)], "", ";", "{", "}", "(", ")", "[", "]", "<", "/*"]))
        stays = data.draw(st.booleans())
        text = text[:start] + (text[start:end] + " " if stays else "") + new + text[end:]
    outcome(text)


@RELAXED
@given(st.sampled_from(TEXTS), st.data())
def test_characters_replaced(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text = text[:at] + data.draw(st.characters()) + text[at + 1 :]
    outcome(text)


@RELAXED
@given(st.text(alphabet="{}()[]<>;,:@!%._$ax19-+*/|&~?=\"'\n \t", max_size=200))
def test_noise_in_a_body(noise: str) -> None:
    outcome(f".version 8.0\n.target sm_80\n.entry k () {{ {noise} }}")


@RELAXED
@given(
    st.sampled_from(["a:\n", "a b\n", "ld [", "{", "(", "(-", "x = ", '"', "@p ", ".reg .b32 ", "{ a ", "a|", "[a+", "%"]),
    st.integers(1, 5000),
)
def test_long_repetitions(piece: str, count: int) -> None:
    outcome(f".version 8.0\n.target sm_80\n.entry k () {{ {piece * count}")
    outcome(f".version 8.0\n.target sm_80\n.global .b32 x = {piece * count}")


def test_a_sample_goes_through_the_compiler() -> None:
    """`python -m fuzz.broken_modules` runs more. Whatever is no PtxError with a line comes out of `compiled`."""
    texts = [path.read_text() for path in MODULES if path.stat().st_size < 20_000]
    results = [compiled(broken(texts, random.Random(seed))) for seed in range(400)]
    assert 50 < results.count("refused") < 390
