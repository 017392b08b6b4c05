"""A2A agents: the official client against agents of the official server, on this machine."""

import asyncio
import threading

import pytest
from needed import cancelled_once, need

from quorate.arbitration import Arbiter
from quorate.core.errors import MisbehaviourError, OperationalError, TransportError, UsageError
from quorate.hub.experts import Answer, BareAnswer, Expert
from quorate.hub.session import Session

need("a2a.server.routes")
from a2a.helpers import (  # noqa: E402
    new_data_artifact_update_event,
    new_data_message,
    new_data_part,
    new_message,
    new_task_from_user_message,
    new_text_message,
    new_text_part,
    new_text_status_update_event,
)
from a2a.server.agent_execution import AgentExecutor  # noqa: E402
from a2a.server.request_handlers import DefaultRequestHandler  # noqa: E402
from a2a.server.routes import (  # noqa: E402
    create_agent_card_routes,
    create_jsonrpc_routes,
    create_rest_routes,
)
from a2a.server.tasks import InMemoryTaskStore  # noqa: E402
from a2a.types import (  # noqa: E402
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    TaskState,
    TaskStatus,
    TaskStatusUpdateEvent,
)
from starlette.applications import Starlette  # noqa: E402
from starlette.responses import JSONResponse, StreamingResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402

from quorate.hub.experts.a2a import A2AExpert  # noqa: E402

ANSWER = {"payload": "yes", "confidence": 0.75, "cost": 2, "tokens": 40}


class Agent(AgentExecutor):
    """Does what ``reply`` says with the queue of events, and keeps what it was asked."""

    def __init__(self):
        self.reply = None
        self.asked = []
        self.headers = []
        self.cancelled = threading.Event()

    async def execute(self, context, queue):
        self.asked.append(context.message)
        await self.reply(context, queue)

    async def cancel(self, context, queue):
        self.cancelled.set()
        status = TaskStatus(state=TaskState.TASK_STATE_CANCELED)
        await queue.enqueue_event(
            TaskStatusUpdateEvent(
                task_id=context.task_id, context_id=context.context_id, status=status
            )
        )


AGENT = Agent()


class Seen:
    """Keeps the headers of each request, and asks for a token where it is told to."""

    def __init__(self, app, token=None):
        self.app, self.token = app, token

    async def __call__(self, scope, receive, send):
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        AGENT.headers.append(headers)
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            await JSONResponse({"error": "who is there?"}, 401)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def card_of(*interfaces):
    return AgentCard(
        name="judge",
        description="answers",
        version="1",
        default_input_modes=["text"],
        default_output_modes=["text"],
        capabilities=AgentCapabilities(streaming=True),
        skills=[AgentSkill(id="judge", name="judge", description="judges", tags=["t"])],
        supported_interfaces=[
            AgentInterface(url=url, protocol_binding=binding, protocol_version="1.0")
            for url, binding in interfaces
        ],
    )


def serve_agent(serve, bindings=("JSONRPC",), token=None):
    seen = Seen(None, token)
    url = serve(seen)
    paths = {"JSONRPC": "/rpc", "HTTP+JSON": "/v1"}
    card = card_of(*[(url + paths[binding], binding) for binding in bindings])
    handler = DefaultRequestHandler(AGENT, InMemoryTaskStore(), card)
    routes = create_agent_card_routes(card)
    routes += create_jsonrpc_routes(handler, "/rpc")
    routes += create_rest_routes(handler, path_prefix="/v1")
    seen.app = Starlette(routes=routes)
    return url


@pytest.fixture(scope="module")
def url(serve):
    return serve_agent(serve)


@pytest.fixture(autouse=True)
def fresh():
    AGENT.__init__()


def says(event):
    async def reply(context, queue):
        await queue.enqueue_event(event)

    return reply


def works(*events):
    """Open a task, and end it as the events say."""

    async def reply(context, queue):
        task = new_task_from_user_message(context.message)
        await queue.enqueue_event(task)
        await asyncio.sleep(0.05)
        for event in events:
            await queue.enqueue_event(event(task.id, task.context_id))

    return reply


def status(state, text="done"):
    return lambda *ids: new_text_status_update_event(*ids, getattr(TaskState, state), text)


def ask(expert, task="Is it so?"):
    async def go():
        try:
            return await expert(task)
        finally:
            await expert.aclose()

    return asyncio.run(go())


