"""Datasets as clients make them and delete them, alone or with what is in them."""

from typing import Any

from base.ids import public_id
from models import DataSource
from tests.graph.asking import Asker
from tests.graph.test_mutations import do, refusal
from tests.services.places import Place


async def test_a_dataset_is_made_once_and_goes_with_what_is_in_it(
    asker: Asker, place: Place
) -> None:
    told = {"projectId": place.project_id, "name": "Rain", "idempotencyKey": "k"}
    made = [await do(asker, "createDataset", "dataset { id }", **told) for _ in range(2)]
    dataset_id = made[0]["dataset"]["id"]
    assert made[0] == made[1]
    source = {"name": "later", "connection": {"file": {}}}
    await do(
        asker, "connectDataSources", "dataSources { id }", datasetId=dataset_id, sources=[source]
    )

    empty_only: list[dict[str, Any]] = [{}, {"withDataSources": False}, {"withDataSources": None}]
    for how in empty_only:
        found = await refusal(asker, "deleteDataset", id=dataset_id, **how)
        assert found == ("CONFLICT", "input.id")
    default = public_id("dataset", place.dataset.id)
    assert await refusal(asker, "deleteDataset", id=default, withDataSources=True) == (
        "CONFLICT", "input.id",
    )  # fmt: skip
    gone = await do(asker, "deleteDataset", "id", id=dataset_id, withDataSources=True)

    assert gone == {"id": dataset_id}
    assert await DataSource.filter(deleted_at=None).count() == 0
