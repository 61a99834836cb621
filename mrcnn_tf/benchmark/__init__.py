"""Timing of the compiled ops and of whole models, beside their plain twins and other libraries."""

from mrcnn_tf.benchmark.cases import CASES, Case
from mrcnn_tf.benchmark.inference import time_inference
from mrcnn_tf.benchmark.run import count_rows, find_peers, run_cases

__all__ = ["CASES", "Case", "count_rows", "find_peers", "run_cases", "time_inference"]
