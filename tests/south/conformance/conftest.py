"""Each test of the suite runs on each platform, and each looks whether anything is left."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.south.conformance.driver import Driver
from tests.south.conformance.subject import Subject, subjects

SUBJECTS = {subject.name: subject for subject in subjects()}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "subject" in metafunc.fixturenames:
        features = [feature for mark in metafunc.definition.iter_markers("needs") for feature in mark.args]
        metafunc.parametrize("subject", [_case(subject, features) for subject in SUBJECTS.values()], indirect=True)


def _case(subject: Subject, features: list[str]) -> Any:
    """A platform that lacks what a test needs fails it, as it says; one that cannot even try is not asked."""
    marks: list[pytest.MarkDecorator] = []
    for feature in features:
        if feature in subject.cannot:
            marks.append(pytest.mark.skip(reason=f"{subject.name}: {subject.cannot[feature]}"))
        elif feature in subject.lacks:
            marks.append(pytest.mark.xfail(strict=True, reason=f"{subject.name}: {subject.lacks[feature]}"))
    return pytest.param(subject.name, id=subject.name, marks=marks)


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> Subject:
    subject = SUBJECTS[request.param]
    missing = subject.missing()
    if missing is not None:
        pytest.skip(f"{subject.name}: {missing}")
    return subject


@pytest.fixture
def make(subject: Subject) -> Iterator[Callable[..., Driver]]:
    """Makes a platform with a driver; all are closed, and must leave nothing."""
    before = census()
    drivers: list[Driver] = []

    def made(**options: Any) -> Driver:
        platform = subject.make(**options)
        try:
            drivers.append(Driver(subject, platform))
        except BaseException:
            subject.close(platform)
            raise
        return drivers[-1]

    yield made
    for driver in drivers:
        driver.close()
    for driver in drivers:
        driver.check()
    end = time.monotonic() + 5
    while (left := {what: new for what, now in census().items() if (new := now - before[what])}) and (
        time.monotonic() < end
    ):
        time.sleep(0.005)  # threads and processes end in their own time
    assert left == {}


@pytest.fixture
def driver(make: Callable[..., Driver]) -> Driver:
    return make()


def census() -> dict[str, set[str]]:
    """What a platform can leave in this process: descriptors, threads, children."""
    found = {"threads": {str(thread.ident) for thread in threading.enumerate()}}
    if os.path.isdir("/proc/self/task"):
        tasks = set(os.listdir("/proc/self/task"))
        found["descriptors"] = {fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")}
        found["host threads"] = tasks
        children = set()
        for task in tasks:
            try:
                with open(f"/proc/self/task/{task}/children", encoding="ascii") as file:
                    children.update(file.read().split())
            except OSError:
                continue
        found["children"] = children
    return found
