#include "keeper/keeper.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "env/background.hpp"
#include "env/poll.hpp"
#include "env/process.hpp"
#include "env/unix_socket.hpp"
#include "keeper/line_reader.hpp"
#include "keeper/stall.hpp"

namespace stillpoint::keeper {
namespace {

using env::Deadline;
using env::Nanoseconds;
using serialization::Map;
using serialization::Value;

constexpr Nanoseconds idle_max = std::chrono::hours{24};  // before the first watch
constexpr Nanoseconds kill_budget =
    std::chrono::seconds{2};  // SIGKILL takes effect at once, but
                              // not in an uninterruptible system call
constexpr Nanoseconds attempt_min = std::chrono::seconds{1};
constexpr Nanoseconds pause_between = std::chrono::milliseconds{100};
constexpr Nanoseconds late_pause_min = std::chrono::seconds{1};
// Long: a call to a daemon that is stopped cannot be taken back, but is answered when it goes on.
constexpr Nanoseconds late_attempt_max = std::chrono::minutes{10};
static_assert(late_pause_min < late_pause_max && late_pause_max < clean_up_budget);

enum class Ending { done, owner_gone, owner_hangs };

class Keeper {
public:
    Keeper(env::UnixSocket pipe, const CleanUp& clean_up, const env::Clock& clock)
        : pipe_(std::move(pipe)), clean_up_(clean_up), clock_(clock) {}
    int run();

private:
    Ending listen();
    std::optional<Ending> judge(StallJudge& stall);
    [[nodiscard]] std::optional<env::ThreadLook> look_at_heart() const;
    std::optional<Ending> read_pipe();
    std::optional<Ending> obey(const std::string& line);
    bool watch(const Value& document);
    void kill_owner();
    Status clean_up(const Deadline& promised, const Deadline& last);
    Status attempt(const Deadline& promised, const Deadline& last);
    void note(const std::string& text) const;

