"""Settings shared by all tests."""

from hypothesis import HealthCheck, settings

# No deadline and no too_slow check: both measure the machine, not the code.
settings.register_profile(
    "quorate",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("quorate")
