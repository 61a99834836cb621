"""Models as files for other programs, which need neither this package nor Keras."""

from mrcnn_tf.export.formats import FORMATS, check_format, export_model, format_arguments
from mrcnn_tf.export.labels import model_labels
from mrcnn_tf.export.litert import save_litert
from mrcnn_tf.export.litert_custom import litert_delegate
from mrcnn_tf.export.portable import Portable, portable_function, read_portable
from mrcnn_tf.export.saved_model import save_saved_model
from mrcnn_tf.export.serving import SIGNATURES, images_spec, serving_functions, trace_model
from mrcnn_tf.export.signatures import custom_ops, describe_saved_model
from mrcnn_tf.export.stored_weights import StoredWeights
from mrcnn_tf.export.target import check_target
from mrcnn_tf.export.tfjs import save_tfjs
from mrcnn_tf.export.web import save_web

__all__ = [
    "FORMATS",
    "SIGNATURES",
    "Portable",
    "StoredWeights",
    "check_format",
    "check_target",
    "custom_ops",
    "describe_saved_model",
    "export_model",
    "format_arguments",
    "images_spec",
    "litert_delegate",
    "model_labels",
    "portable_function",
    "read_portable",
    "save_litert",
    "save_saved_model",
    "save_tfjs",
    "save_web",
    "serving_functions",
    "trace_model",
]
