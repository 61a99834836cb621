"""`mrcnn-tf data`: verbs about data sets."""

import argparse
import importlib

# The module of an action has DESCRIPTION, EXAMPLES, `add_arguments(parser)` and
# `run(args) -> exit code`, and imports TensorFlow in `run` only.
ACTIONS = {
    "convert": ("mrcnn_tf.cli.data_convert", "write a split of a COCO folder as sharded TFRecords"),
    "preview": ("mrcnn_tf.cli.data_preview", "draw images as a training gets them"),
    "verify": ("mrcnn_tf.cli.data_verify", "find what is damaged in a folder of records"),
}

EXAMPLES = """
examples:
  mrcnn-tf data convert coco records --split instances_train2017 --keypoints
  mrcnn-tf data preview photos --split train rotation=10 copy_paste=0.5
  mrcnn-tf data verify records

"mrcnn-tf data ACTION --help" tells more about an action.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    from mrcnn_tf.cli.main import add_debug

    parser = subparsers.add_parser(
        "data",
        help="prepare data",
        description="Prepare data for training.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action, (name, summary) in ACTIONS.items():
        module = importlib.import_module(name)
        action_parser = actions.add_parser(
            action,
            help=summary,
            description=module.DESCRIPTION,
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(action_parser)
        add_debug(action_parser)
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    return importlib.import_module(ACTIONS[args.action][0]).run(args)
