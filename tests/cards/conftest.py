"""What tests of cards share."""

import sys
from pathlib import Path

# Evidence that fits comes from the tests of compliance, peers from those of the adapters.
for name in ("compliance", "adapters"):
    sys.path.append(str(Path(__file__).parents[1] / name))
