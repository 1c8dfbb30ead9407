"""Uploads as clients send them: kept once for a key, cut as they like."""

import io
from typing import Any

from starlette.datastructures import UploadFile

from tests.graph.asking import Asker
from tests.graph.test_mutations import do, refusal
from tests.services.places import Place


async def test_an_upload_is_kept_once_and_cut_as_its_sender_likes(
    asker: Asker, place: Place
) -> None:
    def sent(content: bytes) -> dict[str, Any]:
        file = UploadFile(io.BytesIO(content), filename="rain.csv")
        return {"projectId": place.project_id, "file": file, "idempotencyKey": "k"}

    keys = [
        (await do(asker, "uploadFile", "objectKey", **sent(b"a\n1\n")))["objectKey"]
        for _ in range(2)
    ]
    assert keys[0] == keys[1]
    assert await refusal(asker, "uploadFile", **sent(b"a\n2\n")) == (
        "CONFLICT", "input.idempotencyKey",
    )  # fmt: skip
    told = {"projectId": place.project_id, "fileName": "a.csv", "sizeBytes": 13 * 1024**2}
    part = 6 * 1024**2
    begun = await do(asker, "createUpload", "parts { sizeBytes }", **told, partBytes=part)
    sizes = [each["sizeBytes"] for each in begun["parts"]]
    assert sizes == [part, part, 1024**2]
    assert await refusal(asker, "createUpload", **told, partBytes=1) == (
        "INVALID_INPUT", "input.partBytes",
    )  # fmt: skip
