"""What the official conformance suite asks of a server, on the transport of `quorate serve`.

The suite's scenarios call tools, resources and prompts of fixed names that no real server has.
Here they stand on the same stack (bounds, Host and Origin checks, shutdown) as ours.
"""

import asyncio
import base64
import json
import sys
import warnings
from typing import Any

import mcp_types as types
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.streamable_http import EventMessage, EventStore
from pydantic import BaseModel, Field

from quorate.mcp.serving import serve_built
from quorate.mcp.settings import HttpSettings

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "YPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
SILENCE = base64.b64encode(
    b"RIFF\x26\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00"
    b"\x02\x00\x10\x00data\x02\x00\x00\x00\x00\x00"
).decode()
SCHEMA_TOOL = "json_schema_2020_12_tool"
STEP = 0.05


def text(said: str) -> types.TextContent:
    return types.TextContent(type="text", text=said)


def image() -> types.ImageContent:
    return types.ImageContent(type="image", data=PIXEL, mime_type="image/png")


def embedded(uri: str, mime: str, said: str) -> types.EmbeddedResource:
    contents = types.TextResourceContents(uri=uri, mime_type=mime, text=said)
    return types.EmbeddedResource(type="resource", resource=contents)


def result(*content: Any) -> types.CallToolResult:
    return types.CallToolResult(content=list(content))


class Kept(EventStore):
    """Events in memory, so that a stream that was closed can be taken up again."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    async def store_event(self, stream_id, message):
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(self, last_event_id, send_callback):
        last = int(last_event_id)
        if not 1 <= last <= len(self.events):
            return None
        stream = self.events[last - 1][0]
        for number, (of, message) in enumerate(self.events[last:], last + 1):
            if of == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


class Answer(BaseModel, extra="allow"):
    response: str = Field("", description="what the user says")


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: str = Field("active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = True


def titled(count: int) -> list[dict[str, str]]:
    return [{"const": f"value{n}", "title": f"Choice {n}"} for n in range(1, count + 1)]


OPTIONS = ["option1", "option2", "option3"]


class Enums(BaseModel):
    untitledSingle: str = Field(json_schema_extra={"enum": OPTIONS})  # noqa: N815 - the suite's names
    titledSingle: str = Field(json_schema_extra={"oneOf": titled(3)})  # noqa: N815
    legacyEnum: str = Field(  # noqa: N815
        json_schema_extra={"enum": ["opt1", "opt2", "opt3"], "enumNames": ["One", "Two", "Three"]}
    )
    untitledMulti: list[str] = Field(  # noqa: N815
        json_schema_extra={"items": {"type": "string", "enum": OPTIONS}}
    )
    titledMulti: list[str] = Field(json_schema_extra={"items": {"anyOf": titled(3)}})  # noqa: N815


async def elicited(ctx: Context, message: str, schema: type[BaseModel]) -> str:
    found = await ctx.elicit(message=message, schema=schema)
    content = found.data.model_dump_json() if found.action == "accept" else "{}"
    return f"action={found.action}, content={content}"


class Tools:
    """The suite's tools; each docstring is what a client is shown."""

    async def test_simple_text(self) -> types.CallToolResult:
        """Give one text."""
        return result(text("This is a simple text response for testing."))

    async def test_image_content(self) -> types.CallToolResult:
        """Give an image."""
        return result(image())

    async def test_audio_content(self) -> types.CallToolResult:
        """Give a sound."""
        return result(types.AudioContent(type="audio", data=SILENCE, mime_type="audio/wav"))

    async def test_embedded_resource(self) -> types.CallToolResult:
        """Give a resource."""
        return result(embedded("test://embedded-resource", "text/plain", "This is embedded."))

    async def test_multiple_content_types(self) -> types.CallToolResult:
        """Give a text, an image and a resource."""
        mixed = embedded("test://mixed-content-resource", "application/json", '{"test": "data"}')
        return result(text("Multiple content types test:"), image(), mixed)

    async def test_tool_with_logging(self, ctx: Context) -> types.CallToolResult:
        """Log three times."""
        for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await ctx.info(said)
            await asyncio.sleep(STEP)
        return result(text("logged"))

    async def test_tool_with_progress(self, ctx: Context) -> types.CallToolResult:
        """Tell of progress three times."""
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100)
            await asyncio.sleep(STEP)
        return result(text("done"))

    async def test_error_handling(self) -> types.CallToolResult:
        """Fail."""
        raise ToolError("This tool intentionally returns an error for testing")

    async def test_sampling(self, prompt: str, ctx: Context) -> types.CallToolResult:
        """Have the client ask its model."""
        asked = types.SamplingMessage(role="user", content=text(prompt))
        # On the stream of this call: the client may not have opened its own for news yet.
        said = await ctx.session.create_message(
            messages=[asked], max_tokens=100, related_request_id=ctx.request_id
        )
        return result(text(f"LLM response: {said.content.text}"))

    async def test_elicitation(self, message: str, ctx: Context) -> types.CallToolResult:
        """Have the client ask its user."""
        return result(text(f"User response: {await elicited(ctx, message, Answer)}"))

    async def test_elicitation_sep1034_defaults(self, ctx: Context) -> types.CallToolResult:
        """Ask with defaults."""
        return result(text(f"Elicitation completed: {await elicited(ctx, 'Who?', Defaults)}"))

    async def test_elicitation_sep1330_enums(self, ctx: Context) -> types.CallToolResult:
        """Ask with choices."""
        return result(text(f"Elicitation completed: {await elicited(ctx, 'Which?', Enums)}"))

    async def test_reconnection(self, ctx: Context) -> types.CallToolResult:
        """Close the stream in the middle of the call."""
        await ctx.close_sse_stream()
        await asyncio.sleep(4 * STEP)
        return result(text("Reconnection test completed"))

    async def json_schema_2020_12_tool(self, name: str = "", address: dict[str, Any] | None = None) -> types.CallToolResult:  # fmt: skip  # noqa: E501
        """Take what its schema says."""
        return result(text(name))


SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
    "additionalProperties": False,
}


def add_resources(server: MCPServer) -> None:
    @server.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        return base64.b64decode(PIXEL)

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def template(id: str) -> str:  # noqa: A002 - the suite's name
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @server.resource("test://watched-resource", mime_type="text/plain")
    def watched() -> str:
        return "watched"


def add_prompts(server: MCPServer) -> None:
    def user(content: Any) -> dict[str, Any]:
        return {"role": "user", "content": content}

    @server.prompt()
    def test_simple_prompt() -> list[dict[str, Any]]:
        """Say one thing."""
        return [user(text("This is a simple prompt for testing."))]

    @server.prompt()
    def test_prompt_with_arguments(arg1: str, arg2: str) -> list[dict[str, Any]]:
        """Say what it is given."""
        return [user(text(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))]

    @server.prompt()
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[dict[str, Any]]:  # noqa: N803 - the suite's name
        """Show a resource."""
        shown = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
        return [user(shown), user(text("Please process the embedded resource above."))]

    @server.prompt()
    def test_prompt_with_image() -> list[dict[str, Any]]:
        """Show an image."""
        return [user(image()), user(text("Please analyze the image above."))]


def add_methods(server: MCPServer) -> None:
    async def nothing(_ctx: Any, _params: Any) -> types.EmptyResult:
        return types.EmptyResult()

    for method, params in (
        ("logging/setLevel", types.SetLevelRequestParams),
        ("resources/subscribe", types.SubscribeRequestParams),
        ("resources/unsubscribe", types.UnsubscribeRequestParams),
    ):
        server._lowlevel_server.add_request_handler(method, params, nothing)

    @server.completion()
    async def complete(_ref: Any, _argument: Any, _context: Any) -> types.Completion:
        return types.Completion(values=[], total=0, has_more=False)


def build(_url: str) -> MCPServer:
    server = MCPServer("conformance-peer", version="1", log_level="ERROR")
    tools = Tools()
    for name in sorted(vars(Tools)):
        if not name.startswith("_"):
            server.add_tool(getattr(tools, name))
    server._tool_manager.get_tool(SCHEMA_TOOL).parameters = SCHEMA
    add_resources(server)
    add_prompts(server)
    add_methods(server)
    return server


if __name__ == "__main__":
    # Sampling, elicitation and logging are deprecated in the newest protocol, and served still.
    warnings.simplefilter("ignore")
    serve_built(
        build,
        HttpSettings(port=0),
        lambda at: print(json.dumps({"url": at.url}), flush=True),
        event_store=Kept(),
        retry_interval=100,
    )
    sys.exit(0)
