"""Which rows of a source are meant: those whose value, as text, passes a test."""

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Condition:
    """Which rows are taken: those whose column, as text, passes the test: equals, not_equals, in, not_in, is_null."""

    column: str
    test: str
    operand: tuple[str, ...]

    def expression(self) -> pl.Expr:
        """True where the row is taken; null counts as a value of its own."""
        value = pl.col(self.column).cast(pl.String).str.strip_chars()
        if self.test == "is_null":
            return value.is_null() if self.operand == ("true",) else value.is_not_null()
        inside = value.is_in(list(self.operand)).fill_null(False)
        return inside if self.test in ("equals", "in") else ~inside
