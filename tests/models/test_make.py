"""The developer's command that writes migrations."""

from __future__ import annotations

import pytest

from models import migrate
from tests.models.history import History


def test_make_says_that_nothing_changed(capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate.main(["make", "add_colour"]) == 0
    assert capsys.readouterr().out == "nothing changed\n"


@pytest.mark.parametrize("arguments", [[], ["migrate"], ["make", "two", "names"]])
def test_another_use_of_the_command_is_explained(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert migrate.main(arguments) == 2
    assert capsys.readouterr().err == "usage: python -m models.migrate make [name]\n"


async def test_a_changed_model_makes_a_migration_with_the_given_name(
    history: History,
) -> None:
    history.add("0002_fewer", 'ops.RemoveField("Team", "name"),')

    (path,) = await migrate.make("Team names", migrations=history.package)

    assert path.name == "0003_team_names.py"
    assert "model_name='Team',\n            name='name'" in path.read_text()
    assert await migrate.make("again", migrations=history.package) == []
