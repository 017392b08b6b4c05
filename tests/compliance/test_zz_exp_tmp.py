import json
from pathlib import Path
from comply_tools import POLICY
from quorate.ledger import Ledger
def test_x(comply, told):
    told("report","quorate.toml","--seal",*POLICY)
    _, m = told("collect", *POLICY)
    with Ledger.open("sqlite:///ledger.db") as log:
        sealed = {(r.payload["field"], r.payload["source"]): r.payload for r in log.find(kind="evidence")}
    for i in m["evidence"]["items"]:
        s = sealed[i["field"], i["source"]]
        diff = [k for k in s if s[k] != i[k]]
        dd = {k: (s["data"].get(k), i["data"].get(k)) for k in i["data"] if s["data"].get(k) != i["data"].get(k)}
        print(i["field"], i["source"], diff, json.dumps(dd)[:600])
