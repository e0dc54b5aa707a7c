"""Which platform runs a sandbox: by name, or the first that works."""

import sys

import pytest

from pylitebox.cli.main import main
from pylitebox.south.start import StartError
from pylitebox.supervisor import platforms
from pylitebox.supervisor.platforms import PLATFORMS, PlatformError, Row, choose, report

linux = pytest.mark.skipif(sys.platform != "linux", reason="about a platform of Linux")


def row(name, needs=None):
    return Row(name, "runs things", lambda: needs, lambda ingredients: None)


def test_auto_is_the_first_that_works():
    rows = (row("a", "a moon"), row("b"), row("c"))
    assert choose("auto", rows).name == "b"
    assert choose("c", rows).name == "c"


def test_what_does_not_work_is_one_sentence():
    rows = (row("a", "a moon"), row("b", "two suns"))
    for name, sentence in (
        ("auto", r"no platform works on this host: a needs a moon; b needs two suns \(pylitebox doctor says more\)"),
        ("b", r"the platform b needs two suns \(pylitebox doctor says more\)"),
        ("x", "there is no platform 'x' here; there are a, b"),
    ):
        with pytest.raises(PlatformError, match=f"^{sentence}$"):
            choose(name, rows)
    with pytest.raises(PlatformError, match=r"^there is no platform 'x' here; a is one$"):
        choose("x", rows[:1])


@linux
def test_native_says_what_it_lacks(monkeypatch, tmp_path):
    actions = tmp_path / "actions"
    monkeypatch.setattr(platforms, "_ACTIONS", str(actions))
    native = PLATFORMS[0]
    assert native.needs() is None, "without /proc the start itself tells"
    actions.write_text("kill_process errno allow\n")
    assert "user notification" in (native.needs() or "")
    actions.write_text("kill_process user_notif allow\n")
    assert native.needs() is None
    monkeypatch.setattr(platforms.sys, "platform", "darwin")
    assert native.needs() == "Linux on x86-64"


@linux
def test_kvm_needs_a_device_that_may_be_used(monkeypatch, tmp_path):
    monkeypatch.setattr(platforms, "_KVM", str(tmp_path / "kvm"))
    kvm = next(row for row in PLATFORMS if row.name == "kvm")
    assert kvm.needs() == f"{tmp_path / 'kvm'}, and the right to use it"
    (tmp_path / "kvm").write_text("")
    assert kvm.needs() is None


def test_what_doctor_finds_when_it_looks_closer():
    def broken():
        raise StartError("it does not turn")

    text = report((row("a")._replace(look=lambda: "it turns"), row("b")._replace(look=broken)))
    assert "ok    a  runs things\n           it turns\n" in text
    assert "none  b  runs things\n           -> needs more than there is: it does not turn\n" in text


def test_doctor_lists_them(capsys):
    main(["doctor"])
    text = capsys.readouterr().out
    assert text.startswith(report())
    for name in ("native", "kvm", "emulator"):
        assert f"  {name} " in text
    assert ("native platform: " in text) is (sys.platform == "linux")


def test_the_report_of_platforms():
    text = report((row("native"), row("kvm", "/dev/kvm")))
    assert "ok    native" in text
    assert "-> needs /dev/kvm" in text
