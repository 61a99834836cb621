#include <algorithm>
#include <cstring>
#include <vector>

#include "mask_rle.h"
#include "paste_masks_math.h"

namespace mrcnn {
namespace {

// Run lengths in COCO's coding. Runs alternate between background and object and begin with
// background. From the fourth on each is written as its difference to the one before the last, in
// digits of 5 bits, lowest first; bit 5 of a character says that more follow, bit 4 of the last is
// the sign.
class RunWriter {
 public:
  explicit RunWriter(std::string* text) : text_(text) { text_->clear(); }

  // The state of the pixels changes at `position`, counted down the columns of the image.
  void Toggle(int64_t position) {
    Append(position - start_);
    start_ = position;
    set_ = !set_;
  }

  void Finish(int64_t num_pixels) { Append(num_pixels - start_); }

  bool set() const { return set_; }

 private:
  void Append(int64_t count) {
    int64_t value = written_ > 2 ? count - before_last_ : count;
    before_last_ = last_;
    last_ = count;
    ++written_;
    bool more = true;
    while (more) {
      const int digit = static_cast<int>(value & 31);
      value >>= 5;
      more = value != ((digit & 16) ? -1 : 0);
      text_->push_back(static_cast<char>((digit | (more ? 32 : 0)) + 48));
    }
  }

  std::string* text_;
  int64_t start_ = 0;
  int64_t before_last_ = 0;
  int64_t last_ = 0;
  int64_t written_ = 0;
  bool set_ = false;
};

// Room behind a column, so that it can be read eight pixels at a time.
constexpr int64_t kPadding = 8;

struct Scratch {
  std::vector<float> blended;   // [mask_width, rows]: the mask at the rows of the image
  std::vector<uint8_t> column;  // of 0 and 1
};

// Reports every change down one column, whose pixels are rows of the image from `begin` on.
void WriteColumn(const uint8_t* column, int64_t begin, int64_t count, int64_t origin,
                 RunWriter* runs) {
  uint64_t uniform = runs->set() ? 0x0101010101010101u : 0;
  for (int64_t i = 0; i < count; i += kPadding) {
    uint64_t pixels;
    std::memcpy(&pixels, column + i, sizeof(pixels));
    if (pixels == uniform) {
      continue;
    }
    for (int64_t k = i; k < std::min(i + kPadding, count); ++k) {
      if (column[k] != static_cast<uint8_t>(runs->set())) {
        runs->Toggle(origin + begin + k);
      }
    }
    uniform = runs->set() ? 0x0101010101010101u : 0;
  }
}

void WriteMask(const PasteMasksOptions& options, const float* mask, const float* box,
               Scratch* scratch, std::string* counts) {
  PasteAxis down;
  PasteAxis across;
  MakePasteAxes(box, options.mask_height, options.mask_width, &down, &across);
  const PasteSpan rows = MakePasteSpan(down, options.height);
  const PasteSpan columns = MakePasteSpan(across, options.width);
  const int64_t num_rows = rows.end - rows.begin;
  RunWriter runs(counts);
  if (num_rows > 0 && columns.end > columns.begin) {
    scratch->blended.resize(options.mask_width * num_rows);
    scratch->column.assign(num_rows + kPadding, 0);
    for (int64_t i = 0; i < num_rows; ++i) {
      const PasteTaps taps = MakePasteTaps(down, rows.begin + i);
      const float* upper = mask + taps.first * options.mask_width;
      const float* lower = mask + taps.second * options.mask_width;
      for (int64_t c = 0; c < options.mask_width; ++c) {
        scratch->blended[c * num_rows + i] =
            PasteBlend(taps.first_weight, PasteProbability(upper[c]), taps.second_weight,
                       PasteProbability(lower[c]));
      }
    }
  }
  const float threshold = options.threshold;
  uint8_t* column = scratch->column.data();
  for (int64_t x = columns.begin; num_rows > 0 && x < columns.end; ++x) {
    const int64_t origin = x * options.height;
    if (rows.begin > 0 && runs.set()) {
      runs.Toggle(origin);
    }
    const PasteTaps taps = MakePasteTaps(across, x);
    const float* left = scratch->blended.data() + taps.first * num_rows;
    const float* right = scratch->blended.data() + taps.second * num_rows;
    for (int64_t i = 0; i < num_rows; ++i) {
      column[i] = PasteBlend(taps.first_weight, left[i], taps.second_weight, right[i]) >= threshold;
    }
    WriteColumn(column, rows.begin, num_rows, origin, &runs);
    if (rows.end < options.height && runs.set()) {
      runs.Toggle(origin + rows.end);
    }
  }
  const int64_t num_pixels = options.height * options.width;
  // A run that reaches the lower end of the last column goes on in the next, which is empty.
  if (runs.set() && columns.end * options.height < num_pixels) {
    runs.Toggle(columns.end * options.height);
  }
  runs.Finish(num_pixels);
}

}  // namespace

void MaskRleCpu(const PasteMasksOptions& options, const float* masks, const float* boxes,
                std::string* counts, const ParallelFor& parallel_for) {
  // About what a box of a quarter of the image costs.
  const int64_t cycles = options.height * options.width / 4 + 1000;
  parallel_for.run(options.num_masks, cycles, [&](int64_t begin, int64_t end) {
    Scratch scratch;
    for (int64_t i = begin; i < end; ++i) {
      WriteMask(options, masks + i * options.mask_height * options.mask_width, boxes + 4 * i,
                &scratch, counts + i);
    }
  });
}

}  // namespace mrcnn
