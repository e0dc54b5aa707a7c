"""layout.py says what guest/stub.c says."""

import re
from pathlib import Path

import pytest

from pylitebox.south.native import layout

SOURCE = (Path(layout.__file__).parent / "guest" / "stub.c").read_text()


def test_requests_have_the_stubs_numbers() -> None:
    body = re.search(r"enum request \{(.*?)\}", SOURCE, re.DOTALL)
    assert body is not None
    names = [name.strip().removesuffix(" = 1") for name in body[1].split(",")]
    assert len(names) == 13
    for number, name in enumerate(names, start=1):
        assert getattr(layout, name.removeprefix("REQ_")) == number


def test_steps_have_the_stubs_numbers() -> None:
    body = re.search(r"enum step \{ STEP_ZERO = (\w+), STEP_COPY, STEP_ENTER, STEP_END \}", SOURCE)
    assert body is not None
    first = int(body[1], 16)
    steps = (layout.STEP_ZERO, layout.STEP_COPY, layout.STEP_ENTER, layout.STEP_END)
    assert steps == tuple(range(first, first + 4))


@pytest.mark.parametrize("name", ["BLOCK_SIZE", "REQUEST", "MAX_FD"])
def test_numbers(name: str) -> None:
    defined = re.search(rf"#define {name} (\w+?)(ul)?\s", SOURCE)
    assert defined is not None
    assert int(defined[1], 0) == getattr(layout, name)


def test_the_request_descriptor_is_negative_for_the_host() -> None:
    assert (layout.REQUEST & 0xFFFFFFFF) >> 31 == 1
