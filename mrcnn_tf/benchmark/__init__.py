"""Timing of the compiled ops beside their plain twins, `tf.image` and torchvision."""

from mrcnn_tf.benchmark.cases import CASES, Case
from mrcnn_tf.benchmark.run import count_rows, find_peers, run_cases

__all__ = ["CASES", "Case", "count_rows", "find_peers", "run_cases"]
