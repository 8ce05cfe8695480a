#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "env/page_buffer.hpp"
#include "restore/target.hpp"

namespace stillpoint::restore {
namespace {

bool is_aligned(std::uint64_t number) {
    return number % env::direct_alignment_bytes == 0;
}

/// Writes past the page cache what is aligned for it: a restored disk is larger than the cache
/// should be, and the copy costs more than all cryptography. The rest, and all of it on a
/// filesystem without direct I/O, goes the common way.
class RawTarget final : public Target {
public:
    RawTarget(env::Path file, env::UniqueFd fd, env::UniqueFd direct)
        : file_(std::move(file)), fd_(std::move(fd)), direct_(std::move(direct)) {}
    Status write(ByteOffset at, ByteView bytes) override {
        SP_ASSIGN(const std::size_t done, write_directly(at, bytes));
        if (done == bytes.size()) return {};
        return env::write_at(fd_.get(), ByteOffset{at.raw() + done}, bytes.subspan(done), file_);
    }
    Status close() override {
        direct_.reset();
        fd_.reset();
        return {};
    }

private:
    /// @return bytes written from the front on; 0 also where direct I/O does not apply
    Result<std::size_t> write_directly(ByteOffset at, ByteView bytes) {
        const bool fits = is_aligned(reinterpret_cast<std::uintptr_t>(bytes.data())) &&
                          is_aligned(at.raw()) && is_aligned(bytes.size());
        if (!fits || !direct_.valid() || !direct_works_.load()) return 0;
        while (true) {
            const ssize_t n =
                ::pwrite(direct_.get(), bytes.data(), bytes.size(), static_cast<off_t>(at.raw()));
            if (n >= 0) return static_cast<std::size_t>(n);
            if (errno == EINTR) continue;
            if (errno != EINVAL) return fail(env::os_error("write " + file_.string(), errno));
            direct_works_.store(false);  // the disk wants larger blocks
            return 0;
        }
    }

    env::Path file_;
    env::UniqueFd fd_;
    env::UniqueFd direct_;  // may be none
    std::atomic<bool> direct_works_{true};
};

}  // namespace

Result<std::unique_ptr<Target>> open_raw_target(const env::Path& file,
                                                const TargetOptions& options) {
    SP_ASSIGN(env::UniqueFd fd, env::open_file(file, O_WRONLY));
    if (::ftruncate(fd.get(), static_cast<off_t>(options.size.raw())) != 0) {
        return fail(env::os_error("set the size of " + file.string(), errno));
    }
    env::UniqueFd direct{::open(file.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC)};
    return std::unique_ptr<Target>{
        std::make_unique<RawTarget>(file, std::move(fd), std::move(direct))};
}

}  // namespace stillpoint::restore
