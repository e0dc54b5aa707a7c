"""Which platform runs a sandbox: by name, or the first that works."""

import pytest

from pylitebox.cli.main import main
from pylitebox.supervisor import platforms
from pylitebox.supervisor.platforms import PLATFORMS, PlatformError, Row, choose, report


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


def test_what_is_planned_is_no_mistake_of_spelling():
    rows = (row("native"),)
    for name in platforms.PLANNED:
        with pytest.raises(PlatformError, match=f"the platform {name} is not built in yet; native is one"):
            choose(name, rows)
    assert choose("kvm", (*rows, row("kvm"))).name == "kvm", "once it has a row it is there"


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


def test_doctor_lists_them(capsys):
    main(["doctor"])
    text = capsys.readouterr().out
    assert text.startswith(report())
    for name in ("native", *platforms.PLANNED):
        assert f"  {name} " in text
    assert "native platform: " in text


def test_the_report_of_platforms():
    text = report((row("native"), row("kvm", "/dev/kvm")))
    assert "ok    native" in text
    assert "-> needs /dev/kvm" in text
    assert text.count("not built in yet") == len(set(platforms.PLANNED) - {"kvm"})