    env::UnixSocket pipe_;
    const CleanUp& clean_up_;
    const env::Clock& clock_;
    LineReader lines_;
    std::optional<Value> document_;  // empty: nothing to clean up yet
    env::Path job_folder_;
    env::Path vm_lock_;
    Nanoseconds stall_ = stall_default;
    Nanoseconds patience_ = patience_default;
    std::optional<env::ProcessWatch> owner_;  // empty: unknown, the pipe must tell
    pid_t heart_ = 0;                         // the owner's thread that spoke last, if it said
    bool told_starved_ = false;
};

void Keeper::note(const std::string& text) const {
    std::fprintf(stderr, "%s %s\n", env::rfc3339(clock_.wall()).c_str(), text.c_str());
    std::fflush(stderr);
}

// @return a member in milliseconds, at most a day; `otherwise` where there is none
Nanoseconds time_in(const Value& document, const char* member, Nanoseconds otherwise) {
    const auto ms = document.integer_or(member, 0);
    if (ms <= 0) return otherwise;
    constexpr std::int64_t day_ms = 86'400'000;
    return std::chrono::milliseconds{std::min(ms, day_ms)};
}

bool Keeper::watch(const Value& document) {
    if (document.map() == nullptr) return false;
    document_ = document;
    stall_ = time_in(document, "stall_ms", stall_default);
    patience_ = time_in(document, "patience_ms", patience_default);
    vm_lock_ = document.text_or("vm_lock");
    // Whoever we may have to kill must be who started us; a number in a document proves nothing.
    const auto owner_pid = document.integer_or("owner_pid", 0);
    if (!owner_ && owner_pid == env::starter_pid()) {
        auto owner = env::ProcessWatch::open(static_cast<pid_t>(owner_pid));
        if (owner) owner_ = std::move(*owner);
    }
    const env::Path folder = document.text_or("job_folder");
    if (!folder.empty() && folder != job_folder_) {
        job_folder_ = folder;
        // Made by who removes it: an owner that made it before could die in between.
        (void)env::make_folders(folder, job_folder_mode);
        // Without a log the work goes on; a folder prepared before by somebody else has one.
        (void)env::redirect_output(folder / "keeper.log");
    }
    return true;
}

// @return how the watch ends with this line, if it does
std::optional<Ending> Keeper::obey(const std::string& line) {
    const auto message = serialization::parse_json(line);
    if (!message || message->map() == nullptr) {
        note("owner wrote no JSON object");
        return Ending::owner_gone;
    }
    if (message->boolean_or("done", false)) return Ending::done;
    heart_ = static_cast<pid_t>(message->integer_or("thread", heart_));
    const Value* document = message->find("watch");
    if (document != nullptr && !watch(*document)) return Ending::owner_gone;
    const bool publishing = document_ && message->boolean_or("publishing", false);
    if (publishing) (*document_->map())[undecided] = false;
    if (document == nullptr && !publishing) return std::nullopt;  // alive
    // An owner that no longer reads is found out by what follows.
    (void)pipe_.write_all(as_bytes("{\"watching\":true}\n"), Deadline{clock_, attempt_min}, {});
    return std::nullopt;
}

std::optional<Ending> Keeper::read_pipe() {
    std::array<std::byte, 4096> bytes{};
    const auto count = pipe_.read_some(bytes, Deadline{clock_, {}}, {});
    if (!count) return Ending::owner_gone;
    if (!lines_.feed(ByteView{bytes}.first(*count))) {
        note("owner wrote a line of more than " + std::to_string(line_bytes_max) + " bytes");
        return Ending::owner_gone;
    }
    while (const auto line = lines_.next()) {
        if (const auto ending = obey(*line)) return ending;
    }
    return std::nullopt;
}

// Before the first beat whoever told us to watch stands for the heart: it is about to start it.
std::optional<env::ThreadLook> Keeper::look_at_heart() const {
    if (!owner_) return std::nullopt;
    const pid_t owner = env::starter_pid();
    const auto seen = env::look_at_thread(owner, heart_ != 0 ? heart_ : owner);
    return seen ? std::optional{*seen} : std::nullopt;
}

std::optional<Ending> Keeper::judge(StallJudge& stall) {
    switch (stall.look(clock_.monotonic(), look_at_heart())) {
        case StallJudge::Verdict::wait:
            return std::nullopt;
        case StallJudge::Verdict::starved:
            if (!std::exchange(told_starved_, true))
                note("owner is silent for want of a processor");
            return std::nullopt;
        case StallJudge::Verdict::hangs:
            break;
    }
    return Ending::owner_hangs;
}

Ending Keeper::listen() {
    StallJudge stall{stall_, clock_.monotonic()};
    while (true) {
        const Nanoseconds patience = document_ ? stall.next_look() - clock_.monotonic() : idle_max;
        std::array polls{pollfd{pipe_.fd(), POLLIN, 0},
                         pollfd{owner_ ? owner_->poll_fd() : -1, POLLIN, 0}};
        const auto ready = env::wait_any(polls, Deadline{clock_, std::max(patience, {})});
        if (!ready) return Ending::owner_gone;
        if (polls[0].revents != 0) {
            // Before the owner's end: what it said last counts, "done" above all.
            if (const auto ending = read_pipe()) return *ending;
            stall = StallJudge{stall_, clock_.monotonic()};
            continue;
        }
        if (polls[1].revents != 0) return Ending::owner_gone;
        if (!document_) continue;
        if (const auto ending = judge(stall)) return *ending;
    }
}

void Keeper::kill_owner() {
    if (!owner_) {
        note("owner hangs, and is not the process that started this keeper: not killed");
        return;
    }
    note("owner hangs: killed");
    owner_->kill(SIGKILL);
    if (!owner_->ended(Deadline{clock_, kill_budget})) note("owner does not end");
}

// The job is tied to this session by its names; the lock keeps a newer one from beginning between
// a late look at it and its end.
Status Keeper::attempt(const Deadline& promised, const Deadline& last) {
    if (!promised.passed()) {
        // One hanging attempt must leave time for another.
        const Nanoseconds budget =
            std::max(promised.left() / 2, std::min(attempt_min, promised.left()));
        return clean_up_(*document_, Deadline{clock_, budget});
    }
    const Deadline budget = last.at_most(late_attempt_max);
    if (vm_lock_.empty()) return clean_up_(*document_, budget);
    const auto lock = env::FileLock::take(vm_lock_);
    // Without its folder nobody locks: whoever begins a backup makes it first.
    if (!lock && lock.error().code == Errc::busy) return fail(lock.error());
    return clean_up_(*document_, budget);
}

Status Keeper::clean_up(const Deadline& promised, const Deadline& last) {
    std::string told;
    Nanoseconds late_pause = late_pause_min;
    while (true) {
        Status status = attempt(promised, last);
        if (status) return status;
        if (told != status.error().text) note("clean-up failed: " + status.error().text);
        told = status.error().text;
        if (last.left() < pause_between) return status;
        const bool late = promised.left() < pause_between;
        (void)env::pause(late ? late_pause : pause_between, {});
        if (late) late_pause = std::min(2 * late_pause, late_pause_max);
    }
}

int Keeper::run() {
    const Ending ending = listen();
    if (ending == Ending::done || !document_) return EXIT_SUCCESS;
    const Deadline promised{clock_, std::min(clean_up_budget, patience_)};
    const Deadline last{clock_, patience_};
    (void)pipe_.release();  // an owner that lives must notice at its next beat
    if (ending == Ending::owner_hangs) kill_owner();
    note("owner is gone: cleaning up");
    if (!clean_up(promised, last)) {
        note("gave up; something is left");
        return EXIT_FAILURE;
    }
    const Status removed = job_folder_.empty() ? Status{} : env::remove_tree(job_folder_);
    if (!removed) note(removed.error().text);
    return removed ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int run_keeper(int pipe_fd, const CleanUp& clean_up, const env::Clock& clock) {
    auto pipe = env::UnixSocket::adopt(env::UniqueFd{pipe_fd}, "the owner's pipe");
    if (!pipe) return EXIT_FAILURE;
    return Keeper{std::move(*pipe), clean_up, clock}.run();
}

int keeper_main(int argc, char** argv, const CleanUp& clean_up) {
    const std::string number = argc == 3 && std::string{argv[1]} == "--pipe" ? argv[2] : "";
    const bool digits = !number.empty() && number.size() <= 6 &&
                        number.find_first_not_of("0123456789") == std::string::npos;
    if (!digits) {
        std::fprintf(stderr, "usage: %s --pipe DESCRIPTOR (started by a backup, not by hand)\n",
                     argc > 0 ? argv[0] : "stillpoint-keeper");
        return 2;
    }
    const int pipe_fd = std::stoi(number);
    if (const Status left = env::leave_starter(pipe_fd); !left) return EXIT_FAILURE;
    const env::SystemClock clock;
    return run_keeper(pipe_fd, clean_up, clock);
}

}  // namespace stillpoint::keeper
