"""What is shown is what is compiled."""

import json
from pathlib import Path

import pytest

from pylitebox.south.native import report
from pylitebox.south.native import surface as S

DOCUMENT = Path(__file__).parents[3] / "docs" / "surface.md"


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == report.render("markdown"), (
        "run: pylitebox surface --format markdown > docs/surface.md"
    )


def test_json_has_each_role_with_names_conditions_and_reasons() -> None:
    data = json.loads(report.render("json"))
    assert list(data) == list(S.ROLES)
    assert {"guest", "template", "guardian", "supervisor"} <= set(data)
    for role, entries in data.items():
        assert [e["name"] for e in entries] == sorted(r.name for r in S.ROLES[role] if r.reaches_host)
        assert all(set(e) == {"name", "conditions", "reason"} and e["reason"] for e in entries)


def test_the_table_names_every_call() -> None:
    words = report.render("table").split()
    assert all(rule.name in words for rules in S.ROLES.values() for rule in rules if rule.reaches_host)


def test_unknown_format() -> None:
    with pytest.raises(ValueError, match="json"):
        report.render("xml")