def test_a_panel_of_three_commits_with_an_agent_in_it(url):
    AGENT.reply = says(new_data_message(ANSWER))
    agent = A2AExpert(url)
    roster = [
        Expert("agent", agent),
        Expert("one", lambda task: Answer("yes", 0.9)),
        Expert("two", lambda task: Answer("no", 0.9)),
    ]

    async def go():
        try:
            return await Session(roster, {"case": 7}).acollect()
        finally:
            await agent.aclose()

    proposals = asyncio.run(go())
    decision = Arbiter(quorum=0.6).arbitrate(proposals)
    assert decision.consensus == "yes"
    assert [each.expert_id for each in proposals] == ["agent", "one", "two"]
    assert str(proposals[0].exact_confidence) == "3/4"
    assert proposals[0].exact_cost == 2
    assert "with each answer" in agent.confidence_source
    assert AGENT.asked[0].parts[0].HasField("data")


@pytest.mark.parametrize(
    "event",
    [
        new_data_message(ANSWER),
        new_text_message('{"payload": "yes", "confidence": 0.75, "cost": 2, "tokens": 40}'),
        new_message([new_text_part("as follows"), new_data_part(ANSWER)]),
    ],
    ids=["data", "text", "both"],
)
def test_answers_in_a_message(url, event):
    AGENT.reply = says(event)
    assert ask(A2AExpert(url)) == Answer("yes", 0.75, 2, tokens=40)
    assert AGENT.asked[0].parts[0].text == "Is it so?"


@pytest.mark.parametrize("bindings", [("JSONRPC",), ("HTTP+JSON",), ("HTTP+JSON", "JSONRPC")])
def test_answers_of_a_task_over_each_binding(serve, bindings):
    url = serve_agent(serve, bindings)
    AGENT.reply = works(
        status("TASK_STATE_WORKING"),
        lambda *ids: new_data_artifact_update_event(*ids, name="answer", data=ANSWER),
        status("TASK_STATE_COMPLETED"),
    )
    assert ask(A2AExpert(url)) == Answer("yes", 0.75, 2, tokens=40)


def test_a_task_without_artifact_answers_in_its_last_status(url):
    AGENT.reply = works(status("TASK_STATE_COMPLETED", '{"payload": [1], "confidence": "1/3"}'))
    got = ask(A2AExpert(url))
    assert (got.payload, str(got.confidence)) == ([1], "1/3")


def test_a_payload_of_declared_confidence(url):
    AGENT.reply = says(new_text_message("yes, it is"))
    agent = A2AExpert(url, reads="payload")
    assert ask(agent) == BareAnswer("yes, it is")
    assert agent.confidence_source == "the panel declares it"
    AGENT.reply = says(new_data_message({"n": 3, "x": 0.5, "l": [1, None, True]}))
    got = ask(A2AExpert(url, reads="payload"))
    assert got.payload == {"n": 3, "x": 0.5, "l": [1, None, True]}
    assert type(got.payload["n"]) is int
    proposals = Session([Expert("a", agent, confidence=0.5)], 1).collect()
    assert proposals[0].payload["n"] == 3
    asyncio.run(agent.aclose())


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (new_text_message("yes"), "declare reads = 'payload'"),
        (new_data_message({"answer": "yes"}), "payload"),
        (new_data_message(["yes"]), "the answer"),
        (new_message([new_data_part(ANSWER), new_data_part(ANSWER)]), "2 JSON values"),
        (new_message([new_text_part("a"), new_text_part("b")]), "2 texts"),
        (new_data_message({"payload": 1, "confidence": "x"}), "confidence"),
    ],
)
def test_what_is_no_answer_is_void(url, event, why):
    AGENT.reply = says(event)
    with pytest.raises(MisbehaviourError, match=why):
        ask(A2AExpert(url))
    assert len(AGENT.asked) == 1


@pytest.mark.parametrize("state", ["TASK_STATE_FAILED", "TASK_STATE_REJECTED"])
def test_a_failed_task_is_a_crash(url, state):
    AGENT.reply = works(status(state, "out of paper"))
    with pytest.raises(TransportError, match=f"{state}: out of paper"):
        ask(A2AExpert(url))


