"""Timing of compiled ops, whole models and reading of data, beside those of other libraries."""

from mrcnn_tf.benchmark.cases import CASES, Case
from mrcnn_tf.benchmark.inference import time_inference
from mrcnn_tf.benchmark.pipeline import time_pipeline
from mrcnn_tf.benchmark.run import count_rows, find_peers, run_cases

__all__ = [
    "CASES",
    "Case",
    "count_rows",
    "find_peers",
    "run_cases",
    "time_inference",
    "time_pipeline",
]
