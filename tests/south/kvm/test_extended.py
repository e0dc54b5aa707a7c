"""Signal frames' extended state, as guests may have forged it."""

from __future__ import annotations

import struct

from pylitebox.south.kvm.extended import ExtendedState, raised

LEAVES = {
    (0xD, 2): (256, 576, 0, 0), (0xD, 5): (64, 1088, 0, 0), (0xD, 6): (512, 1152, 0, 0), (0xD, 7): (1024, 1664, 0, 0),
}  # fmt: skip


class Cpu:
    xcr0 = 0xE7

    def leaf(self, number: int, index: int = 0) -> tuple[int, int, int, int]:
        return LEAVES.get((number, index), (0, 0, 0, 0))


class Memory:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, address: int, size: int) -> bytes:
        return self.data[address : address + size].ljust(size, b"\0")


states = ExtendedState(Cpu())  # type: ignore[arg-type]


def _restored(frame: bytes) -> bytearray:
    return states.restored(Memory(frame), 0, 4096)  # type: ignore[arg-type]


def test_what_a_frame_has_is_what_is_restored() -> None:
    image = states.clean(4096)
    image[160:416] = bytes(range(256))
    image[512] = 7
    image[576:832] = bytes(range(255, -1, -1))
    frame = states.frame(image)
    assert len(frame) == 2688 + 4
    restored = _restored(frame)
    assert restored[160:416] == image[160:416]
    assert restored[576:832] == image[576:832]
    assert restored[512:520] == image[512:520]


def test_unknown_features_and_reserved_bits_are_dropped() -> None:
    frame = bytearray(states.frame(states.clean(4096)))
    struct.pack_into("<8Q", frame, 512, *[(1 << 64) - 1] * 8)
    struct.pack_into("<I", frame, 24, 0xFFFFFFFF)
    restored = _restored(bytes(frame))
    assert struct.unpack_from("<8Q", restored, 512) == (0xE7, 0, 0, 0, 0, 0, 0, 0)
    assert struct.unpack_from("<I", restored, 24)[0] == 0xFFFF
    assert restored[464:512] == bytes(48)


def test_without_its_marks_a_frame_is_the_legacy_part_alone() -> None:
    whole = states.frame(states.clean(4096))
    for at, value in ((464, 0), (464 + 16, 1 << 20), (464 + 16, 100), (464 + 4, 8), (2688, 0)):
        frame = bytearray(whole)
        struct.pack_into("<I", frame, at, value)
        struct.pack_into("<Q", frame, 512, 0xE7)
        assert struct.unpack_from("<Q", _restored(bytes(frame)), 512)[0] == 3


def test_pending_exceptions_are_those_that_are_not_masked() -> None:
    image = states.clean(4096)
    assert raised(image, simd=True) == raised(image, simd=False) == 0
    struct.pack_into("<I", image, 24, 0x1F80 & ~(4 << 7) | 4)
    assert raised(image, simd=True) == 4
    struct.pack_into("<HH", image, 0, 0x37F & ~1, 1)
    assert raised(image, simd=False) == 1
