"""What a run of the package depends on: versions, compiled ops, devices."""

import platform


def environment() -> dict:
    """Versions, the state of the compiled ops, and the devices TensorFlow sees."""
    import keras
    import tensorflow as tf

    import mrcnn_tf
    from mrcnn_tf.ops.loader import rebuild_command, status

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
    }
