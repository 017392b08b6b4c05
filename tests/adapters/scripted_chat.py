"""An OpenAI-compatible server that says what it was told to say: scripted, and no model.

Each request takes the next step of the script. What was asked is kept.
"""

import asyncio
import inspect
import json
import threading
from typing import Any


class Script:
    """Steps to answer with, and the requests that came."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.hung_up = threading.Event()

    def play(self, *steps: Any) -> "Script":
        self.__init__()
        self.steps = list(steps)
        return self


def completion(*texts: str, tokens: int = 10, logprobs: Any = None, **changes: Any) -> bytes:
    """The body of a chat completions response."""
    choices = [
        {
            "index": index,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": text},
            "logprobs": logprobs,
        }
        | changes.get("choice", {})
        for index, text in enumerate(texts)
    ]
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": choices,
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": tokens,
            "total_tokens": 100 + tokens,
        },
    }
    return json.dumps(body | changes.get("body", {})).encode()


def answer(text: str, confidence: float | None = None) -> str:
    form: dict[str, Any] = {"answer": text}
    if confidence is not None:
        form["confidence"] = confidence
    return json.dumps(form)


async def hang(script: Script, request: Any) -> Any:
    from starlette.responses import Response

    while not await request.is_disconnected():  # noqa: ASYNC110 - it is all one can ask
        await asyncio.sleep(0.01)
    script.hung_up.set()
    return Response(status_code=499)


async def flood(script: Script, request: Any, size: int) -> Any:
    chunk = b" " * 65_536
    for _ in range(size // len(chunk)):
        if await request.is_disconnected():
            script.hung_up.set()
            return
        yield chunk


def application(script: Script) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    async def complete(request: Request) -> Response:
        script.requests.append(await request.json())
        script.headers.append(dict(request.headers))
        step = script.steps.pop(0)
        if inspect.isfunction(step):
            step = step(request)
        if step == "hang":
            return await hang(script, request)
        if isinstance(step, int):
            return StreamingResponse(flood(script, request, step), media_type="application/json")
        if isinstance(step, Response):
            return step
        return Response(step, media_type="application/json")

    return Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])
