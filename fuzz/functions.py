"""Statements that call device functions: by name, through an address, with pointers, and recursively."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fuzz.program import Statement, Writer


@dataclass
class Call(Statement):
    """Calls a function of the kernel. `other`: (predicate, number) where the address is chosen between two functions. `pointer`: "spot"
    (local) or "own" (global). Where the function's threads come together, all must come here and call the same one."""

    number: int
    a: str
    b: str
    result: str
    pointer: str
    depth: int
    other: tuple[str, int] | None = None

    def lines(self, w: Writer) -> Iterator[str]:
        functions = w.kernel.functions
        numbers = [n % len(functions) for n in (self.number, *((self.other[1],) if self.other else ()))] if functions else []
        if not numbers or w.function is not None or w.keeps_carry or w.in_histogram:
            return
        together = any(functions[n].comes_together for n in numbers)
        if together and not (w.context.everyone and w.kernel.has_barriers):
            return
        pointer, memory = "%u3", self.pointer
        if memory == "spot":
            yield "mov.u64 %u3, spot;"
            yield "cvta.local.u64 %u3, %u3;"
        else:
            yield "cvta.global.u64 %u3, %own;"
        target, prototype = f"f{numbers[0]}", ""
        if self.other:
            predicate = self.other[0]
            if together:
                predicate = "%q0"
                yield "and.b32 %t0, %scalar, 1;"
                yield "setp.eq.u32 %q0, %t0, 0;"
            yield f"mov.u64 %u0, f{numbers[0]};"
            yield f"mov.u64 %u1, f{numbers[1]};"
            yield f"selp.b64 %u0, %u0, %u1, {predicate};"
            target, prototype = "%u0", ", shape"
        yield from (
            "{", ".param .b32 a;", ".param .b64 b;", ".param .b64 memory;", ".param .b32 depth;", ".param .b32 result;",
            f"st.param.b32 [a], {self.a};", f"st.param.b64 [b], {self.b};", f"st.param.b64 [memory], {pointer};",
            f"st.param.b32 [depth], {self.depth};",
        )  # fmt: skip
        if prototype:
            yield "shape: .callprototype (.param .b32 _) _ (.param .b32 _, .param .b64 _, .param .b64 _, .param .b32 _);"
        yield f"call (result), {target}, (a, b, memory, depth){prototype};"
        yield f"ld.param.b32 {self.result}, [result];"
        yield "}"


@dataclass
class Recurse(Statement):
    """Inside a function: calls it again while its depth lasts, for the threads for which the predicate holds (all, without one)."""

    a: str
    b: str
    result: str
    predicate: str | None

    def lines(self, w: Writer) -> Iterator[str]:
        if w.function is None or w.recurses or w.loops or w.keeps_carry:
            return
        predicate = self.predicate
        if w.kernel.functions[w.function].comes_together:
            predicate = None
            if not w.context.everyone:
                return
        w.recurses = True
        skip = w.label()
        yield f"setp.gt.{'and.' if predicate else ''}s32 %q0, %depth, 0{f', {predicate}' if predicate else ''};"
        yield f"@!%q0 bra {skip};"
        yield "sub.u32 %t0, %depth, 1;"
        yield from (
            "{", ".param .b32 a2;", ".param .b64 b2;", ".param .b64 m2;", ".param .b32 d2;", ".param .b32 r2;",
            f"st.param.b32 [a2], {self.a};", f"st.param.b64 [b2], {self.b};", "st.param.b64 [m2], %memory;", "st.param.b32 [d2], %t0;",
            f"call (r2), f{w.function}, (a2, b2, m2, d2);", f"ld.param.b32 {self.result}, [r2];", "}",
        )  # fmt: skip
        yield f"{skip}:"
