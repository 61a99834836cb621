#include "check.h"
#include "random_cases.h"
#include "rasterize_polygons.h"

namespace mrcnn {
namespace {

constexpr double kFarthest = 4194304.0;

// pycocotools' rleFrPoly and rleDecode, one fine point after the other: on one polygon whose
// points are in pixels of the grid.
std::vector<uint8_t> SlowBitmap(std::vector<double> points, int64_t height, int64_t width) {
  const double scale = 5.0;
  const int64_t count = static_cast<int64_t>(points.size()) / 2;
  std::vector<int> x, y, u, v;
  for (int64_t i = 0; i <= count; ++i) {
    x.push_back(static_cast<int>(scale * points[2 * (i % count)] + 0.5));
    y.push_back(static_cast<int>(scale * points[2 * (i % count) + 1] + 0.5));
  }
  for (int64_t i = 0; i < count; ++i) {
    int xs = x[i], xe = x[i + 1], ys = y[i], ye = y[i + 1];
    const int dx = std::abs(xe - xs), dy = std::abs(ys - ye);
    const bool flip = (dx >= dy && xs > xe) || (dx < dy && ys > ye);
    if (flip) {
      std::swap(xs, xe);
      std::swap(ys, ye);
    }
    const double slope = dx >= dy ? (dx == 0 ? 0.0 : static_cast<double>(ye - ys) / dx)
                                  : static_cast<double>(xe - xs) / dy;
    for (int step = 0; step <= std::max(dx, dy); ++step) {
      const int t = flip ? std::max(dx, dy) - step : step;
      u.push_back(dx >= dy ? t + xs : static_cast<int>(xs + slope * t + 0.5));
      v.push_back(dx >= dy ? static_cast<int>(ys + slope * t + 0.5) : t + ys);
    }
  }
  std::vector<int64_t> changes;
  for (size_t j = 1; j < u.size(); ++j) {
    if (u[j] == u[j - 1]) continue;
    const double column = ((u[j] < u[j - 1] ? u[j] : u[j] - 1) + 0.5) / scale - 0.5;
    if (std::floor(column) != column || column < 0 || column > width - 1) continue;
    double row = (std::min(v[j], v[j - 1]) + 0.5) / scale - 0.5;
    row = std::ceil(std::clamp(row, 0.0, static_cast<double>(height)));
    changes.push_back(static_cast<int64_t>(column) * height + static_cast<int64_t>(row));
  }
  std::sort(changes.begin(), changes.end());
  std::vector<uint8_t> bitmap(height * width);
  size_t next = 0;
  for (int64_t i = 0; i < height * width; ++i) {
    while (next < changes.size() && changes[next] <= i) ++next;
    bitmap[i % height * width + i / height] = next % 2;
  }
  return bitmap;
}

double RandomPoint(Random& random, int64_t extent, int64_t kind) {
  const float low = -0.4f * extent - 1, high = 1.4f * extent + 1;
  double at = random.Uniform(low, high);
  if (kind == 1) at = std::round(at);
  if (kind == 2) at = std::round(at * 5) / 5 + random.OneOf<double>({-0.1, 0.0, 0.1});
  if (kind == 3) at = random.OneOf<double>({0.0, extent / 2.0, static_cast<double>(extent)});
  // Edges far longer than the grid, but few enough fine points for the slow bitmap.
  if (kind == 4 && random.OneIn(3)) at = random.Uniform(-600.0f, 600.0f);
  return at;
}

TEST(RasterizePolygonsEqualsReference) {
  ForEachCase(150, [](Random& random) {
    const int64_t height = random.Integer(0, 12), width = random.Integer(0, 12);
    const int64_t objects = random.Integer(0, 3);
    const bool boxed = random.OneIn(2);
    std::vector<int64_t> object_splits = {0}, polygon_splits = {0};
    std::vector<double> values;
    for (int64_t i = 0; i < objects; ++i) {
      const int64_t parts = random.Integer(0, 3), kind = random.Integer(0, 4);
      for (int64_t p = 0; p < parts; ++p) {
        const int64_t count = random.Integer(0, 7);
        for (int64_t k = 0; k < count; ++k) {
          values.push_back(RandomPoint(random, width, kind));
          values.push_back(RandomPoint(random, height, kind));
          if (k > 0 && random.OneIn(6)) {  // twice the same point
            std::copy_n(values.end() - 4, 2, values.end() - 2);
          }
        }
        if (count > 0 && random.OneIn(15)) {
          values[values.size() - random.Integer(1, 2 * count)] =
              random.OneOf<double>({NAN, INFINITY, -INFINITY});
        }
        polygon_splits.push_back(static_cast<int64_t>(values.size()) / 2);
      }
      object_splits.push_back(static_cast<int64_t>(polygon_splits.size()) - 1);
    }
    Array<double> points(static_cast<int64_t>(values.size()));
    std::copy(values.begin(), values.end(), points.data);
    Array<float> boxes(objects * 4);
    // Boxes of about the size of the grid: a stretched point must not go too far for the slow one.
    for (int64_t i = 0; i < boxes.size; ++i) {
      boxes[i] = i % 4 < 2 ? random.Uniform(-3.0f, 3.0f) : random.Uniform(0.0f, 15.0f);
      if (random.OneIn(60)) boxes[i] = random.OneOf<float>({NAN, INFINITY, -INFINITY});
    }
    Array<uint8_t> bitmaps(objects * height * width);
    for (int64_t i = 0; i < bitmaps.size; ++i) bitmaps[i] = 7;

    RasterizePolygonsCpu({objects, object_splits.data(), polygon_splits.data(), points.data},
                         boxed ? boxes.data : nullptr, height, width, bitmaps.data,
                         SomeThreads(random));

    for (int64_t i = 0; i < objects && height * width > 0; ++i) {
      std::vector<uint8_t> expected(height * width);
      const float* box = boxes.data + 4 * i;
      const bool usable =
          !boxed || std::all_of(box, box + 4, [](float edge) { return std::isfinite(edge); });
      for (int64_t p = object_splits[i]; usable && p < object_splits[i + 1]; ++p) {
        std::vector<double> moved(values.begin() + 2 * polygon_splits[p],
                                  values.begin() + 2 * polygon_splits[p + 1]);
        if (moved.size() < 6) continue;
        if (!std::all_of(moved.begin(), moved.end(), [](double at) { return std::isfinite(at); })) {
          continue;
        }
        for (size_t k = 0; k < moved.size(); ++k) {
          const int axis = static_cast<int>(k % 2);
          if (boxed) {
            const double extent = static_cast<double>(box[axis + 2]) - box[axis];
            const double factor = (axis == 0 ? width : height) / std::max(extent, 0.1);
            moved[k] = (moved[k] - box[axis]) * factor;
          }
          moved[k] = std::clamp(moved[k], -kFarthest, kFarthest);
        }
        const std::vector<uint8_t> part = SlowBitmap(moved, height, width);
        for (int64_t k = 0; k < height * width; ++k) expected[k] |= part[k];
      }
      for (int64_t k = 0; k < height * width; ++k) {
        CHECK_EQ(int{bitmaps[i * height * width + k]}, int{expected[k]});
      }
    }
  });
}

// Coordinates at the ends of every type; what they set is known without a reference.
TEST(RasterizePolygonsSurvivesHostileCoordinates) {
  ForEachCase(150, [](Random& random) {
    const int64_t height = random.Integer(1, 9), width = random.Integer(1, 9);
    const int64_t count = random.Integer(3, 6);
    const int64_t object_splits[] = {0, 1}, polygon_splits[] = {0, count};
    Array<double> points(2 * count);
    Array<float> box(4);
    Array<uint8_t> bitmap(height * width);
    for (int64_t i = 0; i < points.size; ++i) {
      points[i] = random.OneIn(3) ? random.OneOf<double>({1e300, -1e300, 5e-324, 0.0, 4194304.5})
                                  : random.Coordinate(-2.0f, 12.0f, 3);
    }
    for (int64_t i = 0; i < 4; ++i) box[i] = random.Coordinate(-2.0f, 12.0f, 4);
    RasterizePolygonsCpu({1, object_splits, polygon_splits, points.data},
                         random.OneIn(3) ? nullptr : box.data, height, width, bitmap.data,
                         OneThread());
    for (int64_t i = 0; i < bitmap.size; ++i) CHECK(bitmap[i] <= 1);

    const double far = random.OneOf<double>({1e300, 4194304.0, 1e6, 100.0});
    const double whole[] = {-far, -far, far, -far, far, far, -far, far};
    const int64_t four[] = {0, 4};
    RasterizePolygonsCpu({1, object_splits, four, whole}, nullptr, height, width, bitmap.data,
                         OneThread());
    for (int64_t i = 0; i < bitmap.size; ++i) CHECK_EQ(int{bitmap[i]}, 1);
  });
}

}  // namespace
}  // namespace mrcnn
