"""Values of a TOML file are found by their lines."""

import pytest

from quorate.hub.toml_lines import locate

TOML = '''\
# comment
top = 1
[plain]
key = 1
"quoted key" = 2
long = """
key2 = not a key
[not.a.table]
"""
key2 = 3
  indented=4
dotted.inner = 5
[[many]]
x = 1
[[many]] # remark
# x = 0
x = 2
[  spaced  ]
y = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("plain",), 3),
        (("plain", "key"), 4),
        (("plain", "quoted key"), 5),
        (("plain", "long"), 6),
        (("plain", "key2"), 10),
        (("plain", "indented"), 11),
        (("plain", "dotted", "inner"), 12),
        (("plain", "unknown"), 3),
        (("many",), 13),
        (("many", 0), 13),
        (("many", 0, "x"), 14),
        (("many", 1), 15),
        (("many", 1, "x"), 17),
        (("many", 1, "x", "deeper", 3), 17),
        (("many", 7), 13),
        (("spaced", "y"), 19),
        (("not",), None),
        (("nowhere", "at", "all"), None),
        ((), None),
    ],
)
def test_values_of_toml_are_located(path, line):
    assert locate(TOML, path) == line
