"""Exported models in the programs that run them, all called alike."""

from mrcnn_tf.export.runtimes.litert import LiteRTRuntime
from mrcnn_tf.export.runtimes.runtime import Runtime
from mrcnn_tf.export.runtimes.saved_model import SavedModelRuntime
from mrcnn_tf.export.runtimes.tfjs import TfjsChromiumRuntime, TfjsNodeRuntime
from mrcnn_tf.export.runtimes.web import WebRuntime

__all__ = [
    "LiteRTRuntime",
    "Runtime",
    "SavedModelRuntime",
    "TfjsChromiumRuntime",
    "TfjsNodeRuntime",
    "WebRuntime",
]
