// The kernels again, slow and straight from their definitions: one box, one point, one pair at a
// time. What decides (a sampling point's cell, an IoU against a threshold) is computed in float32
// in the documented order, as the kernels must; sums are float64.
#ifndef MRCNN_TESTS_NATIVE_REFERENCE_H_
#define MRCNN_TESTS_NATIVE_REFERENCE_H_

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <functional>
#include <vector>

#include "match_boxes.h"
#include "nms.h"
#include "proposals.h"
#include "roi_align.h"

namespace mrcnn {

inline bool AllFinite(const float* values, int64_t count) {
  return std::all_of(values, values + count, [](float value) { return std::isfinite(value); });
}

// The sampling points of one bin along one axis, in cells, those outside the map left out.
struct BinPoints {
  float samples;
  std::vector<float> inside;
};

inline BinPoints PointsOfBin(float low, float high, int64_t size, int bin, int bins,
                             const RoiAlignOptions& options) {
  const float limit = static_cast<float>(size);
  if (options.aligned) {
    low -= 0.5f;
    high -= 0.5f;
  }
  float extent = high - low;
  if (!options.aligned && extent < 1.0f) extent = 1.0f;
  const float bin_size = extent / static_cast<float>(bins);
  float samples = static_cast<float>(options.sampling_ratio);
  if (options.sampling_ratio == 0) {
    samples = std::ceil(std::min(extent, 2.0f * limit) / static_cast<float>(bins));
  }
  BinPoints points{samples, {}};
  for (int i = 0; i < samples; ++i) {
    const float start = low + static_cast<float>(bin) * bin_size;
    const float at = start + (static_cast<float>(i) + 0.5f) * bin_size / samples;
    if (at >= -1.0f && at <= limit) points.inside.push_back(at);
  }
  return points;
}

// Calls add(level, image, row, column, output, weight) for every cell that a bin of a box reads;
// `output` is the bin's place in [batch, num_boxes, output_height, output_width].
inline void ReferenceRoiTaps(
    const RoiAlignOptions& options, const float* boxes,
    const std::function<void(size_t level, int64_t image, int64_t row, int64_t column,
                             int64_t output, double weight)>& add) {
  for (int64_t i = 0; i < options.batch * options.num_boxes; ++i) {
    const float* box = boxes + 4 * i;
    if (!AllFinite(box, 4)) continue;
    const float area = std::max(box[2] - box[0], 0.0f) * std::max(box[3] - box[1], 0.0f);
    size_t index = 0;
    for (size_t l = 1; l < options.levels.size(); ++l) index += area >= options.levels[l].min_area;
    const RoiAlignLevel& level = options.levels[index];
    for (int y = 0; y < options.output_height; ++y) {
      const BinPoints rows = PointsOfBin(box[1] * level.scale, box[3] * level.scale, level.height,
                                         y, options.output_height, options);
      for (int x = 0; x < options.output_width; ++x) {
        const BinPoints columns = PointsOfBin(box[0] * level.scale, box[2] * level.scale,
                                              level.width, x, options.output_width, options);
        const int64_t output = (i * options.output_height + y) * options.output_width + x;
        for (float at_y : rows.inside) {
          for (float at_x : columns.inside) {
            const double v = std::clamp<double>(at_y, 0.0, level.height - 1.0);
            const double h = std::clamp<double>(at_x, 0.0, level.width - 1.0);
            const int64_t top = static_cast<int64_t>(v), left = static_cast<int64_t>(h);
            const double share = 1.0 / rows.samples / columns.samples;
            for (int down = 0; down < 2; ++down) {
              for (int across = 0; across < 2; ++across) {
                const double weight = share * (down ? v - top : 1.0 - (v - top)) *
                                      (across ? h - left : 1.0 - (h - left));
                if (weight == 0.0) continue;
                add(index, i / options.num_boxes, top + down, left + across, output, weight);
              }
            }
          }
        }
      }
    }
  }
}

// IoU of two boxes with ordered corners; 0 where it is not a number.
inline float ReferenceIou(const float* a, const float* b) {
  const float area_a = std::max(a[2] - a[0], 0.0f) * std::max(a[3] - a[1], 0.0f);
  const float area_b = std::max(b[2] - b[0], 0.0f) * std::max(b[3] - b[1], 0.0f);
  const float width = std::max(std::min(a[2], b[2]) - std::max(a[0], b[0]), 0.0f);
  const float height = std::max(std::min(a[3], b[3]) - std::max(a[1], b[1]), 0.0f);
  const float shared = width * height;
  const float iou = shared / (area_a + area_b - shared);
  return iou >= 0.0f ? iou : 0.0f;
}

struct OrderedBox {
  float corners[4];
};

inline OrderedBox Ordered(const float* box) {
  return {{std::min(box[0], box[2]), std::min(box[1], box[3]), std::max(box[0], box[2]),
           std::max(box[1], box[3])}};
}

// The boxes of one image that take part in NMS, by descending score and ascending index.
inline std::vector<int32_t> NmsCandidates(const NmsOptions& options, const float* boxes,
                                          const float* scores) {
  std::vector<int32_t> order;
  for (int64_t i = 0; i < options.num_boxes; ++i) {
    const float* box = boxes + 4 * i;
    const float area = (box[2] - box[0]) * (box[3] - box[1]);
    if (!std::isfinite(scores[i]) || !AllFinite(box, 4) || !std::isfinite(area)) continue;
    if (scores[i] > options.score_threshold) order.push_back(static_cast<int32_t>(i));
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return scores[a] > scores[b]; });
  if (options.pre_nms_top_n > 0 && static_cast<int64_t>(order.size()) > options.pre_nms_top_n) {
    order.resize(options.pre_nms_top_n);
  }
  return order;
}

