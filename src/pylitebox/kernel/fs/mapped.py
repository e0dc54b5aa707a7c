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
        self._places: dict[tuple[int, int], _Place | tuple[int, int, bytes]] = {}

    def note_nameless(self, key: tuple[int, int], dev: int, ino: int, text: bytes) -> None:
        """The source ``key`` has no place in the tree: this is what is shown."""
        self._make_room()
        self._places[key] = (dev, ino, text)

    def _make_room(self) -> None:
        if len(self._places) >= MAX_REMEMBERED:
            del self._places[next(iter(self._places))]

    def note(self, key: tuple[int, int], location: Location) -> None:
        """The source ``key`` is the content of the file at ``location``."""
        dentry = location.dentry
        if dentry.parent is None:
            return
        places = self._places
        known = places.get(key)
        if isinstance(known, _Place) and known.inode() is dentry.inode and known.directory() is dentry.parent:
            if known.name == dentry.name:
                return
        elif known is None:
            self._make_room()
        inode = dentry.inode
        places[key] = _Place(location.mount, ref(dentry.parent), dentry.name, ref(inode), inode.filesystem, inode.ino)

    def find(self, key: tuple[int, int], root: Location) -> tuple[int, int, bytes] | None:
        """Device, inode and path of a mapped file as seen from ``root``."""
        place = self._places.get(key)
        if not isinstance(place, _Place):
            return place
        directory = place.directory()
        if directory is None:  # it is gone, and where it was is not known any more
            return place.filesystem.dev, place.ino, b"/" + place.name + b" (deleted)"
        path = path_of(root, Location(place.mount, directory)).rstrip(b"/") + b"/" + place.name
        if place.filesystem.cache_ns is None:  # every name that was walked is known
            child = directory.children.get(place.name)
            if child is None or child.inode is not place.inode():
                path += b" (deleted)"
        return place.filesystem.dev, place.ino, path
