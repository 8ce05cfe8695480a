#include <unistd.h>

#include <array>
#include <mutex>

#include "env/process.hpp"
#include "env/unix_socket.hpp"
#include "keeper/keeper.hpp"
#include "keeper/line_reader.hpp"

namespace stillpoint::keeper {
namespace {

using env::Deadline;
using serialization::Map;
using serialization::Value;

// It only parses a document, but may be starved of processor time as its owner may.
constexpr env::Nanoseconds answer_budget = std::chrono::seconds{30};
constexpr env::Nanoseconds beat_spacing = heartbeat_interval / 4;
constexpr env::Nanoseconds farewell_budget = clean_up_budget + std::chrono::seconds{2};

Error dead(const std::string& why) {
    return {Errc::io, "keeper.dead", "the keeper of this backup is gone: " + why,
            "start the backup again; without a keeper nothing would clean up after a crash"};
}

std::int64_t this_thread() {
    return ::gettid();
}

class ProcessKeeper final : public KeeperHandle {
public:
    ProcessKeeper(env::Child child, env::UnixSocket socket, const env::Clock& clock)
        : clock_(clock), child_(std::move(child)), socket_(std::move(socket)) {}
    ~ProcessKeeper() override;

    Status watch(const Value& document) override;
    Status publishing() override;
    Status beat() override;
    Status done() override;
    Farewell hand_over() override;
    [[nodiscard]] pid_t pid() const override { return pid_; }

private:
    Status send(const Value& message);
    Status tell(const Value& message);
    Status await_answer();

    const env::Clock& clock_;
    env::Child child_;
    pid_t pid_ = child_.pid();
    env::UnixSocket socket_;
    std::mutex sending_;  // lines must not interleave; guards the three below
    env::Nanoseconds last_sent_{};
    std::int64_t beats_ = 0;
    bool dismissed_ = false;  // it leaves by itself: no death
    bool ended_ = false;
};

Status ProcessKeeper::send(const Value& message) {
    const std::string line = serialization::to_json(message) + "\n";
    const Status sent = socket_.write_all(as_bytes(line), Deadline{clock_, answer_budget}, {});
    if (!sent) return fail(dead(sent.error().text));
    last_sent_ = clock_.monotonic();
    return {};
}

Status ProcessKeeper::await_answer() {
    const Deadline deadline{clock_, answer_budget};
    LineReader lines;
    std::array<std::byte, 256> bytes{};
    while (true) {
        const auto count = socket_.read_some(bytes, deadline, {});
        if (!count) return fail(dead(count.error().text));
        if (!lines.feed(ByteView{bytes}.first(*count))) return fail(dead("it answered nonsense"));
        const auto line = lines.next();
        if (!line) continue;
        const auto answer = serialization::parse_json(*line);
        if (answer && answer->boolean_or("watching", false)) return {};
        return fail(dead("it refused the document"));
    }
}

Status ProcessKeeper::watch(const Value& document) {
    if (document.map() == nullptr) {
        return fail(Errc::invalid, "keeper.document", "a keeper's document must be an object");
    }
    Map members = *document.map();
    members.try_emplace("owner_pid", static_cast<std::int64_t>(::getpid()));
    return tell(Map{{"watch", std::move(members)}, {"thread", this_thread()}});
}

Status ProcessKeeper::publishing() {
    return tell(Map{{"publishing", true}});
}

Status ProcessKeeper::tell(const Value& message) {
    {
        const std::scoped_lock lock{sending_};
        SP_TRY(send(message));
    }
    return await_answer();
}

Status ProcessKeeper::beat() {
    const std::scoped_lock lock{sending_};
    if (dismissed_) return {};
    if (socket_.closed()) return fail(dead("its end of the pipe is closed"));
    if (clock_.monotonic() - last_sent_ < beat_spacing) return {};
    return send(Map{{"alive", ++beats_}, {"thread", this_thread()}});
}

Status ProcessKeeper::done() {
    {
        const std::scoped_lock lock{sending_};
        SP_TRY(send(Map{{"done", true}}));
        dismissed_ = true;
    }
    SP_TRY(child_.wait(Deadline{clock_, answer_budget}));
    ended_ = true;
    return {};
}

Farewell ProcessKeeper::hand_over() {
    ended_ = true;
    (void)socket_.release();  // closes: the keeper sees the end of the pipe
    const auto status = child_.wait(Deadline{clock_, farewell_budget});
    if (status) return *status == 0 ? Farewell::cleaned_up : Farewell::failed;
    child_.release();  // one that needs longer is not killed in the middle of its work
    return Farewell::goes_on;
}

ProcessKeeper::~ProcessKeeper() {
    // Whether it succeeds is told in its log; nobody is left to hear it here.
    if (!ended_) (void)hand_over();
}

}  // namespace

Result<std::unique_ptr<KeeperHandle>> spawn_keeper(const env::Path& executable,
                                                   const env::Clock& clock) {
    SP_ASSIGN(env::SocketPair pair, env::make_socket_pair());
    env::SpawnOptions options;
    options.arguments = {executable.string(), "--pipe", std::to_string(pair.theirs.get())};
    options.inherit_fd = pair.theirs.get();
    options.new_session = true;
    SP_ASSIGN(env::Child child, env::Child::spawn(options));
    SP_ASSIGN(env::UnixSocket socket, env::UnixSocket::adopt(std::move(pair.ours), "the keeper"));
    return std::make_unique<ProcessKeeper>(std::move(child), std::move(socket), clock);
}

}  // namespace stillpoint::keeper
