"""Second, plain versions of the rules over many tokens: loops, dicts and Python numbers."""

import math
from collections import Counter
from statistics import median


def route_batch(votes, experts, quorum):
    """``votes[i][t]`` as Python integers: per token (expert, count), and dissent and void."""
    # An expert's number is an int64 in the result.
    limit = min(2**63, experts or 2**63)
    tokens = []
    dissent = [0] * len(votes)
    void = [0] * len(votes)
    for column in zip(*votes, strict=True):
        tally = Counter(int(vote) for vote in column if 0 <= vote < limit)
        most = max(tally.values(), default=0)
        winner = next((key for key, count in tally.items() if count >= quorum), -1)
        tokens.append((winner, most))
        for replica, vote in enumerate(column):
            void[replica] += not 0 <= vote < limit
            dissent[replica] += winner != -1 and int(vote) != winner
    return tokens, dissent, void


def best(row, k):
    """The k best indices, ties to the lowest."""
    return sorted(range(len(row)), key=lambda e: (-row[e], e))[:k]


def softmax(row):
    most = max(row)
    masses = [math.exp(x - most) for x in row]
    return [mass / sum(masses) for mass in masses]


def route_logits(logits, rule, faults, quorum, k):
    """``logits[i][t][e]``; rule "median" or "vote": a dict of lists."""
    n, tokens, length = len(logits), len(logits[0]), len(logits[0][0])
    out = {"experts": [], "weights": [], "consensus": [], "support": []}
    dissent, dropped = [0] * n, [0] * n
    squares, terms = [0.0] * n, [0] * n
    for t in range(tokens):
        rows = {i: logits[i][t] for i in range(n) if all(map(math.isfinite, logits[i][t]))}
        for i in range(n):
            dropped[i] += i not in rows
        own = {i: best(row, k) for i, row in rows.items()}
        fused = None
        if rule == "vote":
            sets = Counter(frozenset(chosen) for chosen in own.values())
            support = max(sets.values(), default=0)
            agreed = support >= quorum
            if agreed:
                winner = next(s for s, count in sets.items() if count == support)
                backers = [i for i in own if frozenset(own[i]) == winner]
                fused = {e: median([rows[i][e] for i in backers]) for e in winner}
                chosen = sorted(winner, key=lambda e: (-fused[e], e))
        else:
            agreed, support = False, 0
            if n - len(rows) <= faults and rows:
                fused = {e: median([row[e] for row in rows.values()]) for e in range(length)}
                chosen = best([fused[e] for e in range(length)], k)
                support = sum(set(mine) == set(chosen) for mine in own.values())
                agreed = support >= quorum
        if fused is not None:
            for i, row in rows.items():
                squares[i] += sum((row[e] - fused[e]) ** 2 for e in fused)
                terms[i] += len(fused)
        out["experts"].append(chosen if agreed else [-1] * k)
        out["weights"].append(softmax([fused[e] for e in chosen]) if agreed else [0.0] * k)
        out["consensus"].append(agreed)
        out["support"].append(support)
        for i in range(n):
            dissent[i] += agreed and (i not in own or set(own[i]) != set(chosen))
    out["deviation"] = [
        math.sqrt(s / count) if count else math.inf for s, count in zip(squares, terms, strict=True)
    ]
    return {**out, "dissent": dissent, "dropped": dropped}


def assign(scores, k, capacity):
    """Token after token, slot after slot: experts [T][k], places [T][k], load, drops, moves."""
    load = [0] * len(scores[0])
    experts, places, dropped, rerouted = [], [], 0, 0
    for row in scores:
        mine = []
        for e in best(row, len(row)):
            if len(mine) < k and load[e] < capacity and row[e] > -math.inf:
                mine.append(e)
        where = [load[e] for e in mine]
        for e in mine:
            load[e] += 1
        dropped += k - len(mine)
        rerouted += len(set(mine) - set(best(row, k)))
        experts.append(mine + [-1] * (k - len(mine)))
        places.append(where + [-1] * (k - len(mine)))
    return experts, places, load, dropped, rerouted


def load_balancing_loss(probabilities, experts, form):
    count = len(probabilities[0])
    routed = [(p, e) for p, e in zip(probabilities, experts, strict=True) if max(e) >= 0]
    if form == "gshard":
        routed = [(p, e[:1]) for p, e in zip(probabilities, experts, strict=True) if e[0] >= 0]
    slots = [e for _, chosen in routed for e in chosen if e >= 0]
    return count * sum(
        slots.count(e) / len(slots) * sum(p[e] for p, _ in routed) / len(routed)
        for e in range(count)
    )


def z_loss(logits):
    return sum(math.log(sum(map(math.exp, row))) ** 2 for row in logits) / len(logits)
