"""The dialect as a whole: the file of each subject declares its routes, above them what they do."""

from __future__ import annotations

from pathlib import Path

from gateway.dialect import Dialect
from gateway.documents import Operations
from gateway.ufdl import failures, projects, teams, tokens, users

DIALECT = Dialect(
    name="ufdl",
    title="UFDL",
    about="Projects of teams, with a filter language for their lists, deletion in two steps and sessions. Paths work "
    "with and without a slash at the end.",
    routes=(*tokens.ROUTES, *projects.ROUTES, *teams.ROUTES, *users.ROUTES),
    operations=Operations(Path(__file__).parent),
    roots=("/v1/",),
    failure=failures.reply,
    failures=failures.SCHEMAS,
    may_end_in_slash=True,
    reads_texts=True,
)
