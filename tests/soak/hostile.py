"""Experts that answer, sleep, fail, hang, lie and die; copied beside each panel of a soak.

What an expert does with a task follows from its moods, which stand in moods.json, and from
the draw over seed, expert and task: so a run that goes on after a kill meets the same.
"""

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path

from quorate.hub import Answer

OPTIONS = ["p", "q", "r", "s"]
TOLD = json.loads((Path(__file__).parent / "moods.json").read_text())


def truth(task):
    return OPTIONS[task % len(OPTIONS)]


def lie(task):
    """What all liars agree on."""
    return OPTIONS[(task + 1) % len(OPTIONS)]


def task_of(question):
    """The task's number, whether it is asked itself, to merge, to ratify or to advise."""
    return question["task"] if isinstance(question, dict) else question


def act(name, question):
    """Say what the expert does: seconds to sleep first, and what then."""
    task = task_of(question)
    chance = random.Random(f"{TOLD['seed']}/{name}/{task}")
    moods = TOLD["moods"][name]
    mood = chance.choices(list(moods), list(moods.values()))[0]
    seconds = chance.choice([0, 0, 0, 0.003, 0.02])
    return (TOLD["hang"] if mood == "hang" else seconds), mood, chance


def answer(name, question, mood, chance):
    task = task_of(question)
    said = lie(task) if mood == "lie" else truth(task)
    if mood == "fail":
        raise RuntimeError(f"{name} fails")
    if mood == "die":
        os._exit(9)
    if mood == "junk":
        return chance.choice([Answer(said, 7), Answer(object(), 0.5), Answer(said, 0.5, -1), 3.5])
    if isinstance(question, dict) and "ratify" in question:
        return Answer(question["ratify"] == said, 1)
    sure = 1 if mood == "lie" else chance.choice([0.5, 0.7, 0.9])
    return Answer(said, sure, chance.choice([0, 0.1]), ranking=[said] if TOLD["ranked"] else None)


def blocking(name):
    def expert(question):
        seconds, mood, chance = act(name, question)
        time.sleep(seconds)
        return answer(name, question, mood, chance)

    return expert


def awaiting(name):
    async def expert(question):
        seconds, mood, chance = act(name, question)
        await asyncio.sleep(seconds)
        return answer(name, question, mood, chance)

    return expert


def __getattr__(called):
    """``sync_NAME`` and ``async_NAME``: the expert of that name."""
    kind, _, name = called.partition("_")
    if name not in TOLD["moods"]:
        raise AttributeError(called)
    return {"sync": blocking, "async": awaiting}[kind](name)


def serve(name):
    """Answer JSON lines, as a child process does."""
    for line in sys.stdin:
        asked = json.loads(line)
        seconds, mood, chance = act(name, asked["input"])
        time.sleep(seconds)
        if mood == "junk":
            print(chance.choice(["{", '{"id": 0}', f'{{"id": {asked["id"]}, "payload": 1}}']))
        else:
            try:
                said = answer(name, asked["input"], mood, chance)
                ranking = {} if said.ranking is None else {"ranking": said.ranking}
                told = {"payload": said.payload, "confidence": said.confidence, "cost": said.cost}
                print(json.dumps({"id": asked["id"], **told, **ranking}))
            except RuntimeError as error:
                print(json.dumps({"id": asked["id"], "error": str(error)}))
        sys.stdout.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
