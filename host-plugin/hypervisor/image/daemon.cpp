#include "hypervisor/image/daemon.hpp"

#include <fcntl.h>
#include <signal.h>

#include <algorithm>
#include <sstream>

namespace stillpoint::hypervisor::image {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t unix_path_bytes_max = 107;  // sockaddr_un's 108 with its NUL
constexpr std::size_t record_bytes_max = 64;      // two numbers
constexpr std::size_t log_bytes_max = 64u << 10;  // what may end in an error's text
constexpr qmp::Version oldest_daemon{6, 1};       // blockdev-reopen
constexpr env::Nanoseconds store_budget = std::chrono::seconds{3};  // after SIGTERM
constexpr env::Nanoseconds killed_budget = std::chrono::seconds{2};

Status make_folder(const KeeperOrder& order) {
    if (order.nbd_socket().string().size() > unix_path_bytes_max) {
        return fail(Errc::invalid, "socket.path_too_long",
                    "the socket path " + order.nbd_socket().string() + " is longer than 107 bytes",
                    "choose a scratch folder with a shorter name");
    }
    return env::make_folders(order.folder, 0700);
}

Result<env::Child> spawn(const KeeperOrder& order, int monitor_fd) {
    SP_ASSIGN(const env::UniqueFd log,
              env::open_file(order.log_file(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0600));
    env::SpawnOptions options;
    options.arguments = {"qemu-storage-daemon", "--chardev",
                         "socket,id=monitor,fd=" + std::to_string(monitor_fd), "--monitor",
                         "chardev=monitor"};
    options.inherit_fd = monitor_fd;
    options.output_fd = log.get();
    options.ends_with_starter = true;
    auto child = env::Child::spawn(options);
    if (!child && child.error().code == Errc::not_found) {
        return fail(Errc::not_found, "image.no_daemon", child.error().text,
                    "install qemu-utils (qemu-storage-daemon), 6.1 or later");
    }
    return child;
}

Status record(const KeeperOrder& order, pid_t pid) {
    SP_ASSIGN(const std::uint64_t started, env::started_at(pid));
    const std::string text = std::to_string(pid) + " " + std::to_string(started) + "\n";
    SP_ASSIGN(const env::UniqueFd file,
              env::open_file(order.daemon_file(), O_WRONLY | O_CREAT | O_EXCL, 0600));
    return env::write_at(file.get(), ByteOffset{0}, as_bytes(text), order.daemon_file());
}

Error explain(const KeeperOrder& order, const Error& error) {
    if (error.code == Errc::timeout || error.code == Errc::busy) return error;
    const auto log = env::read_file(order.log_file(), log_bytes_max);
    const std::string said = log ? std::string{as_text(*log)} : std::string{};
    return {Errc::io, "image.daemon",
            "qemu-storage-daemon did not start: " + (said.empty() ? error.text : said),
            "see that qemu-storage-daemon 6.1 or later works"};
}

Status check_version(const qmp::Version& version) {
    if (version >= oldest_daemon) return {};
    return fail(Errc::unsupported, "image.too_old",
                "qemu-storage-daemon " + std::to_string(version.major) + "." +
                    std::to_string(version.minor) + " is too old for powered-off images",
                "6.1 is the oldest that works; or back the VM up while it runs");
}

}  // namespace

Result<std::unique_ptr<StorageDaemon>> StorageDaemon::start(const KeeperOrder& order,
                                                            const env::Deadline& deadline,
                                                            const env::CancelToken& cancel) {
    SP_TRY(make_folder(order));
    SP_TRY(cancel.check());
    SP_ASSIGN(env::SocketPair pair, env::make_socket_pair());
    SP_ASSIGN(env::Child process, spawn(order, pair.theirs.get()));
    pair.theirs.reset();
    SP_TRY(record(order, process.pid()));
    SP_ASSIGN(auto socket, env::UnixSocket::adopt(std::move(pair.ours), "qemu-storage-daemon"));
    auto client = qmp::QmpClient::greet(std::move(socket), "qemu-storage-daemon", deadline);
    if (!client) return fail(explain(order, client.error()));
    SP_TRY(check_version(client->version()));
    return std::make_unique<StorageDaemon>(Key{}, std::move(process), std::move(*client));
}

Status StorageDaemon::stop(const env::Deadline& deadline) {
    // A daemon that does not answer is killed below; that it ended is what matters.
    static_cast<void>(client_.run("quit", {}, deadline));
    if (process_.wait(deadline)) return {};
    process_.kill(SIGKILL);
    static_cast<void>(process_.wait(deadline.at_most(killed_budget)));
    return fail(Errc::timeout, "image.daemon_hangs",
                "qemu-storage-daemon did not close its images in time and was killed",
                "look at the storage of the images; the next backup reads what it must");
}

Status end_daemon(const KeeperOrder& order, const env::Deadline& deadline) {
    const auto bytes = env::read_file(order.daemon_file(), record_bytes_max);
    if (!bytes && bytes.error().code == Errc::not_found) return {};
    if (!bytes) return fail(bytes.error());
    std::istringstream text{std::string{as_text(*bytes)}};
    pid_t pid = 0;
    std::uint64_t started = 0;
    // Written in one piece before the daemon was of any use: a torn record means it never was.
    if (!(text >> pid >> started)) return {};
    const auto daemon = env::ProcessWatch::open(pid, started);
    if (!daemon && daemon.error().code == Errc::not_found) return {};
    if (!daemon) return fail(daemon.error());
    daemon->kill(SIGTERM);
    if (daemon->ended(deadline.at_most(std::min(store_budget, deadline.left() / 2)))) return {};
    daemon->kill(SIGKILL);
    if (daemon->ended(deadline)) return {};
    return fail(Errc::timeout, "image.daemon_hangs",
                "the storage daemon with process number " + std::to_string(pid) + " does not end");
}

Status remove_files(const KeeperOrder& order) {
    Status first;
    for (const env::Path& file : {order.nbd_socket(), order.daemon_file(), order.log_file()}) {
        Status removed = env::remove_file(file);
        if (first && !removed) first = std::move(removed);
    }
    std::error_code ignored;  // whoever owns the job folder removes what is still in it
    fs::remove(order.folder, ignored);
    return first;
}

}  // namespace stillpoint::hypervisor::image
