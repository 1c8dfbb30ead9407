"""The rooms are where the house says, and nobody else owns their names."""

import importlib.util
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = [
    "base",
    "connectors",
    "gateway",
    "graph",
    "models",
    "server",
    "services",
    "storage",
    "workers",
]
TOP_LEVEL = {
    *ROOMS, "tests", "docs", ".ci", "schema.graphql", "pyproject.toml", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md",
    "CHANGELOG.md", "Makefile", "requirements.lock", "requirements-dev.lock", ".gitignore",
}  # fmt: skip
BASE = {
    "__init__", "answers", "bodies", "credentials", "errors", "forks", "ids", "isolation", "landlock", "net", "privileges", "process",
    "seccomp", "settings", "tables", "tracing",
}  # fmt: skip


def tracked_files() -> list[Path]:
    """Files of the repository as a clone would have them, without what tools leave behind."""
    skipped = {".git", ".venv", "node_modules", "__pycache__", "data", "build"}
    found = []
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if (
            path.is_file()
            and not skipped & set(parts)
            and not any(p.endswith(("_cache", ".egg-info")) for p in parts)
        ):
            found.append(path.relative_to(ROOT))
    return found


def test_every_room_is_a_package_of_this_repository() -> None:
    for room in ROOMS:
        spec = importlib.util.find_spec(room)

        assert spec is not None
        assert spec.origin == str(ROOT / room / "__init__.py")


def test_no_other_distribution_owns_a_room_s_name() -> None:
    owners = packages_distributions()

    assert {room: set(owners.get(room, [])) - {"headwater"} for room in ROOMS} == {
        room: set() for room in ROOMS
    }


def test_the_top_level_holds_what_the_house_names_and_nothing_else() -> None:
    top = {path.parts[0] for path in tracked_files()}

    assert top - TOP_LEVEL - {".hypothesis", ".coverage", ".bench"} == set()


def test_base_is_a_closed_list() -> None:
    assert {path.stem for path in (ROOT / "base").glob("*.py")} == BASE


def test_test_folders_are_packages_so_that_they_do_not_shadow_the_rooms() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}

    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_pyproject_installs_every_room() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    included = project["tool"]["setuptools"]["packages"]["find"]["include"]

    assert sorted(included) == [f"{room}*" for room in ROOMS]
