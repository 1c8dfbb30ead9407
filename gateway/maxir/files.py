"""Files that clients send: whole, or in parts that go straight to the store."""

from __future__ import annotations

from starlette.datastructures import UploadFile

from gateway.call import Call
from gateway.dialect import Data, Reply
from gateway.failures import Failure
from gateway.maxir import names
from gateway.maxir.callers import asking, known, project_of
from gateway.maxir.failures import EMPTY_FILE, missing, mistaken
from gateway.maxir.replies import PART_BYTES, done

_NO_UPLOAD = "Begin one with POST /v2/team/file/init-multipart-upload: it is good for a day."


@asking("DefaultProject", "CreateProject", "UploadFile")
async def upload_file(call: Call) -> Reply:
    """Store a file."""
    file: UploadFile = call.values["file"]
    names.checked(file.filename or "")
    if file.size == 0:
        raise _empty(file.filename or "")
    given = {
        "projectId": await project_of(call),
        "file": file,
        "idempotencyKey": call.idempotency_key("file"),
    }
    stored = await call.run("UploadFile", {"input": given})
    return done({"file_object_key": stored["uploadFile"]["objectKey"]})


@asking("DefaultProject", "CreateProject", "CreateUpload")
async def begin_upload(call: Call) -> Reply:
    """Begin an upload in parts."""
    name, size = names.checked(call.values["file_name"]), call.values["file_size"]
    if size == 0:
        raise _empty(name)
    given = {
        "projectId": await project_of(call),
        "fileName": name,
        "sizeBytes": size,
        "partBytes": PART_BYTES,
        "idempotencyKey": call.idempotency_key("upload"),
    }
    begun = (await call.run("CreateUpload", {"input": given}))["createUpload"]
    return done(
        {
            "upload_id": begun["uploadId"],
            "file_object_key": begun["objectKey"],
            "part_items": [_part(part) for part in begun["parts"]],
        }
    )


@asking("Upload", "CompleteUpload")
async def complete_upload(call: Call) -> Reply:
    """Make one file of the parts that were sent."""
    parts = sorted(map(_etag, call.values["part_etags"]), key=lambda part: part["number"])
    data = await known(call, "Upload", {"id": call.values["upload_id"]})
    if data["upload"] is None:
        raise missing("upload", _NO_UPLOAD)
    key = call.values.get("file_object_key")
    if key is not None and key != data["upload"]["objectKey"]:
        raise mistaken("file_object_key", "`file_object_key` is not the key of this `upload_id`.")
    given = {"uploadId": call.values["upload_id"], "parts": parts}
    stored = await call.run("CompleteUpload", {"input": given})
    return done({"file_object_key": stored["completeUpload"]["objectKey"]})


def _part(part: Data) -> Data:
    return {"number": part["number"], "upload_url": part["url"], "size": PART_BYTES}


def _etag(given: Data) -> Data:
    """A part that was sent: its number under either of the names that clients know."""
    number = given.get("number", given.get("part_number"))
    if number is None:
        raise mistaken("part_etags", "`part_etags` has to give each part's `number`.", "required")
    return {"number": number, "etag": given["etag"]}


def _empty(name: str) -> Failure:
    message = f"empty file: {name[: names.CHARS_MAX]!r} has no bytes"
    return Failure(EMPTY_FILE, message, hint="Send a file with something in it.")
