"""The doctor finds what is there, says how to get what is not, and leaves nothing behind."""

import os
from pathlib import Path

import pytest

from pylitebox.south.native import doctor
from pylitebox.south.native.doctor import Finding


def test_a_finding_that_is_needed_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [
        Finding("alpha", present=True, detail="there", needed=True, advice="never shown"),
        Finding("beta", present=False, detail="absent", advice="get a beta"),
    ]
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    text, works = doctor.report()
    assert works
    assert "get a beta" in text
    assert "never shown" not in text
    findings.append(Finding("gamma", present=False, detail="absent", needed=True, advice="get a gamma"))
    text, works = doctor.report()
    assert not works
    assert "does not work" in text
    assert "FAIL  gamma" in text


def _children() -> str:
    """Our processes' ids (another test may have started the client's zygote)."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return file.read()


def test_this_host() -> None:
    before, children = set(os.listdir("/proc/self/fd")), _children()
    findings = {finding.name: finding for finding in doctor.examine()}
    assert set(os.listdir("/proc/self/fd")) == before
    assert _children() == children
    assert {"kernel", "seccomp user notification", "wall: Landlock"} <= set(findings)
    for finding in findings.values():
        assert finding.detail
        assert finding.present or finding.advice or finding.name == "guardian and template", finding


@pytest.mark.parametrize(
    ("status", "words"),
    [(1, "another listener"), (2, "5.19"), (3, "outer filter"), (159, "failed")],
)
def test_why_there_is_no_listener(monkeypatch: pytest.MonkeyPatch, status: int, words: str) -> None:
    monkeypatch.setattr(doctor, "_in_child", lambda body: status)
    (finding,) = doctor._notification()
    assert finding.needed
    assert not finding.present
    assert words in finding.detail + finding.advice


def test_an_old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.machine, "release", lambda: "5.10.0-28-amd64")
    assert not doctor._kernel().present
    monkeypatch.setattr(doctor.machine, "release", lambda: "6.1.0-28-amd64")
    assert doctor._kernel().present
    monkeypatch.setattr(doctor.machine, "system", lambda: "Darwin")
    assert [finding.name for finding in doctor.examine()] == ["kernel"]


def test_a_missing_stub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "stub_path", lambda: tmp_path / "stub")
    finding = doctor._stub()
    assert not finding.present
    assert "reinstall" in finding.advice
