"""What the trees and kernels of one module hold open is gone before the next module looks at descriptors."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def nothing_stays_open() -> Iterator[None]:
    yield
    gc.collect()  # they are cycles
