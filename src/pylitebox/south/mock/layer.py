"""Layers around a platform: each call of the contract passes through one function, which may look at it or fail it.

    platform = FaultInjector(Tracer(MockPlatform(), log.append), {("Platform", "new_process", 2): None})

A layer is a platform itself, so layers can be stacked, around any platform. It wraps what the inner platform hands
out: threads, guest memory, shared buffers; host directories, files and streams are wrapped by :meth:`Layer.wrap`,
since they come from elsewhere. It stands between the inner platform and the North for events too, since a thread that
a clone made is first seen there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pylitebox.kernel.errors import KernelError

if TYPE_CHECKING:
    from pylitebox.kernel.platform import GuestEvents, GuestThread, MachineContext, Platform
    from pylitebox.kernel.task import Task

#: Attributes whose values are objects of the contract too.
_PARTS = {"memory": "Memory", "space": "AddressSpace"}
#: What calls give back that must be wrapped: (kind, method) to the kind of its result.
_RESULTS = {
    ("Platform", "shared_buffer"): "SharedBuffer",
    ("SharedBuffer", "share"): "SharedBuffer",
    ("AddressSpace", "fork"): "AddressSpace",
    ("HostDirectory", "directory"): "HostDirectory",
    ("HostDirectory", "open"): "HostFile",
    ("HostDirectory", "create"): "HostFile",
    ("HostFile", "share"): "HostFile",
}
#: Calls that are no business of a layer: the inner platform only looks the object up, or nothing can go wrong.
_KEYS = frozenset({"key"})
_CLOCKS = frozenset({"monotonic_ns", "realtime_ns", "cpu_time", "usage", "asleep"})


class Wrapped:
    """An object of the contract behind a layer. What has no call of its own is passed through."""

    def __init__(self, layer: Layer, kind: str, inner: Any) -> None:
        self._layer = layer
        self._kind = kind
        self.inner = inner

    def __repr__(self) -> str:
        return f"<{self._kind} {self.inner!r}>"

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if name in _PARTS:
            value = self._layer.wrap(_PARTS[name], value)
        elif callable(value) and name not in _KEYS and not name.startswith("_"):
            value = self._method(name, value)
        else:
            return value
        self.__dict__[name] = value  # found at once from now on
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("_layer", "_kind", "inner"):
            super().__setattr__(name, value)
        else:
            setattr(self.inner, name, value)

    def _method(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        layer, kind = self._layer, self._kind
        result = _RESULTS.get((kind, name))

        def method(*args: Any, **kwargs: Any) -> Any:
            plain = [unwrap(a) for a in args]
            value = layer.call(kind, name, function, plain, kwargs)
            return layer.wrap(result, value) if result and value is not None else value

        return method


def unwrap(value: Any) -> Any:
    """What the inner platform knows the object as (one layer down)."""
    return value.inner if isinstance(value, Wrapped) else value


class _Events:
    """GuestEvents between the inner platform and the North."""

    def __init__(self, layer: Layer, outer: GuestEvents) -> None:
        self._layer = layer
        self._outer = outer
        self.syscall = outer.syscall
        self.fault = outer.fault
        self.sigreturn = outer.sigreturn
        self.clone_failed = outer.clone_failed
        self.vfork_wait = outer.vfork_wait
        self.lost = outer.lost

    def safe_point(self, task: Task, context: MachineContext) -> bool:
        return self._outer.safe_point(task, context)

    def started(self, task: Task) -> None:
        if task.thread is not None:
            task.thread = self._layer.wrap("GuestThread", task.thread)
            task.memory = self._layer.wrap("Memory", task.memory)
        self._outer.started(task)


class Layer:
    """A layer that does nothing; override :meth:`call`."""

    def __init__(self, inner: Platform) -> None:
        self.inner = inner
        self._platform = Wrapped(self, "Platform", inner)

    def call(
        self, kind: str, method: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]
    ) -> Any:
        """Make one call of the contract: ``kind`` is the Protocol's name (kernel/platform.py)."""
        return function(*args, **kwargs)

    def wrap(self, kind: str, value: Any) -> Any:
        """An object of the contract, behind this layer."""
        return Wrapped(self, kind, value)

    # -- Platform ---------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        return getattr(self._platform, name)

    def attach(self, events: GuestEvents) -> None:
        self.inner.attach(_Events(self, events))

    def poll(self, deadline: int | None) -> None:
        self.inner.poll(deadline)

    def new_process(self, ready: Callable[[GuestThread | None], None]) -> None:
        self._platform.new_process(lambda thread: ready(self.wrap("GuestThread", thread) if thread else None))

    def bind(self, thread: GuestThread, task: Task) -> None:
        self._platform.bind(thread, task)


#: A fault: KernelError with this number, or None for a call that answers by having nothing (new_process).
Faults = Mapping[tuple[str, str, int], "int | None"]


class FaultInjector(Layer):
    """Fails chosen calls: (Protocol, method, n) names the n-th call (from 1 on) and what it fails with.

    ``made`` counts the calls, ``injected`` those that were failed.
    """

    def __init__(self, inner: Platform, faults: Faults) -> None:
        super().__init__(inner)
        self.faults = dict(faults)
        self.made: Counter[tuple[str, str]] = Counter()
        self.injected: list[tuple[str, str, int]] = []

    def call(
        self, kind: str, method: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]
    ) -> Any:
        self.made[kind, method] += 1
        where = (kind, method, self.made[kind, method])
        if where not in self.faults:
            return function(*args, **kwargs)
        errno = self.faults[where]
        self.injected.append(where)
        if errno is not None:
            raise KernelError(errno)
        if method == "new_process":
            args[0](None)
        return None


class Tracer(Layer):
    """Writes one line for each call of the contract, its result or error included; clocks only if ``clocks``."""

    def __init__(self, inner: Platform, write: Callable[[str], None], *, clocks: bool = False) -> None:
        super().__init__(inner)
        self._write = write
        self._clocks = clocks

    def call(
        self, kind: str, method: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]
    ) -> Any:
        if method in _CLOCKS and not self._clocks:
            return function(*args, **kwargs)
        shown = ", ".join([*map(_short, args), *(f"{k}={_short(v)}" for k, v in kwargs.items())])
        try:
            result = function(*args, **kwargs)
        except KernelError as error:
            self._write(f"{kind}.{method}({shown}) -> {error}")
            raise
        self._write(f"{kind}.{method}({shown}) -> {_short(result)}")
        return result


def _short(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview) and len(value) > 32:
        return f"{bytes(value[:32])!r}... {len(value)} bytes"
    if callable(value):
        return "<callback>"
    if isinstance(value, int) and value > 0xFFFF:
        return hex(value)
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
