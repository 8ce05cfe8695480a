#include "restore/qemu_nbd.hpp"

#include <signal.h>

#include "env/poll.hpp"

namespace stillpoint::restore {
namespace {

constexpr std::chrono::seconds start_timeout{20};
constexpr std::chrono::milliseconds start_step{10};
constexpr std::chrono::minutes stop_timeout{10};  // it writes out what the kernel holds

std::vector<std::string> arguments_of(const ImageServerOptions& options, const env::Path& socket) {
    std::vector<std::string> arguments{
        "qemu-nbd", "--socket=" + socket.string(), "--format=" + options.format,
        "--shared=" + std::to_string(options.connections),
        // What must be durable is synced by us, once, through the file itself.
        "--cache=" + std::string(options.access == Access::read_write ? "unsafe" : "writeback")};
    if (options.access == Access::read_only) arguments.emplace_back("--read-only");
    // Absolute: neither an option nor one of QEMU's "protocol:" prefixes can be read into it.
    arguments.push_back(std::filesystem::absolute(options.file).string());
    return arguments;
}

Result<env::Child> spawn(const ImageServerOptions& options, const env::Path& socket) {
    env::SpawnOptions spawn;
    spawn.arguments = arguments_of(options, socket);
    spawn.new_session = true;  // Ctrl-C is for us: we end it, once what we do is undone
    auto child = env::Child::spawn(spawn);
    if (!child && child.error().code == Errc::not_found) {
        return fail(Errc::not_found, "restore.no_qemu_nbd", child.error().text,
                    "install qemu-utils, or use --format raw");
    }
    return child;
}

}  // namespace

Result<ImageServer> ImageServer::start(const ImageServerOptions& options,
                                       const env::CancelToken& cancel) {
    SP_ASSIGN(auto folder, env::TemporaryFolder::create(std::filesystem::temp_directory_path(),
                                                        "stillpoint-nbd-"));
    SP_ASSIGN(auto child, spawn(options, folder.path() / "socket"));
    ImageServer server{std::move(folder), std::move(child)};
    const Status connected = server.connect(options.connections, cancel);
    if (!connected) return fail(in_step("open " + options.file.string(), connected.error()));
    return server;
}

Status ImageServer::connect(unsigned count, const env::CancelToken& cancel) {
    const env::SystemClock clock;
    const env::Deadline deadline{clock, start_timeout};
    SP_ASSIGN(const auto watch, env::ProcessWatch::open(child_.pid()));
    const env::Path socket = folder_.path() / "socket";
    while (connections_.size() < count) {
        SP_TRY(cancel.check());
        auto next = NbdConnection::connect(socket, cancel);
        if (next) {
            connections_.push_back(std::move(*next));
            continue;
        }
        if (watch.ended(env::Deadline{clock, env::Nanoseconds::zero()})) {
            return fail(Errc::io, "restore.qemu_nbd", "qemu-nbd cannot serve this image",
                        "try `qemu-img check` on it");
        }
        if (deadline.passed()) return fail(next.error());
        SP_TRY(env::pause(start_step, cancel));  // it tells nobody when its socket is there
    }
    return {};
}

Status ImageServer::stop(const env::CancelToken& cancel) {
    for (NbdConnection& connection : connections_) SP_TRY(connection.flush());
    for (NbdConnection& connection : connections_) SP_TRY(connection.close());
    const env::SystemClock clock;
    SP_ASSIGN(const int exit_code, child_.wait(env::Deadline{clock, stop_timeout}, cancel));
    if (exit_code == 0) return {};
    return fail(Errc::io, "restore.qemu_nbd",
                "qemu-nbd ended with exit code " + std::to_string(exit_code));
}

}  // namespace stillpoint::restore
