"""`mrcnn-tf info`: what this installation consists of."""

import argparse
import json
import platform

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
    """Versions, the state of the compiled ops, devices that TensorFlow sees, and recipes."""
    import keras
    import tensorflow as tf

    import mrcnn_tf
    from mrcnn_tf.ops.loader import rebuild_command, status
    from mrcnn_tf.training import list_recipes

    ops = status()
    if not ops["compiled"]:
        ops["rebuild"] = rebuild_command()
    devices = []
    for device in tf.config.list_physical_devices():
        name = tf.config.experimental.get_device_details(device).get("device_name", device.name)
        devices.append({"type": device.device_type, "name": name})
    return {
        "mrcnn_tf": mrcnn_tf.__version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "ops": ops,
        "devices": devices,
        "recipes": [recipe._asdict() for recipe in list_recipes()],
    }
