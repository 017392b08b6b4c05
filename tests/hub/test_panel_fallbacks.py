"""A sealed declaration whose fallback is nobody that the panel knows."""

import pytest
from panel_texts import GOOD

from quorate.core.errors import VerificationError
from quorate.hub import Panel, panel_record
from quorate.ledger.replay import ReplayContext


@pytest.mark.parametrize(("fallback", "stands"), [("a", True), ("ghost", False)])
def test_the_fallback_is_of_the_roster(panel_folder, fallback, stands):
    panel_folder.path.write_text(GOOD)
    body = panel_record.declaration(Panel.declared(panel_folder.path))
    body |= {"on_under_quorum": "fallback", "fallback": fallback}
    if stands:
        panel_record.replay("panel", body, ReplayContext())
        return
    with pytest.raises(VerificationError, match="fallback is not of its roster") as caught:
        panel_record.replay("panel", body, ReplayContext())
    assert caught.value.rule == "panel"