def test_a_task_that_asks_back_is_void(url):
    AGENT.reply = works(status("TASK_STATE_INPUT_REQUIRED", "which one?"))
    with pytest.raises(MisbehaviourError, match="INPUT_REQUIRED"):
        ask(A2AExpert(url))


def test_an_agent_that_raises_is_a_crash_and_asked_once(url):
    async def fail(context, queue):
        raise RuntimeError("boom")

    AGENT.reply = fail
    with pytest.raises(TransportError, match="could not be asked"):
        ask(A2AExpert(url))
    assert len(AGENT.asked) == 1


def test_a_late_agent_is_absent_and_its_task_cancelled(url):
    async def dawdle(context, queue):
        await queue.enqueue_event(new_task_from_user_message(context.message))
        await asyncio.sleep(60)

    AGENT.reply = dawdle
    agent = A2AExpert(url)
    got = Session([Expert("agent", agent, timeout=0.5)], "?").collect()
    assert got.absent[0].reason == "timeout"
    asyncio.run(agent.aclose())
    AGENT.__init__()
    AGENT.reply = dawdle
    # The second request is that for the task, which the agent has opened then.
    assert cancelled_once(
        agent, lambda: len([h for h in AGENT.headers if "content-length" in h]) > 1
    )
    assert AGENT.cancelled.wait(60)


def test_the_token_goes_to_the_agent_and_into_no_record(serve, token, monkeypatch):
    url = serve_agent(serve, token=token)
    AGENT.reply = says(new_data_message(ANSWER))
    agent = A2AExpert(url, bearer_env="EXPERT_TOKEN")
    assert ask(agent).payload == "yes"
    assert {each.get("authorization") for each in AGENT.headers} == {f"Bearer {token}"}
    assert token not in repr(agent)
    AGENT.reply = says(new_text_message(f'{{"payload": "{token}", "confidence": 1}}'))
    with pytest.raises(MisbehaviourError, match="holds the secret"):
        ask(agent)
    with pytest.raises(TransportError, match="401"):
        ask(A2AExpert(url))
    monkeypatch.delenv("EXPERT_TOKEN")
    with pytest.raises(OperationalError, match="EXPERT_TOKEN is not set"):
        ask(A2AExpert(url, bearer_env="EXPERT_TOKEN"))


def test_a_card_cannot_send_task_and_token_elsewhere(serve, url, token):
    routes = create_agent_card_routes(card_of((f"{url}/rpc", "JSONRPC")))
    elsewhere = serve(Starlette(routes=routes))
    AGENT.reply = says(new_data_message(ANSWER))
    with pytest.raises(MisbehaviourError, match="its card sends calls to"):
        ask(A2AExpert(elsewhere, bearer_env="EXPERT_TOKEN"))
    assert AGENT.headers == []


def test_an_endless_answer_is_broken_off(serve):
    async def app(scope, receive, send):
        async def flood():
            for _ in range(1600):
                yield b" " * 65_536
                await asyncio.sleep(0)

        await StreamingResponse(flood())(scope, receive, send)

    with pytest.raises(MisbehaviourError, match="over 4194304 bytes"):
        ask(A2AExpert(serve(app)))


@pytest.mark.parametrize("body", [{}, {"jsonrpc": "2.0", "result": {"message": 5}}, [], "x"])
def test_a_response_that_is_none_is_told(serve, body):
    seen = Seen(None)
    url = serve(seen)

    async def rpc(request):
        return JSONResponse(body)

    routes = create_agent_card_routes(card_of((f"{url}/rpc", "JSONRPC")))
    seen.app = Starlette(routes=[*routes, Route("/rpc", rpc, methods=["POST"])])
    with pytest.raises((MisbehaviourError, TransportError)):
        ask(A2AExpert(url))


def test_nobody_there_is_a_crash():
    with pytest.raises(TransportError, match="could not be asked"):
        ask(A2AExpert("http://127.0.0.1:9"))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"url": "file:///x"}, "https://host"),
        ({"url": 5}, "https://host"),
        ({"url": "http://10.1.1.1", "bearer_env": "T"}, "plain http"),
        ({"reads": "text"}, "'answer' or 'payload'"),
    ],
)
def test_options_that_cannot_be_used(options, why):
    with pytest.raises(UsageError, match=why):
        A2AExpert(**{"url": "http://127.0.0.1"} | options)
