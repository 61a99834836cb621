"""TF Serving's Predict interface around TensorFlow in Python, for tests of requests and clients.

Requests and answers are TF Serving's own messages; JSON becomes tensors by the rules of its REST
interface, by the types and names in the SavedModel's signatures.
"""

import base64
import contextlib
import http.server
import json
import threading
from concurrent import futures

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


class Refused(ValueError):
    """What the server answers INVALID_ARGUMENT or NOT_FOUND to."""


class ModelServer(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, folder):
        self.name = folder.parent.name
        self.loaded = tf.saved_model.load(str(folder))
        graph = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
        self.signatures = graph.meta_graphs[0].signature_def

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """Runs a request, as the server does for gRPC, for REST and for the warm-up."""
        signature = request.model_spec.signature_name or "serving_default"
        if request.model_spec.name != self.name:
            raise Refused(f"Servable not found for request: Latest({request.model_spec.name})")
        if signature not in self.signatures:
            raise Refused(f"Serving signature name: {signature} not found in signature def")
        definition = self.signatures[signature]
        if set(request.inputs) != set(definition.inputs):
            raise Refused(f"input names {set(request.inputs)} are not {set(definition.inputs)}")
        inputs = {}
        for name, proto in request.inputs.items():
            if proto.dtype != definition.inputs[name].dtype:
                raise Refused(f"{name} has type {proto.dtype}")
            inputs[name] = tf.constant(tf.make_ndarray(proto))
        try:
            outputs = self.loaded.signatures[signature](**inputs)
        except tf.errors.InvalidArgumentError as error:
            raise Refused(error.message) from error
        response = predict_pb2.PredictResponse()
        response.model_spec.CopyFrom(request.model_spec)
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response

    def Predict(self, request, context):
        try:
            return self.predict(request)
        except Refused as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    def request_of_json(self, body: dict) -> predict_pb2.PredictRequest:
        """A request in rows, `{"instances": [...]}`, as the REST interface reads it."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self.name
        signature = body.get("signature_name", "serving_default")
        request.model_spec.signature_name = signature
        inputs = self.signatures[signature].inputs
        for name, info in inputs.items():
            values = [
                instance[name] if _is_named(instance) else instance
                for instance in body["instances"]
            ]
            if len(inputs) > 1 and not all(_is_named(row) for row in body["instances"]):
                raise Refused("a signature of several inputs takes objects by their names")
            request.inputs[name].CopyFrom(_tensor(values, info.dtype))
        return request

    def rest(self, body: dict) -> dict:
        # Over the wire and back, as the message goes from the REST handler to the model.
        request = predict_pb2.PredictRequest.FromString(
            self.request_of_json(body).SerializeToString()
        )
        outputs = {
            name: tf.make_ndarray(value) for name, value in self.predict(request).outputs.items()
        }
        batches = {len(value) for value in outputs.values()}
        assert batches == {len(body["instances"])}, "the server refuses to split such outputs"
        return {
            "predictions": [
                {name: value[i].tolist() for name, value in outputs.items()}
                for i in range(len(body["instances"]))
            ]
        }

    @contextlib.contextmanager
    def listening(self):
        """Addresses of the REST and of the gRPC interface."""
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                code, answer = 200, None
                try:
                    if self.path != f"/v1/models/{server.name}:predict":
                        raise Refused(f"Servable not found for {self.path}")
                    answer = server.rest(body)
                except Refused as error:
                    code, answer = 400, {"error": str(error)}
                self.send_response(code)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *args):
                pass

        rest = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        rpc = grpc.server(
            futures.ThreadPoolExecutor(1), options=[("grpc.max_send_message_length", -1)]
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(self, rpc)
        port = rpc.add_insecure_port("127.0.0.1:0")
        rpc.start()
        thread = threading.Thread(target=rest.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{rest.server_port}", f"127.0.0.1:{port}"
        finally:
            rest.shutdown()
            thread.join()
            rest.server_close()
            rpc.stop(None).wait()


def _is_named(instance) -> bool:
    # An object of the one key "b64" is a value, bytes in base64.
    return isinstance(instance, dict) and set(instance) != {"b64"}


def _tensor(values: list, dtype: int) -> tensor_pb2.TensorProto:
    """Nested lists of JSON as a tensor of a type."""
    proto = tensor_pb2.TensorProto(dtype=dtype)
    if dtype == tf.string.as_datatype_enum:
        proto.tensor_shape.dim.add(size=len(values))
        for value in values:
            is_bytes = isinstance(value, dict)
            text = base64.b64decode(value["b64"], validate=True) if is_bytes else value.encode()
            proto.string_val.append(text)
        return proto
    array = np.array(values)
    if array.dtype.kind == "f" and tf.as_dtype(dtype).is_integer:
        raise Refused("a number with a fraction where an integer is expected")
    for side in array.shape:
        proto.tensor_shape.dim.add(size=side)
    field = proto.int_val if tf.as_dtype(dtype).is_integer else proto.float_val
    field.extend(array.ravel().tolist())
    return proto
