"""Settings of a training on the command line: `--recipe NAME key=value ...`."""

import argparse
import typing


def read_settings(args: argparse.Namespace) -> tuple[typing.Any, dict[str, typing.Any]]:
    """The recipe and the arguments of the model that `args.recipe` and `args.settings` give.

    Raises:
        ValueError: see `mrcnn_tf.training.parse_settings` and `read_recipe`.
    """
    from mrcnn_tf.models import MaskRCNN
    from mrcnn_tf.training import parse_settings, read_recipe

    return parse_settings(
        args.settings,
        MaskRCNN,
        reserved=("num_classes", "class_names", "category_ids"),
        file_settings=read_recipe(args.recipe) if args.recipe else None,
    )
