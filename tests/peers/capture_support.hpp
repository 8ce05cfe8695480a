#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "capture/capture.hpp"
#include "capture/extent_collector.hpp"
#include "support/nbd_server.hpp"

namespace stillpoint::test {

using namespace std::chrono_literals;

inline const env::SystemClock real_clock;
inline constexpr std::uint64_t KiB = 1024;
inline constexpr std::uint64_t MiB = 1024 * KiB;
inline constexpr ByteCount chunk{64 * KiB};

inline std::unique_ptr<capture::NbdSource> connect(const capture::NbdAddress& address,
                                                   const capture::ReadOptions& options = {}) {
    auto source = capture::connect_nbd(address, options, real_clock);
    if (!source) FAIL(source.error().text);
    return std::move(source).value();
}

/// A disk in memory that the plan's zeros and the read's bytes are laid over.
class ModelDisk {
public:
    explicit ModelDisk(Bytes bytes) : bytes_(std::move(bytes)) {}
    void zero(const extents::ExtentSet& set) {
        for (const Extent& extent : set) {
            std::fill_n(bytes_.begin() + static_cast<std::ptrdiff_t>(extent.at.raw()),
                        extent.length.raw(), std::byte{0});
        }
    }
    /// Also checks what a sink is promised: whole chunks, the disk's end excepted.
    capture::NbdSource::Sink sink() {
        return [this](ByteOffset at, ByteView bytes) -> Status {
            const std::uint64_t end = at.raw() + bytes.size();
            const bool whole =
                at.raw() % chunk.raw() == 0 && (end % chunk.raw() == 0 || end == bytes_.size());
            if (!whole || end > bytes_.size())
                return fail(Errc::invalid, "test.piece", "not whole");
            std::memcpy(bytes_.data() + at.raw(), bytes.data(), bytes.size());
            const std::scoped_lock lock{mutex_};
            delivered_ += bytes.size();
            return {};
        };
    }
    [[nodiscard]] const Bytes& bytes() const { return bytes_; }
    [[nodiscard]] std::uint64_t delivered() const { return delivered_; }

private:
    Bytes bytes_;
    std::mutex mutex_;
    std::uint64_t delivered_ = 0;
};

/// Plans and reads everything onto the model, which must then equal the view.
inline capture::ReadPlan copy_onto(ModelDisk& model, capture::NbdSource& source,
                                   std::optional<ByteCount> parent_size = {}) {
    auto plan = source.plan(chunk, parent_size, {});
    if (!plan) FAIL(plan.error().text);
    model.zero(plan->zeros);
    const Status read = source.read(plan->read, 2, model.sink(), {});
    if (!read) FAIL(read.error().text);
    return std::move(plan).value();
}

/// What qemu-img says the image holds.
inline Bytes raw_of(const env::Path& image, const std::string& format = "qcow2") {
    const env::Path raw = image.string() + ".raw";
    run({"qemu-img", "convert", "-U", "-f", format, "-O", "raw", image, raw});
    Bytes bytes = env::read_file(raw, 1u << 30).value();
    REQUIRE(env::remove_file(raw));
    return bytes;
}

inline env::TemporaryFolder scratch() {
    return env::TemporaryFolder::create(std::filesystem::temp_directory_path(), "sp-cap-").value();
}

}  // namespace stillpoint::test
