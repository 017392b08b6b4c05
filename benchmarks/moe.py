"""What a quorum of gates costs beside the one gate of the model: ``python -m benchmarks.moe``.

The gate alone, and the whole Mixture-of-Experts layer around it, at hidden size 1024 with 8
and 64 experts, on the CPU and, where there is one, on a CUDA device. The ratio is that of
rates: 0.5 means that the hardened one takes twice as long.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import Figure, Settings, Step, rate_of, side_by_side

SUBJECT: Final = "quorum of gates"
HIDDEN: Final = 1024
PLAIN: Final = "the model's own"


def steps(settings: Settings) -> list[Step]:
    """Gate and layer, of 8 and of 64 experts, on each device there is; none without PyTorch."""
    if not _installed():
        return []
    return [
        Step(
            f"gates, {experts} experts, {device}",
            lambda experts=experts, device=device: _measured(settings, experts, device),  # type: ignore[misc]
        )
        for device in _devices()
        for experts in (8, 64)
    ]


def _installed() -> bool:
    return all(importlib.util.find_spec(name) for name in ("torch", "transformers"))


def _devices() -> list[str]:
    import torch

    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def _block(experts: int, device: str) -> Any:
    """A layer as Transformers builds it: Mixtral's of 8 experts, Qwen3's of 64, 2 and 8 chosen."""
    import torch
    import transformers
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock
    from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock

    torch.manual_seed(1)
    if experts == 8:
        block = MixtralSparseMoeBlock(
            transformers.MixtralConfig(
                hidden_size=HIDDEN, intermediate_size=1024, num_local_experts=8
            )
        )
    else:
        block = Qwen3MoeSparseMoeBlock(
            transformers.Qwen3MoeConfig(
                hidden_size=HIDDEN,
                moe_intermediate_size=384,
                num_experts=experts,
                num_experts_per_tok=8,
            )
        )
    holder = torch.nn.ModuleDict({"mlp": block})
    with torch.no_grad():
        for values in holder.parameters():
            values.normal_(0, 0.02)
    return holder.eval().to(device)


@contextmanager
def _hardened(model: Any, replicas: int, lie: str | None) -> Iterator[None]:
    from quorate.moe import harden, restore

    # Checks of the weights are left out: they come once in hundreds of passes.
    harden(model, replicas=replicas, scrub_every=None)
    if lie is not None:
        model.mlp.gate.replica_tensors(1)["weight"].fill_(float(lie))
    yield
    restore(model)


def _measured(settings: Settings, experts: int, device: str) -> list[Figure]:
    import torch

    model = _block(experts, device)
    figures = []
    # A prompt, and one step of generation for a batch.
    for tokens, repeats in ((512, 3), (8, 60)):
        hidden = torch.randn(1, tokens, HIDDEN, device=device)
        for part, more in (("gate", 5), ("layer", 1)):
            call = _call(model, part, hidden)
            count = settings.units(repeats * more)
            figures += _compared(settings, model, call, tokens, count, (part, experts, device))
    return figures


def _call(model: Any, part: str, hidden: Any) -> Callable[[], object]:
    if part == "gate":
        return lambda: model.mlp.gate(hidden.view(-1, HIDDEN))
    return lambda: model.mlp(hidden)


def _compared(
    settings: Settings,
    model: Any,
    call: Callable[[], object],
    tokens: int,
    count: int,
    what: tuple[str, int, str],
) -> list[Figure]:
    import torch

    name, experts, device = what

    def work() -> None:
        with torch.inference_mode():
            for _ in range(count):
                call()
            if device == "cuda":
                torch.cuda.synchronize()

    def under(replicas: int, lie: str | None) -> Callable[[], float]:
        def turn() -> float:
            with _hardened(model, replicas, lie):
                work_once(call)
                return rate_of(count * tokens, work)

        return turn

    cases = {
        "n=4": under(4, None),
        "n=7": under(7, None),
        "n=4, one sends NaN": under(4, "nan"),
    }
    turns = side_by_side({PLAIN: lambda: rate_of(count * tokens, work), **cases}, settings.turns)
    title = f"{name}, {experts} experts, {tokens} tokens, {device}"
    return [
        turns.compare(each, PLAIN, subject=SUBJECT, unit="tokens/s", title=f"{title}, {each}")
        for each in cases
    ]


def work_once(call: Callable[[], object]) -> None:
    """Call once without measuring: what is made at the first call is not what it costs."""
    import torch

    with torch.inference_mode():
        call()


def main() -> None:
    """Measure and print one line for each figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.moe", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns, less work in each")
    settings = Settings(parser.parse_args().quick, Path(tempfile.gettempdir()))
    if not _installed():
        print('skipped: PyTorch or Transformers is missing; pip install "quorate[moe]"')
        return
    import torch

    # On a busy machine threads that wait for one another measure the waiting.
    torch.set_num_threads(1)
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} thread, float32")
    if "cuda" not in _devices():
        print("skipped on CUDA: there is no such device")
    for step in steps(settings):
        for figure in step.run():
            print(f"{figure.name:58} {_ratio(figure)}", flush=True)


def _ratio(figure: Figure) -> str:
    if figure.ratio is None:
        return ""
    ratio = figure.ratio
    return (
        f"{ratio.median:.2f} of the plain rate ({ratio.least:.2f} to {ratio.most:.2f}), "
        f"{1 / ratio.median:.2f} times as long"
    )


if __name__ == "__main__":
    main()
