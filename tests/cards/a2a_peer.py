"""An A2A agent of the official SDK, in a process of its own; prints its port."""

import socket
import sys

import uvicorn
from a2a.helpers import new_data_message
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from starlette.applications import Starlette


class Judge(AgentExecutor):
    async def execute(self, context, event_queue):
        asked = context.get_user_input()
        answer = {"payload": f"judged: {asked}", "confidence": 0.75}
        await event_queue.enqueue_event(new_data_message(answer))

    async def cancel(self, context, event_queue):
        pass


def main(skill: str, version: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    card = AgentCard(
        name="judge",
        description="Judges.",
        version="1.0.0",
        default_input_modes=["text/plain"],
        default_output_modes=["application/json"],
        capabilities=AgentCapabilities(streaming=False),
        skills=[AgentSkill(id=skill, name="Judge", description="Judges.", tags=["law"])],
        supported_interfaces=[
            AgentInterface(url=f"{url}/rpc", protocol_binding="JSONRPC", protocol_version=version)
        ],
    )
    handler = DefaultRequestHandler(Judge(), InMemoryTaskStore(), card)
    routes = [
        *create_agent_card_routes(card),
        *create_jsonrpc_routes(handler, "/rpc", enable_v0_3_compat=True),
    ]
    print(port, flush=True)
    config = uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
