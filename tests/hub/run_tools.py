"""Experts of runs, and what came of a run."""

import json

CODE = """
import asyncio, threading, time

lock = threading.Lock()
seen, now, most = [], 0, 0
let_go = threading.Event()

def echo(task):
    seen.append(task)
    return task

def count(task):
    global now, most
    with lock:
        now += 1
        most = max(most, now)
    time.sleep(0.002)
    with lock:
        now -= 1
    return task

async def shuffled(task):
    await asyncio.sleep(0.02 if task % 3 == 0 else 0)
    return task

def hang(task):
    let_go.wait(30)
    return task

def first_waits(task):
    if task == 0:
        let_go.wait(30)
    return task

async def hang_async(task):
    await asyncio.sleep(3600)
"""


def calling(*names, more=""):
    return {
        f"{name}{n}": f'call = "experts:{name}"\nconfidence = 1\n{more}'
        for n, name in enumerate(names)
    }


def task_lines(numbers):
    return [json.dumps({"id": f"t{n}", "input": n}) for n in numbers]


def decided(folder):
    return [json.loads(line) for line in folder.out_path.read_text().splitlines()]


def kinds(folder):
    with folder.open_ledger() as ledger:
        ledger.verify(replay=True)
        return [receipt.kind for receipt in ledger]
