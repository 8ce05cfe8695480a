#include <condition_variable>
#include <mutex>

#include "restore/qemu_nbd.hpp"
#include "restore/target.hpp"

namespace stillpoint::restore {
namespace {

constexpr std::chrono::minutes create_timeout{5};

/// Lends the server's connections to whoever writes. Not more workers than connections write.
class Qcow2Target final : public Target {
public:
    Qcow2Target(ImageServer server, const env::CancelToken& cancel)
        : server_(std::move(server)), cancel_(cancel) {
        for (std::size_t at = 0; at < server_.connections(); ++at) free_.push_back(at);
    }

    Status write(ByteOffset at, ByteView bytes) override {
        const std::size_t mine = borrow();
        Status status = server_.connection(mine).write(at, bytes);
        give_back(mine);
        return status;
    }

    Status close() override { return server_.stop(cancel_); }

private:
    // Whoever holds a connection gives it back within its own deadline.
    std::size_t borrow() {
        std::unique_lock lock{mutex_};
        given_back_.wait(lock, [&] { return !free_.empty(); });
        const std::size_t at = free_.back();
        free_.pop_back();
        return at;
    }
    void give_back(std::size_t at) {
        const std::scoped_lock lock{mutex_};
        free_.push_back(at);
        given_back_.notify_one();
    }

    ImageServer server_;
    env::CancelToken cancel_;
    std::mutex mutex_;
    std::condition_variable given_back_;
    std::vector<std::size_t> free_;  // guarded by the mutex
};

Status create_image(const env::Path& file, ByteCount size, const env::CancelToken& cancel) {
    const env::SystemClock clock;
    auto created =
        env::run_process({"qemu-img", "create", "-q", "-f", "qcow2",
                          std::filesystem::absolute(file).string(), std::to_string(size.raw())},
                         env::Deadline{clock, create_timeout}, cancel);
    if (!created && created.error().code == Errc::not_found) {
        return fail(Errc::not_found, "restore.no_qemu_img", created.error().text,
                    "install qemu-utils, or use --format raw");
    }
    if (!created) return fail(created.error());
    if (created->exit_code == 0) return {};
    return fail(
        created->errors.find("No space left") != std::string::npos ? Errc::no_space : Errc::io,
        "restore.qemu_img", "create " + file.string() + ": " + created->errors);
}

}  // namespace

Result<std::unique_ptr<Target>> open_qcow2_target(const env::Path& file,
                                                  const TargetOptions& options,
                                                  const env::CancelToken& cancel) {
    SP_TRY(create_image(file, options.size, cancel));
    SP_ASSIGN(auto server, ImageServer::start({.file = file,
                                               .format = "qcow2",
                                               .access = Access::read_write,
                                               .connections = options.connections},
                                              cancel));
    return std::unique_ptr<Target>{std::make_unique<Qcow2Target>(std::move(server), cancel)};
}

}  // namespace stillpoint::restore
