"""Files: uploaded to be connected by the path that the upload answers."""

from __future__ import annotations

from gateway.call import Call
from gateway.dialect import Reply, several
from gateway.prometheux import workspaces
from gateway.prometheux.connections import DISK
from gateway.prometheux.envelope import ok


@several(*workspaces.PLACE, "UploadFile")
async def upload(call: Call) -> Reply:
    """Store a file, at the path `disk/<object key>/<name>`.

    The folder is what connections call `host`, the name their `databaseName`.
    """
    place = await workspaces.place_to_connect(call)
    given = {
        "projectId": place,
        "file": call.values["file"],
        "idempotencyKey": call.idempotency_key("upload"),
    }
    stored = (await call.run("UploadFile", {"input": given}))["uploadFile"]
    data = {
        "filePath": f"{DISK}{stored['objectKey']}/{stored['fileName']}",
        "fileName": stored["fileName"],
        "size": stored["sizeBytes"],
        "sha256": stored["sha256"],
    }
    return ok(data, "File uploaded")
