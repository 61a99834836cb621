#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "rasterize_polygons.h"

namespace mrcnn {
namespace {

// pycocotools draws outlines on a grid five times as fine. Column c of pixels changes where an
// outline steps between the fine columns 5 c + 2 and 5 c + 3, from there on down.
constexpr int32_t kScale = 5;
constexpr double kFarthest = 4194304.0;  // pixels; fine coordinates stay well inside int32

struct FinePoint {
  int32_t x, y;
};

// pycocotools' rounding: towards zero after adding a half.
int32_t Round(double at) { return static_cast<int32_t>(at + 0.5); }

// How the coordinates of one axis come onto the grid.
struct Stretch {
  double start;
  double factor;

  int32_t operator()(double at) const {
    const double moved = std::min(std::max((at - start) * factor, -kFarthest), kFarthest);
    return Round(kScale * moved);
  }
};

Stretch StretchOf(float low, float high, int64_t cells) {
  // Detectron2's bound for boxes without an extent.
  const double extent = std::max(static_cast<double>(high) - static_cast<double>(low), 0.1);
  return {low, static_cast<double>(cells) / extent};
}

// Draws polygons into a bitmap one after the other. pycocotools visits every fine point of an
// outline; only the steps into another column of pixels set anything, and these are computed.
class Painter {
 public:
  Painter(int64_t height, int64_t width)
      : height_(height), width_(width), toggles_(height * width), inside_(width) {}

  void Paint(const std::vector<FinePoint>& points, uint8_t* bitmap) {
    top_ = height_;
    bottom_ = 0;
    left_ = width_;
    right_ = 0;
    for (size_t i = 0; i < points.size(); ++i) {
      Edge(points[i], points[i + 1 == points.size() ? 0 : i + 1]);
    }
    // A closed outline crosses a column an even number of times, so nothing is inside below.
    for (int64_t row = top_; row < std::min(bottom_ + 1, height_); ++row) {
      uint8_t* toggles = toggles_.data() + row * width_;
      uint8_t* pixels = bitmap + row * width_;
      for (int64_t column = left_; column < right_; ++column) {
        inside_[column] ^= toggles[column];
        toggles[column] = 0;
        pixels[column] |= inside_[column];
      }
    }
    if (left_ < right_) std::fill(inside_.begin() + left_, inside_.begin() + right_, uint8_t{0});
  }

 private:
  void Edge(FinePoint start, FinePoint end) {
    const bool flat = std::abs(end.x - start.x) >= std::abs(end.y - start.y);
    // An edge has the same fine points whichever way it is walked.
    if (flat ? start.x > end.x : start.y > end.y) std::swap(start, end);
    const int32_t dx = end.x - start.x, dy = end.y - start.y;
    if (dx == 0) return;
    const int64_t first = ColumnFrom(std::min(start.x, end.x));
    const int64_t last = std::min<int64_t>(ColumnFrom(std::max(start.x, end.x)), width_);
    const double slope = flat ? static_cast<double>(dy) / dx : static_cast<double>(dx) / dy;
    for (int64_t column = first; column < last; ++column) {
      const int32_t before = static_cast<int32_t>(kScale * column + 2);
      if (flat) {
        const int32_t step = before - start.x;
        Toggle(column,
               std::min(Round(start.y + slope * step), Round(start.y + slope * (step + 1))));
      } else {
        Toggle(column, start.y + LastStepBefore(start.x, slope, dy, before));
      }
    }
  }

  // The first column that a step to the right from this fine column, or a later one, changes.
  static int64_t ColumnFrom(int32_t fine) { return fine <= 2 ? 0 : (fine + 2) / kScale; }

  // Of the `steps` down an edge, the last before it crosses from `before` to the next fine column
  // or back.
  static int32_t LastStepBefore(int32_t start, double slope, int32_t steps, int32_t before) {
    const auto crossed = [&](int32_t step) {
      const int32_t x = Round(start + slope * step);
      return slope > 0.0 ? x > before : x <= before;
    };
    // The formula may be off by one where it is rounded.
    const double about = (before + 0.5 - start) / slope;
    int32_t step = static_cast<int32_t>(std::min(std::max(about, 0.0), steps - 1.0));
    while (step > 0 && crossed(step)) --step;
    while (step < steps - 1 && !crossed(step + 1)) ++step;
    return step;
  }

  void Toggle(int64_t column, int32_t fine_y) {
    const double y = std::ceil((fine_y + 0.5) / kScale - 0.5);
    const int64_t row = y < 0.0 ? 0 : std::min(static_cast<int64_t>(y), height_);
    top_ = std::min(top_, row);
    bottom_ = std::max(bottom_, row);
    left_ = std::min(left_, column);
    right_ = std::max(right_, column + 1);
    if (row < height_) toggles_[row * width_ + column] ^= 1;
  }

  const int64_t height_, width_;
  std::vector<uint8_t> toggles_;  // where a column changes; all 0 between polygons
  std::vector<uint8_t> inside_;
  int64_t top_, bottom_, left_, right_;  // of the changes
};

void FineOutline(const double* points, int64_t count, const Stretch& x, const Stretch& y,
                 std::vector<FinePoint>* outline) {
  outline->clear();
  const bool finite =
      std::all_of(points, points + 2 * count, [](double value) { return std::isfinite(value); });
  if (count < 3 || !finite) return;
  for (int64_t i = 0; i < count; ++i) {
    outline->push_back({x(points[2 * i]), y(points[2 * i + 1])});
  }
}

}  // namespace

void RasterizePolygonsCpu(const PolygonSet& polygons, const float* boxes, int64_t height,
                          int64_t width, uint8_t* bitmaps, const ParallelFor& parallel_for) {
  const int64_t pixels = height * width;
  if (pixels == 0) return;
  parallel_for.run(polygons.num_objects, pixels / 8 + 1500, [&](int64_t begin, int64_t end) {
    std::vector<FinePoint> outline;
    Painter painter(height, width);
    for (int64_t object = begin; object < end; ++object) {
      uint8_t* bitmap = bitmaps + object * pixels;
      std::fill_n(bitmap, pixels, uint8_t{0});
      Stretch x = {0.0, 1.0}, y = {0.0, 1.0};
      if (boxes != nullptr) {
        const float* box = boxes + 4 * object;
        if (!std::all_of(box, box + 4, [](float edge) { return std::isfinite(edge); })) continue;
        x = StretchOf(box[0], box[2], width);
        y = StretchOf(box[1], box[3], height);
      }
      for (int64_t polygon = polygons.object_splits[object];
           polygon < polygons.object_splits[object + 1]; ++polygon) {
        const int64_t first = polygons.polygon_splits[polygon];
        FineOutline(polygons.points + 2 * first, polygons.polygon_splits[polygon + 1] - first, x, y,
                    &outline);
        painter.Paint(outline, bitmap);
      }
    }
  });
}

}  // namespace mrcnn
