import pytest

from mrcnn_tf.export.runtimes.chromium import find_chromium


def require_chromium():
    """Skips a test where there is no browser to run it in."""
    try:
        find_chromium()
    except FileNotFoundError as error:
        pytest.skip(str(error))
