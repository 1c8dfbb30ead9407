"""Inputs about scripts."""

from __future__ import annotations

import strawberry

from graph.scalars import Upload


@strawberry.input(description="A script for a data source, as a text or as a file.")
class UploadScriptInput:
    """For `uploadScript`."""

    data_source_id: strawberry.ID = strawberry.field(
        description="The data source whose tables it is for."
    )
    key: str = strawberry.field(
        description="What to call it: a path such as `clean/trim.py`, up to 300 characters. The script that has the "
        "key already is replaced; `local:` begins the keys of predefined scripts alone."
    )
    body: str | None = strawberry.field(
        default=None, description="Its text, up to 1 MB; or give it as `file`."
    )
    file: Upload | None = strawberry.field(
        default=None,
        description="Its text as a file in UTF-8: `null` in the variables, and a part of the multipart request.",
    )


@strawberry.input(description="Which script to delete.")
class DeleteScriptInput:
    """For `deleteScript`."""

    id: strawberry.ID = strawberry.field(description="The script.")
