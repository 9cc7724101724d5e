"""Dictionaries, strings, lists and JSON: what a script that serves data does."""

import json
import zlib

CITIES = ["Aachen", "Bergen", "Cork", "Delft", "Espoo", "Faro", "Ghent", "Horta"]


def number(seed):
    """A linear congruential generator (Knuth's MMIX): the same on any machine."""
    while True:
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        yield seed >> 33


def person(n, draw):
    tags = [f"tag{next(draw) % 500}" for _ in range(next(draw) % 8)]
    text = " ".join(CITIES[next(draw) % 8] for _ in range(next(draw) % 60))
    return {"id": n, "name": f"person {n}", "tags": tags, "text": text, "score": n / 7}


draw = number(1)
people = [person(n, draw) for n in range(20_000)]

# Out to text, and in again: one large string, then many small objects.
text = json.dumps(people)
copy = json.loads(text)
assert copy == people

# An index of lists that grow side by side.
by_tag = {}
for one in copy:
    for tag in one["tags"]:
        by_tag.setdefault(tag, []).append(one["name"])

# Lines of all lengths, joined, packed and split.
lines = [",".join(names[: next(draw) % 200]) for names in by_tag.values() for _ in range(20)]
page = "\n".join(lines)
packed = [zlib.compress(line.encode(), 1) for line in lines[::4]]
words = page.replace("person ", "p").split(",")

print(len(text), len(by_tag), len(page), len(words), sum(map(len, packed)))
