"""How well z tells what is in the demo's clip from what is not, for several bounds.

vsdb demo && python benchmarks/no_match.py --dsn "$(vsdb db dsn)"
"""

from __future__ import annotations

import argparse
import json

import vsdb
from vsdb.demo import TRUTH, true_intervals

BOUNDS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)


def best_z(index: vsdb.Index, prompts: list[str]) -> list[float]:
    """z of the best moment of each prompt."""
    return [index.search(prompt, max_moments=1, min_z=float("-inf"))[0].z or 0.0 for prompt in prompts]


def main() -> None:
    """Print a table: share of present things found and of absent things refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dsn", required=True)
    with vsdb.connect(dsn=parser.parse_args().dsn) as index:
        present = list(true_intervals())
        neutral = [row[0] for row in index.connection.execute("select prompt from vsdb.neutral_prompts")]
        listed = json.loads(TRUTH.read_text(encoding="utf-8"))["absent_prompts"]
        absent = sorted({*neutral, *listed} - set(present))
        found, refused = best_z(index, present), best_z(index, absent)
    print(f"| z | of {len(present)} present found | of {len(absent)} absent refused |\n|---|---|---|")
    for bound in BOUNDS:
        share_found = sum(z >= bound for z in found) / len(found)
        share_refused = sum(z < bound for z in refused) / len(refused)
        print(f"| {bound:g} | {share_found:.1%} | {share_refused:.1%} |")


if __name__ == "__main__":
    main()
