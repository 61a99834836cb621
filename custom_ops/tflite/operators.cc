#include "operators.h"

#include <cstring>

#include "../kernels/nms.h"
#include "../kernels/proposals.h"
#include "../kernels/roi_align.h"

namespace mrcnn::tflite {
namespace {

// Reads settings one after the other.
class Settings {
 public:
  Settings(const void* data, size_t size) : data_(static_cast<const char*>(data)), size_(size) {}

  template <class T>
  T Next() {
    T value = T();
    if (at_ + sizeof(T) > size_) {
      is_short_ = true;
      return value;
    }
    std::memcpy(&value, data_ + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  int32_t Int() { return Next<int32_t>(); }
  float Float() { return Next<float>(); }
  // Whether all were there, and no more.
  bool Complete() const { return !is_short_ && at_ == size_; }

 private:
  const char* data_;
  size_t size_, at_ = 0;
  bool is_short_ = false;
};

using Shape = std::vector<int64_t>;

bool Is(const View& view, bool is_float, const Shape& shape) {
  return view.is_float == is_float && view.shape == shape;
}

template <class T>
T* Data(const View& view) {
  return static_cast<T*>(view.data);
}

class RoiAlign : public Operator {
 public:
  explicit RoiAlign(Settings* settings) {
    options_.output_height = settings->Int();
    options_.output_width = settings->Int();
    options_.sampling_ratio = settings->Int();
    options_.aligned = settings->Int() != 0;
    const int32_t levels = settings->Int();
    for (int32_t l = 0; l < levels && l < 64; ++l) strides_.push_back(settings->Int());
    for (int32_t l = 1; l < levels && l < 64; ++l) areas_.push_back(settings->Float());
  }

  std::string Check(const std::vector<View>& inputs,
                    const std::vector<View>& outputs) const override {
    const size_t levels = strides_.size();
    if (levels == 0 || inputs.size() != levels + 1 || outputs.size() != 1) return "numbers";
    const Shape &boxes = inputs[levels].shape, &first = inputs[0].shape;
    if (!inputs[levels].is_float || boxes.size() != 3 || boxes[2] != 4) return "boxes";
    for (size_t l = 0; l < levels; ++l) {
      const Shape& map = inputs[l].shape;
      if (!inputs[l].is_float || map.size() != 4 || map[0] != boxes[0] || map[1] < 1 ||
          map[2] < 1 || map[3] != first[3] || strides_[l] < 1) {
        return "pyramid";
      }
    }
    const Shape pooled = {boxes[0], boxes[1], options_.output_height, options_.output_width,
                          first[3]};
    return Is(outputs[0], true, pooled) ? "" : "output";
  }

  void Run(const std::vector<View>& inputs, const std::vector<View>& outputs,
           const ParallelFor& parallel_for) const override {
    RoiAlignOptions options = options_;
    const View& boxes = inputs.back();
    options.batch = boxes.shape[0];
    options.num_boxes = boxes.shape[1];
    options.channels = inputs[0].shape[3];
    std::vector<const float*> maps;
    for (size_t l = 0; l < strides_.size(); ++l) {
      options.levels.push_back({inputs[l].shape[1], inputs[l].shape[2],
                                static_cast<float>(1.0 / strides_[l]),
                                l == 0 ? 0.0f : areas_[l - 1]});
      maps.push_back(Data<float>(inputs[l]));
    }
    RoiAlignCpu<float>(options, maps, Data<float>(boxes), Data<float>(outputs[0]), parallel_for);
  }

 private:
  RoiAlignOptions options_ = {};  // without the sizes
  std::vector<int32_t> strides_;
  std::vector<float> areas_;
};

class Nms : public Operator {
 public:
  explicit Nms(Settings* settings) {
    options_.max_output = settings->Int();
    options_.pre_nms_top_n = settings->Int();
    options_.mode = static_cast<NmsMode>(settings->Int());
    options_.iou_threshold = settings->Float();
    options_.score_threshold = settings->Float();
    options_.sigma = settings->Float();
  }

  std::string Check(const std::vector<View>& inputs,
                    const std::vector<View>& outputs) const override {
    if (inputs.size() != 3 || outputs.size() != 3) return "numbers";
    const Shape& boxes = inputs[0].shape;
    if (!inputs[0].is_float || boxes.size() != 3 || boxes[2] != 4) return "boxes";
    const Shape rows = {boxes[0], boxes[1]}, kept = {boxes[0], options_.max_output};
    if (!Is(inputs[1], true, rows)) return "scores";
    if (!Is(inputs[2], false, rows)) return "classes";
    const bool fits = Is(outputs[0], false, kept) && Is(outputs[1], false, {boxes[0]}) &&
                      Is(outputs[2], true, kept);
    return fits ? "" : "outputs";
  }

  void Run(const std::vector<View>& inputs, const std::vector<View>& outputs,
           const ParallelFor& parallel_for) const override {
    NmsOptions options = options_;
    options.batch = inputs[0].shape[0];
    options.num_boxes = inputs[0].shape[1];
    NmsCpu(options, Data<float>(inputs[0]), Data<float>(inputs[1]), Data<int32_t>(inputs[2]),
           Data<int32_t>(outputs[0]), Data<float>(outputs[2]), Data<int32_t>(outputs[1]),
           parallel_for);
  }

 private:
  NmsOptions options_ = {};  // without the sizes
};

class Proposals : public Operator {
 public:
  explicit Proposals(Settings* settings) {
    options_.pre_nms_top_n = settings->Int();
    options_.post_nms_top_n = settings->Int();
    options_.nms_threshold = settings->Float();
    options_.min_size = settings->Float();
  }

  std::string Check(const std::vector<View>& inputs,
                    const std::vector<View>& outputs) const override {
    const size_t levels = inputs.size() / 3;
    if (levels == 0 || inputs.size() != 3 * levels + 1 || outputs.size() != 3) return "numbers";
    const View& sizes = inputs.back();
    if (!sizes.is_float || sizes.shape.size() != 2 || sizes.shape[1] != 2) return "image_sizes";
    const int64_t batch = sizes.shape[0];
    for (size_t l = 0; l < levels; ++l) {
      const View& anchors = inputs[2 * levels + l];
      if (!anchors.is_float || anchors.shape.size() != 2 || anchors.shape[1] != 4) return "anchors";
      const int64_t size = anchors.shape[0];
      if (!Is(inputs[l], true, {batch, size})) return "logits";
      if (!Is(inputs[levels + l], true, {batch, size, 4})) return "deltas";
    }
    const int64_t kept = options_.post_nms_top_n;
    const bool fits = Is(outputs[0], true, {batch, kept, 4}) &&
                      Is(outputs[1], true, {batch, kept}) && Is(outputs[2], false, {batch});
    return fits ? "" : "outputs";
  }

  void Run(const std::vector<View>& inputs, const std::vector<View>& outputs,
           const ParallelFor& parallel_for) const override {
    const size_t levels = inputs.size() / 3;
    ProposalOptions options = options_;
    options.batch = inputs.back().shape[0];
    std::vector<const float*> groups[3];  // logits, deltas, anchors
    for (size_t i = 0; i < 3 * levels; ++i) groups[i / levels].push_back(Data<float>(inputs[i]));
    for (size_t l = 0; l < levels; ++l) {
      options.level_sizes.push_back(inputs[2 * levels + l].shape[0]);
    }
    ProposalsCpu(options, groups[0], groups[1], groups[2], Data<float>(inputs.back()),
                 Data<float>(outputs[0]), Data<float>(outputs[1]), Data<int32_t>(outputs[2]),
                 parallel_for);
  }

 private:
  ProposalOptions options_ = {};  // without the sizes
};

template <class T>
std::unique_ptr<Operator> Make(Settings settings) {
  auto made = std::make_unique<T>(&settings);
  if (!settings.Complete()) return nullptr;
  return made;
}

}  // namespace

std::unique_ptr<Operator> MakeOperator(const std::string& name, const void* settings, size_t size) {
  const Settings all(settings, size);
  if (name == "MrcnnRoiAlign") return Make<RoiAlign>(all);
  if (name == "MrcnnNms") return Make<Nms>(all);
  if (name == "MrcnnProposals") return Make<Proposals>(all);
  return nullptr;
}

bool IsOperator(const std::string& name) {
  return name == "MrcnnRoiAlign" || name == "MrcnnNms" || name == "MrcnnProposals";
}

}  // namespace mrcnn::tflite
