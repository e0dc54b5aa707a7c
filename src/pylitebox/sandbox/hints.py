"""What to say when a path exists on the host but not in the sandbox's view: the option that would add it."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylitebox.sandbox.options import Options


def hint(path: str, options: Options) -> str | None:
    """One sentence, or None if the host has no such file either, or the sandbox's view holds its directory."""
    if not os.path.isabs(path):
        if "/" not in path or any(mount.guest == options.cwd for mount in options.mounts):
            return None
        path = os.path.abspath(path)
    if not os.path.exists(path) or _visible(path, options):
        return None
    if not options.python and _belongs_to_python(path):
        return f"{path} exists on the host but not in the sandbox's view; --python (python=True) would add it"
    directory = path if os.path.isdir(path) else os.path.dirname(path)
    cwd = os.getcwd()
    if (path + "/").startswith(cwd + "/") and cwd != "/":
        return f'{path} exists on the host but not in the sandbox\'s view; --workspace . (workspace=".") would add it'
    return (
        f"{path} exists on the host but not in the sandbox's view; "
        f'--mount {directory}:{directory}:ro (mounts=["{directory}:{directory}:ro"]) would add it'
    )


def _visible(path: str, options: Options) -> bool:
    if path == "/":
        return True
    tops = ["/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/dev"]
    tops += [mount.guest for mount in options.mounts]
    return any((path + "/").startswith(top.rstrip("/") + "/") for top in tops)


def _belongs_to_python(path: str) -> bool:
    return any((path + "/").startswith(prefix + "/") for prefix in {sys.prefix, sys.base_prefix} if prefix != "/usr")
