#include <algorithm>
#include <cstring>
#include <vector>

#include "paste_masks.h"
#include "paste_masks_math.h"

namespace mrcnn {
namespace {

// Rows that one thread pastes at a time: few enough that one large mask occupies several threads.
constexpr int64_t kBandRows = 64;

// The columns of the image that read the same two cells of the mask.
struct Segment {
  int64_t begin;
  int64_t end;
  int64_t first;
  int64_t second;
};

// Where one mask lies in the image, and what its columns read.
struct Placement {
  PasteAxis down;
  PasteSpan rows;
  PasteSpan columns;
  std::vector<Segment> segments;
  std::vector<float> first_weights;  // of the columns
  std::vector<float> second_weights;
};

void Place(const PasteMasksOptions& options, const float* box, Placement* placement) {
  PasteAxis across;
  MakePasteAxes(box, options.mask_height, options.mask_width, &placement->down, &across);
  placement->rows = MakePasteSpan(placement->down, options.height);
  placement->columns = MakePasteSpan(across, options.width);
  const PasteSpan columns = placement->columns;
  placement->segments.clear();
  placement->first_weights.resize(columns.end - columns.begin);
  placement->second_weights.resize(columns.end - columns.begin);
  for (int64_t x = columns.begin; x < columns.end; ++x) {
    const PasteTaps taps = MakePasteTaps(across, x);
    placement->first_weights[x - columns.begin] = taps.first_weight;
    placement->second_weights[x - columns.begin] = taps.second_weight;
    std::vector<Segment>& segments = placement->segments;
    if (segments.empty() || segments.back().first != taps.first ||
        segments.back().second != taps.second) {
      segments.push_back({x, x + 1, taps.first, taps.second});
    } else {
      segments.back().end = x + 1;
    }
  }
}

void PasteRow(const PasteMasksOptions& options, const Placement& placement, const float* mask,
              int64_t y, float* cells, uint8_t* output) {
  const PasteTaps taps = MakePasteTaps(placement.down, y);
  const float* upper = mask + taps.first * options.mask_width;
  const float* lower = mask + taps.second * options.mask_width;
  for (int64_t c = 0; c < options.mask_width; ++c) {
    cells[c] = PasteBlend(taps.first_weight, PasteProbability(upper[c]), taps.second_weight,
                          PasteProbability(lower[c]));
  }
  const float threshold = options.threshold;
  for (const Segment& segment : placement.segments) {
    const float left = cells[segment.first];
    const float right = cells[segment.second];
    const float* first = placement.first_weights.data() - placement.columns.begin;
    const float* second = placement.second_weights.data() - placement.columns.begin;
    for (int64_t x = segment.begin; x < segment.end; ++x) {
      output[x] = PasteBlend(first[x], left, second[x], right) >= threshold;
    }
  }
}

}  // namespace

void PasteMasksCpu(const PasteMasksOptions& options, const float* masks, const float* boxes,
                   uint8_t* output, const ParallelFor& parallel_for) {
  if (options.height <= 0 || options.width <= 0) {
    return;
  }
  const int64_t bands = (options.height + kBandRows - 1) / kBandRows;
  parallel_for.run(
      options.num_masks * bands, kBandRows * options.width, [&](int64_t begin, int64_t end) {
        Placement placement;
        std::vector<float> cells(options.mask_width);
        int64_t placed = -1;
        for (int64_t item = begin; item < end; ++item) {
          const int64_t index = item / bands;
          const int64_t top = item % bands * kBandRows;
          const int64_t bottom = std::min(top + kBandRows, options.height);
          if (index != placed) {
            Place(options, boxes + 4 * index, &placement);
            placed = index;
          }
          const float* mask = masks + index * options.mask_height * options.mask_width;
          uint8_t* image = output + index * options.height * options.width;
          std::memset(image + top * options.width, 0, (bottom - top) * options.width);
          const int64_t last = std::min(bottom, placement.rows.end);
          for (int64_t y = std::max(top, placement.rows.begin); y < last; ++y) {
            PasteRow(options, placement, mask, y, cells.data(), image + y * options.width);
          }
        }
      });
}

}  // namespace mrcnn
