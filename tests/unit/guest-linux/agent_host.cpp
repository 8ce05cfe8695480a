#include "agent_host.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>

#include "hooks/hook_runner.hpp"
#include "hooks/journal_file.hpp"
#include "service/agent.hpp"

namespace stillpoint::test {
namespace {

using namespace linux_guest;
using namespace std::chrono_literals;
using os::Nanoseconds;

constexpr Nanoseconds patience = 20s;  // a busy machine forks and syncs slowly

serialization::Evidence filesystem(const std::string& name, bool quiesced, std::string note = "") {
    serialization::Evidence evidence;
    evidence.kind = serialization::EvidenceKind::filesystem;
    evidence.name = name;
    evidence.type = "ext4";
    evidence.quiesced = quiesced;
    evidence.note = std::move(note);
    return evidence;
}

int serve(const GuestConfig& config, FakeEngine& engine, const fs::path& folder) {
    ::signal(SIGPIPE, SIG_IGN);
    sigset_t stop;
    ::sigemptyset(&stop);
    ::sigaddset(&stop, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &stop, nullptr);
    const os::UniqueFd signals{::signalfd(-1, &stop, SFD_CLOEXEC)};
    const os::UniqueFd null{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
    GuestLog log{null.get(), Severity::info};
    HostLine line{[&]() -> Result<std::string> { return folder / "port"; }};
    const TrustRules trust{::geteuid(), folder};
    SystemHooks hooks{{folder / "state", {}, trust}, SystemHooks::Groups::never};
    HookJournalFile journal{{folder / "hooks.journal", folder / "hooks.lock", trust}};
    ::sigemptyset(&stop);
    ::sigaddset(&stop, SIGHUP);
    ::sigprocmask(SIG_BLOCK, &stop, nullptr);
    const os::UniqueFd reload{::signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK)};
    Agent::Parts parts{line, engine, hooks, journal, log, signals.get(), trust};
    parts.reload_fd = reload.get();
    parts.reload = [&] {
        auto read = load_guest_config(folder / "guest.xml");
        if (!read) std::ofstream{folder / "record", std::ios::app} << "refused ";
        return read;
    };
    Agent{config, parts}.run();
    return 0;
}

bool readable(int fd, Nanoseconds span) {
    pollfd entry{fd, POLLIN, 0};
    return ::poll(&entry, 1, os::poll_ms(Nanoseconds{0}, span)) > 0;
}

}  // namespace

void FakeEngine::note(const std::string& what) const {
    std::ofstream{record_, std::ios::app} << what << ' ';
}

void FakeEngine::use(const linux_guest::FreezeRules& rules) {
    note("rules exclude " + std::to_string(rules.exclude.size()));
}

serialization::Diagnosis FakeEngine::examine(bool dry_run, os::Waiter& waiter) {
    note(dry_run ? "dry run" : "look");
    if (mood_ == Mood::hanging) waiter.wait({}, os::boottime() + std::chrono::seconds{20});
    serialization::Diagnosis diagnosis;
    diagnosis.mounts.push_back({"/data", "ext4", "8:1", 0, dry_run, 3, 2, 1, ""});
    return diagnosis;
}

Result<std::vector<serialization::Volume>> FakeEngine::volumes() {
    return std::vector<serialization::Volume>{{"/", "ext4", "254:0", true, false, ""}};
}

Status FakeEngine::write_out(Nanoseconds, os::Waiter&) {
    return {};
}

Result<FreezeReport> FakeEngine::freeze(const FreezeBudgets& budgets, os::Waiter& waiter) {
    note("freeze");
    last_.reset();
    frozen_ = true;
    if (mood_ == Mood::foreign) {
        return fail(Errc::busy, "freeze.foreign", "/ is already frozen by somebody else");
    }
    if (mood_ == Mood::hanging) {
        if (waiter.wait({}, os::boottime() + patience) == os::WaitEnd::cancelled) {
            return fail(Errc::cancelled, "freeze.cancelled", "cancelled");
        }
    }
    const Nanoseconds now = os::boottime();
    note("hold=" + std::to_string(budgets.hold / 1ms));
    return FreezeReport{now, now + 1ns, {filesystem("/", true)}};
}

Status FakeEngine::tend() {
    if (mood_ != Mood::breaking) return {};
    return fail(Errc::io, "freeze.watchdog_died", "the watchdog died");
}

ThawReport FakeEngine::thaw(os::Waiter&) {
    if (last_) return *last_;
    note("thaw");
    const bool held = frozen_ && mood_ == Mood::good;
    ThawReport report;
    report.held = held;
    report.thaw = os::boottime();
    report.thawed = report.thaw + 1ns;
    report.evidence = {filesystem("/", held)};
    if (!held) report.problem = "not held";
    last_ = report;
    return report;
}

AgentHost::AgentHost() {
    std::string name = fs::temp_directory_path() / "stillpoint-agent-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
    const std::string path = folder_ / "port";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    listener_ = os::UniqueFd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const void* const raw = &address;
    REQUIRE(::bind(listener_.get(), static_cast<const sockaddr*>(raw), sizeof address) == 0);
    REQUIRE(::listen(listener_.get(), 1) == 0);
}

void AgentHost::start(const GuestConfig& config, FakeEngine::Mood mood) {
    const fs::path record = folder_ / "record";
    agent_ = ::fork();
    if (agent_ == 0) {
        listener_.reset();
        FakeEngine engine{mood, record};
        ::_exit(serve(config, engine, folder_));
    }
    accept();
}

void AgentHost::kill_agent() {
    if (agent_ <= 0) return;
    ::kill(agent_, SIGKILL);
    ::waitpid(agent_, nullptr, 0);
    agent_ = -1;
    peer_.reset();
}

AgentHost::~AgentHost() {
    kill_agent();
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
}

void AgentHost::accept() {
    REQUIRE(readable(listener_.get(), patience));
    peer_ = os::UniqueFd{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    REQUIRE(peer_.valid());
}

void AgentHost::send_raw(ByteView bytes) const {
    REQUIRE(::send(peer_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
}

void AgentHost::send(const Message& message) {
    send_raw(
        serialization::encode_frame({session, ++sequence, serialization::encode_message(message)}));
}

Message AgentHost::receive() {
    const Nanoseconds until = os::boottime() + patience;
    for (;;) {
        while (const auto frame = reader_.next()) {
            if (frame->session == session)
                return serialization::decode_message(frame->payload).value();
        }
        REQUIRE(readable(peer_.get(), until - os::boottime()));
        std::array<std::byte, 4096> piece;
        const ssize_t got = ::recv(peer_.get(), piece.data(), piece.size(), 0);
        REQUIRE(got > 0);
        reader_.feed(ByteView{piece}.first(static_cast<std::size_t>(got)));
    }
}

void AgentHost::wrong(const Message& message, std::string_view wanted) {
    FAIL("expected " << std::string(wanted) << ", got " << serialization::message_to_json(message));
}

serialization::Welcome AgentHost::greet() {
    ++session;
    sequence = 0;
    return ask<serialization::Welcome>(serialization::Hello{});
}

std::string AgentHost::record() const {
    std::string text = os::read_file(folder_ / "record", 1u << 16).value_or("");
    while (text.ends_with(' ')) text.pop_back();
    return text;
}

bool AgentHost::record_becomes(const std::string& wanted) const {
    const Nanoseconds until = os::boottime() + patience;
    while (record() != wanted && os::boottime() < until) ::poll(nullptr, 0, 5);
    CHECK(record() == wanted);
    return record() == wanted;
}

void AgentHost::reload(const std::string& xml) const {
    std::ofstream{folder_ / "guest.xml"} << xml;
    ::kill(agent_, SIGHUP);
}

void AgentHost::stop_agent() const {
    ::kill(agent_, SIGTERM);
}

int AgentHost::agent_exit() {
    const Nanoseconds until = os::boottime() + patience;
    int status = 0;
    while (::waitpid(agent_, &status, WNOHANG) == 0) {
        if (os::boottime() > until) return -1;
        ::poll(nullptr, 0, 5);
    }
    agent_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

HookCommand AgentHost::hook(const std::string& word, const std::string& body) {
    const fs::path path = folder_ / ("hook" + std::to_string(++hooks_));
    std::ofstream{path} << "#!/bin/sh\nprintf '%s ' \"" << word << "\" >>"
                        << (folder_ / "record").string() << "\n"
                        << body << "\n";
    fs::permissions(path, fs::perms::owner_all);
    HookCommand command;
    command.command = path;
    command.timeout = 20s;
    return command;
}

}  // namespace stillpoint::test
