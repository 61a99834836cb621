// Polygons to bitmaps, with the pixels that pycocotools sets.
#ifndef MRCNN_KERNELS_RASTERIZE_POLYGONS_H_
#define MRCNN_KERNELS_RASTERIZE_POLYGONS_H_

#include <cstdint>

#include "parallel_for.h"

namespace mrcnn {

// Objects are unions of polygons, polygons are rows of points.
struct PolygonSet {
  int64_t num_objects;
  const int64_t* object_splits;   // [num_objects + 1], first polygon of each object
  const int64_t* polygon_splits;  // [num_polygons + 1], first point of each polygon
  const double* points;           // [num_points, 2] as x, y
};

// Draws every object on a grid of its own, bitmaps [num_objects, height, width] of 0 and 1. `boxes`
// [num_objects, 4] as x1, y1, x2, y2 are stretched over the grid; without them a pixel of the grid
// is one of the image. A polygon of fewer than three points or with one that is not finite is left
// out; coordinates farther than 2^22 pixels away are moved to that distance.
void RasterizePolygonsCpu(const PolygonSet& polygons, const float* boxes, int64_t height,
                          int64_t width, uint8_t* bitmaps, const ParallelFor& parallel_for);

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_RASTERIZE_POLYGONS_H_
