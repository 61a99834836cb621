// What an external delegate needs of LiteRT's C interface, which is plain structs and function
// pointers (tensorflow/lite/core/c/common.h), without its headers: neither of the packages
// tensorflow and ai-edge-litert has them. Names are ours, the order and types of the fields theirs;
// a field that we do not use is a pointer called `unused`.
#ifndef MRCNN_TFLITE_TFLITE_ABI_H_
#define MRCNN_TFLITE_TFLITE_ABI_H_

#include <cstddef>
#include <cstdint>

namespace mrcnn::tflite {

enum Status : int { kOk = 0, kError = 1 };
enum Type : int { kFloat32 = 1, kInt32 = 2 };
constexpr int32_t kBuiltinCustom = 32;
constexpr int64_t kAllowDynamicTensors = 1;  // a flag of a delegate

struct IntArray {
  int size;
  int data[1];  // as many as `size`
};

struct Tensor {
  int type;
  void* data;
  IntArray* dims;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  int allocation_type;
  size_t bytes;
  const void* allocation;
  const char* name;
  struct Delegate* delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  struct {
    int type;
    void* params;
  } quantization;
  void* sparsity;
  const IntArray* dims_signature;
};

struct Node {
  IntArray* inputs;
  IntArray* outputs;
  IntArray* intermediates;
  IntArray* temporaries;
  void* user_data;
  void* builtin_data;
  const void* custom_initial_data;
  int custom_initial_data_size;
  struct Delegate* delegate;
  bool might_have_side_effect;
};

struct Context;

struct Registration {
  void* (*init)(Context*, const char* buffer, size_t length);
  void (*free)(Context*, void* buffer);
  Status (*prepare)(Context*, Node*);
  Status (*invoke)(Context*, Node*);
  const char* (*profiling_string)(const Context*, const Node*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void* registration_external;
  void* async_kernel;
  uint64_t inplace_operator;
};

struct Context {
  size_t tensors_size;
  Status (*GetExecutionPlan)(Context*, IntArray** plan);
  Tensor* tensors;
  void* impl;
  void* unused_resize_tensor;
  void (*ReportError)(Context*, const char* format, ...);
  void* unused_add_tensors;
  Status (*GetNodeAndRegistration)(Context*, int index, Node**, Registration**);
  Status (*ReplaceNodeSubsetsWithDelegateKernels)(Context*, Registration, const IntArray* nodes,
                                                  struct Delegate*);
  int recommended_num_threads;
  // More follows, that we do not use.
};

struct DelegateParams {
  struct Delegate* delegate;
  IntArray* nodes_to_replace;
  IntArray* input_tensors;
  IntArray* output_tensors;
};

struct Delegate {
  void* data;
  Status (*Prepare)(Context*, Delegate*);
  void* unused_copy_from_buffer_handle;
  void* unused_copy_to_buffer_handle;
  void* unused_free_buffer_handle;
  int64_t flags;
  void* unused_opaque_delegate_builder;
};

}  // namespace mrcnn::tflite

#endif  // MRCNN_TFLITE_TFLITE_ABI_H_
