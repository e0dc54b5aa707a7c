"""What must be known before any test module is imported."""

import pytest

# several folders use it, whichever comes first
pytest.register_assert_rewrite("tests.guest.harness")
