#include "check.h"
#include "paste_masks.h"
#include "random_cases.h"

namespace mrcnn {
namespace {

TEST(PasteMasksGpuEqualsCpu) {
  ForEachCase(200, [](Random& random) {
    const PasteMasksOptions options = {random.Integer(0, 4),  random.Integer(1, 9),
                                       random.Integer(1, 9),  random.Integer(0, 40),
                                       random.Integer(0, 40), random.Uniform(0.1f, 1.0f)};
    Array<float> masks(options.num_masks * options.mask_height * options.mask_width);
    Array<float> boxes(options.num_masks * 4);
    Array<uint8_t> on_cpu(options.num_masks * options.height * options.width);
    Array<uint8_t> on_gpu(on_cpu.size);
    for (int64_t i = 0; i < masks.size; ++i) masks[i] = random.Coordinate(0.0f, 1.0f, 50);
    FillBoxes(random, 40.0f, boxes);
    for (int64_t i = 0; i < on_cpu.size; ++i) on_cpu[i] = on_gpu[i] = 7;

    PasteMasksCpu(options, masks.data, boxes.data, on_cpu.data, OneThread());

    CHECK_EQ(PasteMasksGpu(options, masks.data, boxes.data, on_gpu.data, nullptr), "");
    for (int64_t i = 0; i < on_cpu.size; ++i) CHECK_EQ(int{on_gpu[i]}, int{on_cpu[i]});
  });
}

}  // namespace
}  // namespace mrcnn
