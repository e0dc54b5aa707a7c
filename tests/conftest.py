"""What must be known before any test module is imported."""

import sys

import pytest

# several folders use it, whichever comes first
pytest.register_assert_rewrite("tests.guest.harness")

#: What is about Linux alone: the parts of pylitebox that are Linux's own, and comparisons with its programs and calls.
#: The rest are the portable unit tests, which run on any operating system.
if sys.platform != "linux":
    import hypothesis

    # in an emulated Windows time is no measure of anything
    slow = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
    hypothesis.settings.register_profile("elsewhere", slow)
    hypothesis.settings.load_profile("elsewhere")
    collect_ignore = [
        "cli",
        "differential",
        "guest",
        "kernel/fs/test_against_host.py",
        "kernel/fs/test_layers.py",
        "north/posix/test_as_os.py",
        "north/posix/test_random.py",
        "north/test_inotify.py",
        "sandbox/test_copy_out.py",
        "sandbox/test_files.py",
        "sandbox/test_interpreter.py",
        "sandbox/test_popen.py",
        "sandbox/test_python_layouts.py",
        "sandbox/test_started.py",
        "south/kvm",
        "south/native",
        "south/test_descriptors.py",
        "south/test_streams.py",
        "supervisor/test_confine.py",
        "supervisor/test_rootfs.py",
        "test_examples.py",
        "test_packaging.py",
        "test_portability.py",
    ]
