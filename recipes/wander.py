"""Print random live events without end, one JSON object a line, for `--timeline -`.

    python recipes/wander.py | lingbot stream samples/courtyard-day.png --timeline - --to null:

Any program can control a stream in this way: a chat, a game pad, the weather.
"""

import argparse
import json
import random
import time

WORDS = ("it starts to rain", "the sun breaks through", "a mist comes up", "the lamps are lit")


def main() -> None:
    """Print the next event every few seconds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompt", default="a stone courtyard")
    parser.add_argument("--every", type=float, default=4.0, help="seconds between two events")
    parser.add_argument("--events", type=int, help="number of events; default: without end")
    parser.add_argument("--seed", type=int)
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)
    print(json.dumps({"timeline": 1, "prompt": chosen.prompt}), flush=True)
    count = 0
    while chosen.events is None or count < chosen.events:
        kind = chance.choice(("walk", "walk", "turn", "turn", "rest", "prompt"))
        if kind == "walk":
            event = {"keys": chance.choice(("w", "w", "wa", "wd", "s"))}
        elif kind == "turn":
            event = {"turn": {"yaw": chance.choice((-90, -45, 45, 90))}, "for": "3s", "ease": "in-out"}
        elif kind == "rest":
            event = {"keys": ""}
        else:
            event = {"prompt": f"{chosen.prompt}, {chance.choice(WORDS)}"}
        print(json.dumps(event), flush=True)
        count += 1
        time.sleep(chosen.every)


if __name__ == "__main__":
    main()
