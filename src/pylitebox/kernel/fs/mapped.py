"""Where mapped files lie: what /proc/PID/maps needs to name the areas that a platform reports.

A platform knows a mapping by its source's (device, inode), which are the host's; the guest is shown its own. Nothing
here keeps a file alive: one that was removed is shown as that, and what was mapped longest ago is forgotten.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import ref

from pylitebox.kernel.fs.operations import path_of
from pylitebox.kernel.fs.vfs import Dentry, FileSystem, Inode, Location, Mount

MAX_REMEMBERED = 4096


class _Place(NamedTuple):
    """A name in a directory, and the file that it meant when it was mapped."""

    mount: Mount
    directory: ref[Dentry]
    name: bytes
    inode: ref[Inode]
    filesystem: FileSystem
    ino: int


class MappedFiles:
    """By :meth:`pylitebox.kernel.platform.MapSource.key`."""

    def __init__(self) -> None:
        self._places: dict[tuple[int, int], _Place] = {}

    def note(self, key: tuple[int, int], location: Location) -> None:
        """The source ``key`` is the content of the file at ``location``."""
        dentry = location.dentry
        if dentry.parent is None:
            return
        places = self._places
        known = places.get(key)
        if known is not None and known.inode() is dentry.inode and known.directory() is dentry.parent:
            if known.name == dentry.name:
                return
        elif known is None and len(places) >= MAX_REMEMBERED:
            del places[next(iter(places))]
        inode = dentry.inode
        places[key] = _Place(location.mount, ref(dentry.parent), dentry.name, ref(inode), inode.filesystem, inode.ino)

    def find(self, key: tuple[int, int], root: Location) -> tuple[int, int, bytes] | None:
        """Device, inode and path of a mapped file as seen from ``root``."""
        place = self._places.get(key)
        if place is None:
            return None
        directory = place.directory()
        if directory is None:  # it is gone, and where it was is not known any more
            return place.filesystem.dev, place.ino, b"/" + place.name + b" (deleted)"
        path = path_of(root, Location(place.mount, directory)).rstrip(b"/") + b"/" + place.name
        if place.filesystem.cache_ns is None:  # every name that was walked is known
            child = directory.children.get(place.name)
            if child is None or child.inode is not place.inode():
                path += b" (deleted)"
        return place.filesystem.dev, place.ino, path
