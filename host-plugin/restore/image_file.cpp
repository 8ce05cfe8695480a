#include "restore/image_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <mutex>

#include "restore/qemu_nbd.hpp"

namespace stillpoint::restore {
namespace {

class RawFile final : public ImageFile {
public:
    RawFile(env::Path file, env::UniqueFd fd, ByteCount size)
        : file_(std::move(file)), fd_(std::move(fd)), size_(size) {}
    [[nodiscard]] ByteCount size() const override { return size_; }
    Status read(ByteOffset at, std::span<std::byte> into) override {
        return env::read_at(fd_.get(), at, into, file_);
    }
    Result<std::optional<Extent>> next_data(ByteOffset at, ByteOffset end) override {
        const off_t data = ::lseek(fd_.get(), static_cast<off_t>(at.raw()), SEEK_DATA);
        if (data < 0 && errno == ENXIO) return std::nullopt;
        // Block devices and some filesystems cannot tell: everything may be data.
        const std::uint64_t from = data < 0 ? at.raw() : static_cast<std::uint64_t>(data);
        if (from >= end.raw()) return std::nullopt;
        const off_t hole = data < 0 ? data : ::lseek(fd_.get(), data, SEEK_HOLE);
        const std::uint64_t to = hole < 0 ? end.raw() : static_cast<std::uint64_t>(hole);
        return Extent{ByteOffset{from}, ByteCount{std::min(to, end.raw()) - from}};
    }

private:
    env::Path file_;
    env::UniqueFd fd_;
    ByteCount size_;
};

/// An image behind a server of our own; its connections are lent to one reader at a time.
class ServedFile final : public ImageFile {
public:
    static Result<std::unique_ptr<ImageFile>> open(const env::Path& file, unsigned connections,
                                                   const env::CancelToken& cancel) {
        SP_ASSIGN(auto server, ImageServer::start({.file = file,
                                                   .format = "qcow2",
                                                   .access = Access::read_only,
                                                   .connections = connections},
                                                  cancel));
        SP_ASSIGN(const ByteCount size, server.connection(0).size());
        return std::unique_ptr<ImageFile>{new ServedFile{std::move(server), size}};
    }
    [[nodiscard]] ByteCount size() const override { return size_; }
    Status read(ByteOffset at, std::span<std::byte> into) override {
        return with_one([&](NbdConnection& nbd) { return nbd.read(at, into); });
    }
    Result<std::optional<Extent>> next_data(ByteOffset at, ByteOffset end) override {
        return with_one([&](NbdConnection& nbd) { return nbd.next_data(at, end); });
    }

private:
    ServedFile(ImageServer server, ByteCount size) : server_(std::move(server)), size_(size) {
        for (std::size_t at = 0; at < server_.connections(); ++at) free_.push_back(at);
    }
    template <class Use>
    auto with_one(Use&& use) -> decltype(use(std::declval<NbdConnection&>())) {
        std::unique_lock lock{mutex_};
        given_back_.wait(lock, [&] { return !free_.empty(); });  // each use has a deadline
        const std::size_t at = free_.back();
        free_.pop_back();
        lock.unlock();
        auto result = use(server_.connection(at));
        lock.lock();
        free_.push_back(at);
        given_back_.notify_one();
        return result;
    }

    ImageServer server_;
    ByteCount size_;
    std::mutex mutex_;
    std::condition_variable given_back_;
    std::vector<std::size_t> free_;  // guarded by the mutex
};

bool is_named_raw(const env::Path& file) {
    return file.extension() == ".raw" || file.extension() == ".img";
}

Result<bool> begins_like_qcow2(const env::UniqueFd& fd, const env::Path& file) {
    std::array<std::byte, 4> head{};
    const ssize_t n = ::pread(fd.get(), head.data(), head.size(), 0);
    if (n < 0) return fail(env::os_error("read " + file.string(), errno));
    const auto magic = std::array{std::byte{'Q'}, std::byte{'F'}, std::byte{'I'}, std::byte{0xfb}};
    return n == 4 && head == magic;
}

}  // namespace

Result<std::unique_ptr<ImageFile>> open_image(const env::Path& file, unsigned connections,
                                              const env::CancelToken& cancel) {
    SP_ASSIGN(env::UniqueFd fd, env::open_file(file, O_RDONLY));
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) return fail(env::os_error("stat " + file.string(), errno));
    if (S_ISREG(info.st_mode) && !is_named_raw(file)) {
        SP_ASSIGN(const bool qcow2, begins_like_qcow2(fd, file));
        if (qcow2) return ServedFile::open(file, connections, cancel);
    }
    const off_t end = ::lseek(fd.get(), 0, SEEK_END);  // st_size of a block device is 0
    if (end < 0) return fail(env::os_error("size of " + file.string(), errno));
    return std::unique_ptr<ImageFile>{
        std::make_unique<RawFile>(file, std::move(fd), ByteCount{static_cast<std::uint64_t>(end)})};
}

}  // namespace stillpoint::restore
