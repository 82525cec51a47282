#include "consumers/decompress.h"

#include <zlib.h>
#include <zstd.h>

#include <istream>
#include <memory>
#include <vector>

namespace daicho {
namespace {

constexpr std::size_t kPieceBytes = 64u << 10;
// zstd writes windows up to 8 MiB (log 23) without --ultra or --long.
constexpr int kZstdWindowLogMax = 24;

using Sink = std::function<bool(std::string_view)>;

// The input in pieces, counted.
class Input {
 public:
  Input(std::istream& in, std::uint64_t bytes_max)
      : in_(in), bytes_left_(bytes_max), buffer_(kPieceBytes) {}

  // What is at hand; reads more when nothing is. Empty: the end, failure, or too long.
  std::string_view Peek() {
    if (!piece_.empty() || too_long_) return piece_;
    in_.read(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
    const auto count = static_cast<std::size_t>(in_.gcount());
    if (count > bytes_left_) {
      too_long_ = true;
      return {};
    }
    bytes_left_ -= count;
    return piece_ = std::string_view(buffer_.data(), count);
  }
  void Consume(std::size_t count) { piece_.remove_prefix(count); }

  bool too_long() const { return too_long_; }
  bool failed() const { return in_.bad(); }
  // How a stream ends that has no more input.
  StreamEnd EndOr(StreamEnd end) const { return too_long_ ? StreamEnd::kTooLong : end; }

 private:
  std::istream& in_;
  std::uint64_t bytes_left_;
  std::vector<char> buffer_;
  std::string_view piece_;
  bool too_long_ = false;
};

StreamEnd CopyPlain(Input& input, const Sink& sink) {
  for (std::string_view piece = input.Peek(); !piece.empty(); piece = input.Peek()) {
    if (!sink(piece)) return StreamEnd::kStopped;
    input.Consume(piece.size());
  }
  return input.EndOr(StreamEnd::kComplete);
}

StreamEnd Gunzip(Input& input, const Sink& sink) {
  z_stream stream{};
  constexpr int kGzipOnly = 16 + MAX_WBITS;
  CHECK(inflateInit2(&stream, kGzipOnly) == Z_OK);
  const std::unique_ptr<z_stream, int (*)(z_stream*)> owner(&stream, inflateEnd);
  std::vector<char> out(kPieceBytes);
  while (true) {
    const std::string_view piece = input.Peek();
    if (piece.empty()) return input.EndOr(StreamEnd::kTruncated);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
    stream.avail_in = static_cast<uInt>(piece.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int result = inflate(&stream, Z_NO_FLUSH);
    input.Consume(piece.size() - stream.avail_in);
    const std::string_view ready(out.data(), out.size() - stream.avail_out);
    if (!ready.empty() && !sink(ready)) return StreamEnd::kStopped;
    if (result == Z_STREAM_END) {
      const std::string_view next = input.Peek();
      if (next.empty()) return input.EndOr(StreamEnd::kComplete);
      if (next[0] != '\x1F') return StreamEnd::kTrailing;
      CHECK(inflateReset(&stream) == Z_OK);
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      return StreamEnd::kDamaged;
    }
  }
}

StreamEnd Unzstd(Input& input, const Sink& sink) {
  const std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(),
                                                                             ZSTD_freeDStream);
  CHECK(stream != nullptr);
  CHECK(ZSTD_isError(
            ZSTD_DCtx_setParameter(stream.get(), ZSTD_d_windowLogMax, kZstdWindowLogMax)) == 0);
  std::vector<char> out(kPieceBytes);
  bool frame_ended = false;
  while (true) {
    const std::string_view piece = input.Peek();
    if (piece.empty()) {
      return input.EndOr(frame_ended ? StreamEnd::kComplete : StreamEnd::kTruncated);
    }
    if (frame_ended && piece[0] != '\x28') return StreamEnd::kTrailing;
    ZSTD_inBuffer from{piece.data(), piece.size(), 0};
    std::size_t hint = 1;
    // The decoder may hold more output than fits at once.
    for (bool more = true; more && hint != 0;) {
      ZSTD_outBuffer to{out.data(), out.size(), 0};
      hint = ZSTD_decompressStream(stream.get(), &to, &from);
      if (ZSTD_isError(hint) != 0) return StreamEnd::kDamaged;
      if (to.pos > 0 && !sink({out.data(), to.pos})) return StreamEnd::kStopped;
      more = from.pos < from.size || to.pos == to.size;
    }
    frame_ended = hint == 0;
    input.Consume(from.pos);
  }
}

}  // namespace

Result<StreamEnd> Decompress(std::istream& in, std::uint64_t input_bytes_max, const Sink& sink) {
  Input input(in, input_bytes_max);
  const std::string_view start = input.Peek();
  const StreamEnd end = start.starts_with("\x1F\x8B")           ? Gunzip(input, sink)
                        : start.starts_with("\x28\xB5\x2F\xFD") ? Unzstd(input, sink)
                                                                : CopyPlain(input, sink);
  if (input.failed()) return Unavailable("reading failed");
  return end;
}

}  // namespace daicho