inline std::vector<int32_t> ReferenceHardNms(const NmsOptions& options, const float* boxes,
                                             const float* scores, const int32_t* classes) {
  std::vector<int32_t> kept;
  for (int32_t i : NmsCandidates(options, boxes, scores)) {
    if (static_cast<int64_t>(kept.size()) == options.max_output) break;
    const bool suppressed = std::any_of(kept.begin(), kept.end(), [&](int32_t k) {
      return classes[k] == classes[i] &&
             ReferenceIou(Ordered(boxes + 4 * k).corners, Ordered(boxes + 4 * i).corners) >
                 options.iou_threshold;
    });
    if (!suppressed) kept.push_back(i);
  }
  return kept;
}

// The factor by which a kept box decays the score of another of its class.
inline double SoftNmsDecay(const NmsOptions& options, double iou) {
  if (options.mode == NmsMode::kGaussian) return std::exp(-iou * iou / options.sigma);
  return iou > options.iou_threshold ? 1.0 - iou : 1.0;
}

struct ReferenceProposal {
  float logit;
  float box[4];
};

// The proposals of one image, best first.
inline std::vector<ReferenceProposal> ReferenceProposals(const ProposalOptions& options,
                                                         int64_t image,
                                                         const std::vector<const float*>& logits,
                                                         const std::vector<const float*>& deltas,
                                                         const std::vector<const float*>& anchors,
                                                         const float* image_size) {
  std::vector<ReferenceProposal> all;
  for (size_t level = 0; level < options.level_sizes.size(); ++level) {
    const int64_t size = options.level_sizes[level];
    const float* scores = logits[level] + image * size;
    std::vector<int64_t> order;
    for (int64_t i = 0; i < size; ++i) {
      // The lowest number marks what is no box.
      if (std::isfinite(scores[i]) && scores[i] != -FLT_MAX) order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return scores[a] > scores[b]; });
    if (static_cast<int64_t>(order.size()) > options.pre_nms_top_n) {
      order.resize(options.pre_nms_top_n);
    }
    std::vector<ReferenceProposal> kept;
    for (int64_t i : order) {
      const float* delta = deltas[level] + (image * size + i) * 4;
      const float* anchor = anchors[level] + i * 4;
      ReferenceProposal proposal{scores[i], {}};
      for (int axis = 0; axis < 2; ++axis) {
        const float side = anchor[axis + 2] - anchor[axis];
        const float centre = delta[axis] * side + (anchor[axis] + 0.5f * side);
        const float log_scale =
            std::isnan(delta[axis + 2])
                ? NAN
                : std::min(delta[axis + 2], static_cast<float>(std::log(1000.0 / 16.0)));
        const float half = 0.5f * std::exp(log_scale) * side;
        proposal.box[axis] = centre - half;
        proposal.box[axis + 2] = centre + half;
      }
      if (!AllFinite(proposal.box, 4)) continue;
      for (int c = 0; c < 4; ++c) {
        proposal.box[c] = std::max(std::min(proposal.box[c], image_size[1 - c % 2]), 0.0f);
      }
      if (!(proposal.box[2] - proposal.box[0] >= options.min_size &&
            proposal.box[3] - proposal.box[1] >= options.min_size)) {
        continue;
      }
      const bool suppressed =
          std::any_of(kept.begin(), kept.end(), [&](const ReferenceProposal& other) {
            return ReferenceIou(other.box, proposal.box) > options.nms_threshold;
          });
      if (!suppressed) kept.push_back(proposal);
    }
    all.insert(all.end(), kept.begin(), kept.end());
  }
  std::stable_sort(
      all.begin(), all.end(),
      [](const ReferenceProposal& a, const ReferenceProposal& b) { return a.logit > b.logit; });
  if (static_cast<int64_t>(all.size()) > options.post_nms_top_n) {
    all.resize(options.post_nms_top_n);
  }
  return all;
}

inline std::vector<int32_t> ReferenceMatches(const MatchBoxesOptions& options, const float* anchors,
                                             const float* boxes, const bool* valid) {
  const int64_t num_anchors = options.num_anchors, num_boxes = options.num_boxes;
  const auto usable = [&](int64_t m) { return valid[m] && AllFinite(boxes + 4 * m, 4); };
  const auto iou = [&](int64_t m, int64_t a) {
    return AllFinite(anchors + 4 * a, 4) ? ReferenceIou(boxes + 4 * m, anchors + 4 * a) : 0.0f;
  };
  std::vector<float> best_of_box(num_boxes, 0.0f);
  for (int64_t m = 0; m < num_boxes; ++m) {
    for (int64_t a = 0; usable(m) && a < num_anchors; ++a) {
      best_of_box[m] = std::max(best_of_box[m], iou(m, a));
    }
  }
  std::vector<int32_t> matches(num_anchors, -1);
  for (int64_t a = 0; a < num_anchors; ++a) {
    int32_t nearest = -1;
    float best = 0.0f;
    bool best_of_some_box = false;
    for (int64_t m = 0; m < num_boxes; ++m) {
      if (!usable(m)) continue;
      const float overlap = iou(m, a);
      if (nearest < 0 || overlap > best) {
        nearest = static_cast<int32_t>(m);
        best = overlap;
      }
      best_of_some_box |= overlap > 0.0f && overlap == best_of_box[m];
    }
    if (nearest < 0) continue;
    matches[a] = best >= options.high_threshold ? nearest : best >= options.low_threshold ? -2 : -1;
    if (options.allow_low_quality && best_of_some_box) matches[a] = nearest;
  }
  return matches;
}

}  // namespace mrcnn

#endif  // MRCNN_TESTS_NATIVE_REFERENCE_H_
