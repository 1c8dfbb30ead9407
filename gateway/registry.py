"""The dialects that are served, by the names that settings know them by."""

from __future__ import annotations

from collections.abc import Mapping

from gateway import maxir, prometheux, schema_cms, ufdl
from gateway.dialect import Dialect

_ALL: tuple[Dialect, ...] = (
    maxir.DIALECT,
    prometheux.DIALECT,
    schema_cms.DIALECT,
    ufdl.DIALECT,
)
DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in _ALL}
