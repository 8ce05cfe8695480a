#include <sys/utsname.h>

#include "serialization/version.hpp"
#include "service/agent.hpp"
#include "service/doctor.hpp"

/// What the agent hears and says.
namespace stillpoint::linux_guest {

using quiesce::Event;
using quiesce::State;
using serialization::Failure;
using serialization::Message;

namespace {

constexpr std::size_t os_release_bytes_max = 64u << 10;

/// PRETTY_NAME of os-release, or the kernel's name and release.
std::string os_release() {
    for (const char* path : {"/etc/os-release", "/usr/lib/os-release"}) {
        const std::string text = "\n" + os::read_file(path, os_release_bytes_max).value_or("");
        constexpr std::string_view key = "\nPRETTY_NAME=";
        const std::size_t at = text.find(key);
        if (at == std::string::npos) continue;
        std::string name = text.substr(at + key.size());
        name.resize(std::min(name.find('\n'), name.size()));
        std::erase(name, '"');
        return name;
    }
    utsname kernel{};
    ::uname(&kernel);
    return std::string(kernel.sysname) + " " + kernel.release;
}

}  // namespace

void Agent::serve_line(short revents) {
    const HostLine::Served served = parts_.line.serve(revents);
    while (const auto frame = parts_.line.next()) take(*frame);
    if (served == HostLine::Served::lost) feed(Event::channel_lost);
    if (!parts_.line.problem().empty() && parts_.line.problem() != logged_problem_) {
        parts_.log.line(Severity::warning, parts_.line.problem());
    }
    logged_problem_ = parts_.line.problem();
}

void Agent::take(const serialization::Frame& frame) {
    const bool ours = frame.session == session_ && session_ != 0;
    if (ours && frame.sequence <= received_) return;  // repeated, or older than what was heard
    const auto message = serialization::decode_message(frame.payload);
    if (message && std::holds_alternative<serialization::Hello>(*message)) {
        if (!ours) return take_hello(frame.session, std::get<serialization::Hello>(*message));
        received_ = frame.sequence;
        return send(welcome_);
    }
    if (!ours) return;  // left over from a session that has ended
    received_ = frame.sequence;
    if (message) return take_message(*message);
    send_error({Errc::invalid, "protocol.malformed", message.error().text, {}});
}

void Agent::take_hello(serialization::SessionId session, const serialization::Hello& hello) {
    new_session_ = NewSession{session, hello};
    feed(Event::channel_lost);  // whatever the earlier host held still goes on
}

void Agent::adopt_hello() {
    if (!new_session_) return;
    const NewSession adopted = *std::exchange(new_session_, std::nullopt);
    session_ = adopted.id;
    sent_ = 0;
    received_ = 0;
    const auto version =
        serialization::choose_version({}, {adopted.hello.version_min, adopted.hello.version_max});
    if (!version) {
        return send_error({Errc::unsupported,
                           "protocol.version",
                           "this extension speaks protocol versions " +
                               std::to_string(serialization::protocol_version_min) + " to " +
                               std::to_string(serialization::protocol_version_max),
                           {}});
    }
    welcome_ = make_welcome();
    welcome_.version = *version;
    send(welcome_);
}

serialization::Welcome Agent::make_welcome() {
    serialization::Welcome welcome;
    welcome.agent_version = STILLPOINT_VERSION;
    welcome.os = "linux";
    welcome.os_release = os_release();
    welcome.hooks_configured = !configured_hooks().empty();
    welcome.journal = hooks_.journal_state();
    if (auto volumes = parts_.freezer.volumes()) {
        welcome.volumes = *std::move(volumes);
    } else {
        parts_.log.line(Severity::warning, "reading the mounts: " + volumes.error().text);
    }
    return welcome;
}

void Agent::take_message(const Message& message) {
    if (const auto* ping = std::get_if<serialization::Ping>(&message)) {
        return send(serialization::Pong{ping->number, std::string(name_of(state_))});
    }
    if (const auto* prepare = std::get_if<serialization::Prepare>(&message)) {
        if (state_ == State::idle) prepare_ = *prepare;
        return feed(Event::prepare);
    }
    if (const auto* freeze = std::get_if<serialization::Freeze>(&message))
        return take_freeze(*freeze);
    if (const auto* thaw = std::get_if<serialization::Thaw>(&message)) return take_thaw(*thaw);
    if (const auto* finish = std::get_if<serialization::Finish>(&message))
        return take_finish(*finish);
    if (std::holds_alternative<serialization::Cancel>(message)) return feed(Event::cancel);
    if (const auto* doctor = std::get_if<serialization::Doctor>(&message))
        return take_doctor(*doctor);
    send_error({Errc::unsupported,
                "protocol.unknown",
                "not a request: " + std::string(kind_of(message)),
                {}});
}

void Agent::take_freeze(const serialization::Freeze& freeze) {
    if (state_ == State::prepared) freeze_ = freeze;
    feed(Event::freeze);
}

void Agent::take_thaw(const serialization::Thaw& thaw) {
    if (thaw.lease_id == freeze_.lease_id) return feed(Event::thaw);
    send_error({Errc::invalid, "protocol.lease", "Thaw names another lease than Freeze did", {}});
}

/// Carried out once nothing else is under way; a Prepare that comes meanwhile ends it early.
void Agent::take_doctor(const serialization::Doctor& doctor) {
    if (state_ != State::idle || doctor_ || examining_) {
        return send_error({Errc::busy,
                           "protocol.order",
                           "not possible now: the session is " + std::string(name_of(state_)),
                           {}});
    }
    doctor_ = doctor;
}

void Agent::run_doctor() {
    const serialization::Doctor asked = *std::exchange(doctor_, std::nullopt);
    examining_ = true;
    parts_.log.hold();
    const serialization::Diagnosis found =
        examine(parts_.freezer, config_, parts_.trust, asked.dry_run, *this);
    parts_.log.release();
    examining_ = false;
    send(found);
}

void Agent::take_finish(const serialization::Finish& finish) {
    if (finish.job_id != prepare_.job_id) {
        return send_error(
            {Errc::invalid, "protocol.job", "Finish names another job than Prepare did", {}});
    }
    if (state_ == State::prepared || state_ == State::thawed) finish_success_ = finish.success;
    feed(Event::finish);
}

void Agent::send(const Message& message) {
    if (session_ == 0) return;
    const Status sent =
        parts_.line.send({session_, ++sent_, serialization::encode_message(message)});
    if (!sent) parts_.log.line(Severity::warning, "answering the host: " + sent.error().text);
}

void Agent::send_error(const Error& error) {
    const bool retriable = error.code == Errc::busy || error.code == Errc::timeout;
    const std::string remedy = error.remedy.empty() ? "" : "; " + error.remedy;
    send(Failure{error.id, retriable, error.text + remedy});
}

}  // namespace stillpoint::linux_guest
