"""A pytest plugin for runs over planted defects: the same examples each time, none shrunk.

A defect is found or it is not. How small the example is that shows it does not matter, and
looking for a smaller one takes longer than everything else.
"""

import pytest
from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection():
    """Take over once conftest.py has loaded the suite's profile, before any test is defined."""
    settings.load_profile("mutants")
