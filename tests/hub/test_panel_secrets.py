"""What may be a secret is refused in a panel file, or kept out of what is sealed of it."""

import pytest
from pydantic import TypeAdapter, ValidationError

from quorate.core.canonical import digest
from quorate.hub.panel_record import _expert
from quorate.hub.table_values import Command, Url
from quorate.hub.tables import HTTPTable

COMMAND, URL = TypeAdapter(Command), TypeAdapter(Url)


@pytest.mark.parametrize(
    "words",
    [
        ["--token=hunter2"],
        ["--api-key=hunter2"],
        ["--apiKey=hunter2"],
        ["--token", "hunter2"],
        ["-password", "hunter2"],
        ["API_TOKEN=hunter2"],
        ["-H", "Authorization: Bearer hunter2"],
        ["https://host/?key=hunter2"],
    ],
)
def test_secrets_among_the_words_of_a_command_are_refused(words):
    with pytest.raises(ValidationError, match=r"giving away .*, a secret") as error:
        COMMAND.validate_python(["./judge", *words])
    assert "hunter2" not in error.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    "words",
    [
        ["--max-tokens=100"],
        ["--max-tokens", "100"],
        ["--tokenizer=fast"],
        ["--token-file=secret.txt"],
        ["--sort-key=name"],
        ["--password"],
        ["--token", "--quick"],
        ["https://host/?topic=law"],
    ],
)
def test_what_only_looks_like_one_is_allowed(words):
    assert COMMAND.validate_python(["./judge", *words]) == ["./judge", *words]


@pytest.mark.parametrize(
    "query", ["key=s3", "api_key=s3", "x=1&access_token=s3", "sig=s3", "a%70i_key=s3"]
)
def test_keys_in_the_query_of_an_address_are_refused(query):
    with pytest.raises(ValidationError, match="as bearer_env or api_key_env"):
        URL.validate_python(f"https://host/path?{query}")


def test_of_a_query_the_digest_is_sealed():
    table = HTTPTable(id="a", kind="http", url="https://host/p?topic=law&k=1")
    sealed = _expert(table)
    assert sealed["url"] == "https://host/p"
    assert sealed["url_query_digest"] == digest("topic=law&k=1")
    plain = _expert(HTTPTable(id="a", kind="http", url="https://host/p"))
    assert "url_query_digest" not in plain
