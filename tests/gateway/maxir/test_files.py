"""Files of every extension, uploaded and at URLs; names; and requests that are sent again."""

from __future__ import annotations

from uuid import uuid4

import pytest

from gateway.maxir.names import EXTENSIONS
from tests.connectors.files.malformed import GOOD
from tests.gateway.maxir.clients import new_client
from tests.gateway.places import Place, one_server
from tests.http_server import CSV, HttpServer


@one_server
def test_files_of_every_extension_are_taken_and_read(server: Place) -> None:
    client = new_client(server)
    dataset = client.dataset()
    made = {
        extension: client.source(dataset, f"file{extension.upper()}", GOOD[extension[1:]]())
        for extension in EXTENSIONS
    }

    read = {extension: client.read(source) for extension, source in made.items()}

    assert {extension: each.get("error") for extension, each in read.items()} == dict.fromkeys(
        EXTENSIONS
    )
    assert client.data("GET", f"{dataset}/status") == {
        "synched_count": len(EXTENSIONS),
        "invalid_count": 0,
        "synching_count": 0,
    }


@one_server
@pytest.mark.parametrize("path", ["export", "export.json"])
def test_the_name_of_a_file_at_a_url_says_what_it_is(
    server: Place, http_server: HttpServer, path: str
) -> None:
    client = new_client(server)
    url = f"{http_server.url}/named/{uuid4().hex}/{path}?type=text/plain&sig=secret-of-a-link"

    made = client.data("POST", "/datasources", name="cities.csv", type="FILE", url=url)
    source = f"/datasets/{made['dataset_id']}/datasources/{made['id']}"
    read = client.read(source)
    link = client.data("POST", f"{source}/presign")["presigned_url"]

    assert read == made | {"status": "synched", "size": len(CSV)}
    assert client.http.get(link).content == CSV
    overview = client.data("GET", f"/datasets/{made['dataset_id']}/overview")
    assert overview["name"] == "cities.csv"
    assert overview["summary"] == "1 file synched, with 1 table and 2 rows in all."
    assert overview["keywords"] == ["cities", "id", "city"]


def test_a_long_name_is_cut_and_keeps_its_extension(server: Place) -> None:
    client = new_client(server)
    key = client.upload("a.csv", b"a\n1\n")
    name = "n" * 200

    made = client.data("POST", "/datasources", name=f"{name}.csv", type="FILE", file_object_key=key)
    dataset = client.data("POST", "/datasets", name=name)["id"]

    assert made["name"] == "n" * 124 + ".csv"
    assert client.data("GET", f"/datasets/{dataset}")["name"] == "n" * 128


def test_what_is_sent_again_with_its_key_is_made_once(server: Place) -> None:
    client = new_client(server)
    client.http.headers["idempotency-key"] = uuid4().hex

    keys = {client.upload("a.csv", b"a\n1\n") for _ in range(2)}
    (key,) = keys
    made = [
        client.data("POST", "/datasources", name="a.csv", type="FILE", file_object_key=key)["id"]
        for _ in range(2)
    ]
    datasets = [client.data("POST", "/datasets", name="Once")["id"] for _ in range(2)]
    other = client.code("POST", "/datasets", name="Twice")

    assert len(set(made)) == len(set(datasets)) == 1
    assert other == 300001
    names = [each["name"] for each in client.data("GET", "/datasets")["records"]]
    assert names == ["Default", "a.csv", "Once"]


@one_server
def test_parts_of_a_larger_file_are_5_mib_each(server: Place) -> None:
    client = new_client(server)
    content = b"a,b\n" + b"1,2\n" * (5 * 1024 * 1024 // 4 + 10)

    begun = client.data(
        "POST", "/file/init-multipart-upload", file_name="a.csv", file_size=len(content)
    )
    etags = []
    for part in begun["part_items"]:
        start = (part["number"] - 1) * part["size"]
        sent = server.rest(None).put(
            part["upload_url"],
            content=content[start : start + part["size"]],
            headers={"content-type": "application/octet-stream"},
        )
        etags.append({"number": part["number"], "etag": sent.headers["etag"].replace('"', "")})
    done = client.data(
        "POST",
        "/file/complete-multipart-upload",
        file_object_key=begun["file_object_key"],
        upload_id=begun["upload_id"],
        part_etags=etags[::-1],
    )

    assert [part["size"] for part in begun["part_items"]] == [5_242_880, 5_242_880]
    assert done == {"file_object_key": begun["file_object_key"]}
