"""Files of a multipart request, piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.datastructures import UploadFile

from base.errors import InvalidInput

CHUNK_BYTES = 1024**2


def stream(file: object, field: str) -> AsyncIterator[bytes]:
    """The bytes of the file that an input of type `Upload` is; raises InvalidInput for anything else."""
    if not isinstance(file, UploadFile):
        raise InvalidInput(
            f"`{field}` has to be a file.",
            hint="Send the operation as multipart/form-data: "
            "https://github.com/jaydenseric/graphql-multipart-request-spec",
            field=field,
        )
    return _chunks(file)


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    await file.seek(0)  # the same file may stand at several places of a request
    while chunk := await file.read(CHUNK_BYTES):
        yield chunk
