"""What the two databases say in different words."""

from typing import Any

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction


class hex_of(GenericFunction[str]):  # noqa: N801 - a function of SQL
    """An `Id` as text; on Postgres with hyphens."""

    type = Text()
    inherit_cache = True


class comma_joined(GenericFunction[str]):  # noqa: N801 - a function of SQL
    """An aggregate: the texts of all rows, in any order; null when there are none."""

    type = Text()
    inherit_cache = True


@compiles(hex_of)
def _hex_of(of: hex_of, compiler: SQLCompiler, **kwargs: Any) -> str:
    column = compiler.process(of.clauses, **kwargs)
    return f"CAST({column} AS TEXT)" if compiler.dialect.name == "postgresql" else f"hex({column})"


@compiles(comma_joined)
def _comma_joined(of: comma_joined, compiler: SQLCompiler, **kwargs: Any) -> str:
    text = compiler.process(of.clauses, **kwargs)
    name = "string_agg" if compiler.dialect.name == "postgresql" else "group_concat"
    return f"{name}({text}, ',')"
