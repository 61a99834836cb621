"""`mrcnn-tf info`: what this installation consists of."""

import argparse
import json

EXAMPLES = """
examples:
  mrcnn-tf info
  mrcnn-tf info --json > environment.json
"""


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "info",
        help="show versions, compiled ops, devices and recipes",
        description="Show the versions in use, whether the ops are compiled, devices and recipes.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    facts = collect()
    if args.json:
        print(json.dumps(facts, indent=1))
        return 0
    ops = facts["ops"]
    lines = [(name, facts[name]) for name in ("mrcnn_tf", "python", "tensorflow", "keras")]
    if ops["compiled"]:
        lines.append(("ops", f"compiled for TensorFlow {ops['built_for']} ({ops['path']})"))
    else:
        lines.append(("ops", f"plain TensorFlow, which is slower: {ops['reason']}"))
        lines.append(("", f"compile them with: {ops['rebuild']}"))
    lines += [(device["type"], device["name"]) for device in facts["devices"]]
    lines += [("recipe", f"{row['name']}: {row['published']}") for row in facts["recipes"]]
    for name, value in lines:
        print(f"{name:<12}{value}")
    return 0


def collect() -> dict:
    """What `environment` tells, and the recipes."""
    from mrcnn_tf.environment import environment
    from mrcnn_tf.training import list_recipes

    return {**environment(), "recipes": [recipe._asdict() for recipe in list_recipes()]}
