"""The end of a native platform: it never waits without bound."""

import os
import signal
import subprocess

from pylitebox.south.native import platform as native
from pylitebox.south.native.launch import Launch
from pylitebox.south.native.notify import Listener


def test_a_guardian_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(native, "_END_MS", 10)
    platform = native.NativePlatform(stub="")
    with subprocess.Popen(["sleep", "1000"]) as stuck:
        listener, life = (os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) for _ in range(2))
        platform._launch = Launch(stuck.pid, listener, life)
        platform.listener = Listener(listener)
        platform.close()
        platform.close()  # again is well
        assert stuck.wait(10) == -signal.SIGKILL


def test_a_guardian_that_was_reaped_is_not_waited_for():
    platform = native.NativePlatform(stub="")
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    listener, life = (os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) for _ in range(2))
    platform._launch = Launch(ended.pid, listener, life)
    platform.listener = Listener(listener)
    platform.close()
