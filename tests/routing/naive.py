"""A second, plain version of the round rules: a dict and loops, written from the rules' prose."""


def run(roster, size, experts, casts):
    """Play ``casts`` (pairs replica, proposal); strangers are skipped, as refused.

    Returns (decided, votes, equivocating).
    """
    heard = {}  # replica -> list of different proposals, in the order they came
    kept = set()  # whose vote was in a decided round when they were caught
    decided = None
    for replica, proposal in casts:
        if replica not in roster:
            continue
        said = heard.setdefault(replica, [])
        if proposal in said or len(said) == 2:
            continue
        said.append(proposal)
        if len(said) == 2 and decided is not None:
            kept.add(replica)
        if decided is None:
            for candidate in experts:
                supporters = [r for r in heard if heard[r] == [candidate]]
                if len(supporters) >= size:
                    decided = candidate
    votes = {r: said[0] for r, said in heard.items() if len(said) == 1 or r in kept}
    return decided, votes, {r for r, said in heard.items() if len(said) == 2}
