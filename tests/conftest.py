"""Settings shared by all tests."""

import os
import re

import pytest
from hypothesis import HealthCheck, settings

# No deadline and no too_slow check: both measure the machine, not the code. The same examples
# each time, so that a run says something about what was changed since the last; `make explore`
# draws others.
settings.register_profile(
    "quorate",
    deadline=None,
    print_blob=True,
    derandomize="QUORATE_EXPLORE" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("quorate")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where every library is installed on purpose, only a missing CUDA device may skip a test.

    Triton has no build for some systems.
    """
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if "QUORATE_SKIP_NONE" not in os.environ or reporter is None:
        return
    skipped = [report.longrepr[-1] for report in reporter.stats.get("skipped", ())]
    wrong = sorted({reason for reason in skipped if not re.search("CUDA|Triton", reason)})
    if wrong:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        for reason in wrong:
            reporter.write_line(f"must not be skipped here: {reason}", red=True)
