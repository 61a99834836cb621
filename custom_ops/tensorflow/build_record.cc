// Tells what this library was built for. mrcnn_tf/ops/loader.py reads it from the file before it
// opens the library: the C++ interface of another TensorFlow release would not fit.
extern "C" __attribute__((used, visibility("default"))) const char mrcnn_tf_build_record[] =
    "MRCNN_TF_BUILD_RECORD{\"tensorflow\": \"" MRCNN_TENSORFLOW_VERSION "\", \"compiler\": \""
    MRCNN_COMPILER "\"}";
