#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "restore/target.hpp"

namespace stillpoint::restore {
namespace {

class RawTarget final : public Target {
public:
    RawTarget(env::Path file, env::UniqueFd fd) : file_(std::move(file)), fd_(std::move(fd)) {}
    Status write(ByteOffset at, ByteView bytes) override {
        return env::write_at(fd_.get(), at, bytes, file_);
    }
    Status close() override {
        fd_.reset();
        return {};
    }

private:
    env::Path file_;
    env::UniqueFd fd_;
};

}  // namespace

Result<std::unique_ptr<Target>> open_raw_target(const env::Path& file,
                                                const TargetOptions& options) {
    SP_ASSIGN(env::UniqueFd fd, env::open_file(file, O_WRONLY));
    if (::ftruncate(fd.get(), static_cast<off_t>(options.size.raw())) != 0) {
        return fail(env::os_error("set the size of " + file.string(), errno));
    }
    return std::unique_ptr<Target>{std::make_unique<RawTarget>(file, std::move(fd))};
}

}  // namespace stillpoint::restore
