"""The documents say what is so. Their examples run as doctests."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")])


def test_the_cli_page_is_what_help_prints():
    page = runpy.run_path(str(ROOT / "docs" / "cli.py"))["page"]()
    written = (ROOT / "docs" / "cli.md").read_text()
    assert page.split() == written.split(), "docs/cli.md is out of date: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), target


def test_the_readme_names_commands_that_exist():
    commands = re.findall(r"^  (\w+)  ", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE)
    named = set(re.findall(r"^    (?:\$ )?firth (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert named
    assert named <= set(commands)


@pytest.mark.parametrize("path", sorted((ROOT / "bench" / "results").glob("*.json")), ids=lambda path: path.name)
def test_results_tell_machine_and_versions(path):
    result = json.loads(path.read_text())
    assert {"benchmark", "date", "commit", "machine", "versions"} <= set(result)
    assert result["benchmark"] == path.stem
