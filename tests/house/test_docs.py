"""What the documents say is so."""

import re
from dataclasses import fields

from base.settings import PREFIX, Settings
from tests.house.test_layout import ROOT


def settings_table() -> str:
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for field in fields(Settings):
        default = "" if field.default in ("", None, ()) else f"`{field.default}`"
        lines.append(f"| `{PREFIX}{field.name.upper()}` | {default} | {field.metadata['doc']} |")
    return "\n".join(lines)


def test_the_readme_lists_every_setting() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"<!-- settings:.*?-->\n(.*?)\n<!-- /settings -->", readme, re.DOTALL)

    assert section is not None
    assert section.group(1) == settings_table()


def test_links_of_the_documents_lead_somewhere() -> None:
    missing = []
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            if not (document.parent / target).exists():
                missing.append(f"{document.name}: {target}")

    assert missing == []


def test_make_targets_named_in_the_documents_exist() -> None:
    targets = set(
        re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    named = {
        name
        for document in ROOT.glob("*.md")
        for line in re.findall(
            r"(?:^|`)make ((?:[a-z]+ ?)+)", document.read_text(encoding="utf-8"), re.MULTILINE
        )
        for name in line.split()
    }

    assert named - targets == set()
