"""Copying out of a sandbox: links that a guest made must not lead anything out of the copied tree."""

import pytest

from pylitebox.sandbox.files import _stays_inside


@pytest.mark.parametrize(
    ("target", "inside"),
    [
        ("file", True),
        ("./a/b", True),
        ("../other", True),
        ("../../top/x", False),
        ("/etc/passwd", False),
        ("/top/x", False),
        ("../../etc", False),
        ("../../../top/x", False),
        ("link/../../x", False),
        ("link/..", False),
    ],
)
def test_links(target, inside):
    assert _stays_inside(target, "/top/sub/link", "/top") is inside
