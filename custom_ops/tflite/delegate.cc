// An external delegate for LiteRT, that runs the custom operators of a model with our kernels.

#include <algorithm>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../kernels/threads.h"
#include "operators.h"
#include "tflite_abi.h"

namespace mrcnn::tflite {
namespace {

struct Step {
  std::string name;
  std::unique_ptr<Operator> op;
  std::vector<int> inputs, outputs;  // of tensors in the context
};

// Nodes that follow each other. Tensors between them, and those that nobody reads, have no memory
// in the context.
struct Group {
  std::vector<Step> steps;
  std::map<int, std::vector<int32_t>> own;  // all elements are of 4 bytes
};

std::vector<int> AsVector(const IntArray* array) {
  return {array->data, array->data + array->size};
}

View ViewOf(const Context* context, int index) {
  const Tensor& tensor = context->tensors[index];
  const std::vector<int> dims = AsVector(tensor.dims);
  return {{dims.begin(), dims.end()}, tensor.type == kFloat32, tensor.data};
}

std::vector<View> Views(const Context* context, Group* group, const std::vector<int>& indices) {
  std::vector<View> views;
  for (int index : indices) {
    views.push_back(ViewOf(context, index));
    const auto own = group->own.find(index);
    if (own != group->own.end()) views.back().data = own->second.data();
  }
  return views;
}

void* Init(Context* context, const char* buffer, size_t) {
  const auto* params = reinterpret_cast<const DelegateParams*>(buffer);
  auto group = std::make_unique<Group>();
  const std::vector<int> visible = AsVector(params->output_tensors);
  for (int index : AsVector(params->nodes_to_replace)) {
    Node* node = nullptr;
    Registration* registration = nullptr;
    if (context->GetNodeAndRegistration(context, index, &node, &registration) != kOk) continue;
    Step step;
    step.name = registration->custom_name;
    step.op = MakeOperator(step.name, node->custom_initial_data, node->custom_initial_data_size);
    step.inputs = AsVector(node->inputs);
    step.outputs = AsVector(node->outputs);
    for (int output : step.outputs) {
      if (std::count(visible.begin(), visible.end(), output) == 0) group->own[output];
    }
    group->steps.push_back(std::move(step));
  }
  return group.release();
}

void Free(Context*, void* group) { delete static_cast<Group*>(group); }

Status Prepare(Context* context, Node* node) {
  auto* group = static_cast<Group*>(node->user_data);
  for (auto& [index, memory] : group->own) {
    int64_t size = 1;
    for (int64_t dim : ViewOf(context, index).shape) size *= dim;
    memory.resize(size);
  }
  for (const Step& step : group->steps) {
    std::string wrong = "settings";
    for (const auto& indices : {step.inputs, step.outputs}) {
      for (int index : indices) {
        const int type = context->tensors[index].type;
        if (type != kFloat32 && type != kInt32) wrong = "types";
      }
    }
    if (step.op && wrong != "types") {
      wrong =
          step.op->Check(Views(context, group, step.inputs), Views(context, group, step.outputs));
    }
    if (!wrong.empty()) {
      context->ReportError(context, "%s: its %s are not those that mrcnn-tf writes",
                           step.name.c_str(), wrong.c_str());
      return kError;
    }
  }
  return kOk;
}

Status Invoke(Context* context, Node* node) {
  auto* group = static_cast<Group*>(node->user_data);
  const ParallelFor threads = Threads(context->recommended_num_threads);
  for (const Step& step : group->steps) {
    try {
      step.op->Run(Views(context, group, step.inputs), Views(context, group, step.outputs),
                   threads);
    } catch (const std::exception& error) {  // out of memory
      context->ReportError(context, "%s: %s", step.name.c_str(), error.what());
      return kError;
    }
  }
  return kOk;
}

Status TakeNodes(Context* context, Delegate* delegate) {
  IntArray* plan = nullptr;
  if (context->GetExecutionPlan(context, &plan) != kOk) return kError;
  std::vector<int> ours = {0};  // an IntArray: the size stands in front
  for (int index : AsVector(plan)) {
    Node* node = nullptr;
    Registration* registration = nullptr;
    if (context->GetNodeAndRegistration(context, index, &node, &registration) != kOk) return kError;
    if (registration->builtin_code == kBuiltinCustom && registration->custom_name &&
        IsOperator(registration->custom_name)) {
      ours.push_back(index);
    }
  }
  ours[0] = static_cast<int>(ours.size()) - 1;
  Registration registration = {};
  registration.init = Init;
  registration.free = Free;
  registration.prepare = Prepare;
  registration.invoke = Invoke;
  registration.custom_name = "MrcnnDelegate";
  registration.version = 1;
  return context->ReplaceNodeSubsetsWithDelegateKernels(
      context, registration, reinterpret_cast<const IntArray*>(ours.data()), delegate);
}

}  // namespace
}  // namespace mrcnn::tflite

#define MRCNN_EXPORT extern "C" __attribute__((visibility("default")))

// What LiteRT looks for in the library of an external delegate. There are no options.
MRCNN_EXPORT mrcnn::tflite::Delegate* tflite_plugin_create_delegate(const char* const*,
                                                                    const char* const*,
                                                                    size_t count,
                                                                    void (*report)(const char*)) {
  if (count != 0) {
    if (report) report("mrcnn-tf's delegate takes no options");
    return nullptr;
  }
  auto* delegate = new mrcnn::tflite::Delegate();
  delegate->Prepare = mrcnn::tflite::TakeNodes;
  // There are no dynamic tensors. But of a delegate that does not allow any, LiteRT prepares all
  // operators before it asks, and refuses ours, which it does not know.
  delegate->flags = mrcnn::tflite::kAllowDynamicTensors;
  return delegate;
}

MRCNN_EXPORT void tflite_plugin_destroy_delegate(mrcnn::tflite::Delegate* delegate) {
  delete delegate;
}
