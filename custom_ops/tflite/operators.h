// The operators of the delegate: kernels on the tensors of a node, with settings out of the file.
#ifndef MRCNN_TFLITE_OPERATORS_H_
#define MRCNN_TFLITE_OPERATORS_H_

#include <memory>
#include <string>
#include <vector>

#include "../kernels/parallel_for.h"

namespace mrcnn::tflite {

// A tensor of a node. All are float32 or int32.
struct View {
  std::vector<int64_t> shape;
  bool is_float;
  void* data;  // null until the operator runs
};

class Operator {
 public:
  virtual ~Operator() = default;
  // The first thing that is wrong with the number, the types or the shapes of the tensors, or "".
  virtual std::string Check(const std::vector<View>& inputs,
                            const std::vector<View>& outputs) const = 0;
  virtual void Run(const std::vector<View>& inputs, const std::vector<View>& outputs,
                   const ParallelFor& parallel_for) const = 0;
};

// The operator of a name, e.g. "MrcnnNms", or null if there is none or its settings are not those
// that mrcnn_tf/export/litert_custom.py writes: 4 bytes for each, an int32 or a float.
std::unique_ptr<Operator> MakeOperator(const std::string& name, const void* settings, size_t size);
bool IsOperator(const std::string& name);

}  // namespace mrcnn::tflite

#endif  // MRCNN_TFLITE_OPERATORS_H_
