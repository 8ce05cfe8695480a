#include <algorithm>
#include <utility>

#include "serialization/version.hpp"
#include "service/agent.hpp"

/// What the agent hears and says.
namespace stillpoint::windows_guest {

using quiesce::Event;
using quiesce::State;
using serialization::Message;

void Agent::take_frame(const serialization::Frame& frame) {
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
    if (new_session_ && new_session_->id == session) return;
    new_session_ = NewSession{session, hello};
    feed(Event::channel_lost);  // whatever the earlier host held still goes on
    if (state_ == State::idle && recovered_) adopt_hello();
}

void Agent::adopt_hello() {
    if (!new_session_) return;
    const NewSession adopted = *std::exchange(new_session_, std::nullopt);
    session_ = adopted.id;
    sent_ = 0;
    received_ = 0;
    host_completes_ = std::ranges::count(adopted.hello.features, "complete") > 0;
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
    welcome.os = "windows";
    welcome.os_release = parts_.os_release;
    welcome.features = {"complete"};
    welcome.hooks_configured = true;  // VSS's writers are there without being configured
    welcome.journal = journal_;
    welcome.changes = parts_.changes();
    for (const GuestVolume& volume : parts_.volumes()) {
        welcome.volumes.push_back(
            {volume.name, volume.type, volume.guid, volume.note.empty(), false, volume.note});
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
    if (const auto* freeze = std::get_if<serialization::Freeze>(&message)) {
        if (state_ == State::prepared) freeze_ = *freeze;
        return feed(Event::freeze);
    }
    if (const auto* thaw = std::get_if<serialization::Thaw>(&message)) return take_thaw(*thaw);
    if (const auto* finish = std::get_if<serialization::Finish>(&message)) {
        return take_finish(*finish);
    }
    if (const auto* complete = std::get_if<serialization::Complete>(&message)) {
        return take_complete(*complete);
    }
    if (std::holds_alternative<serialization::Cancel>(message)) return feed(Event::cancel);
    if (std::holds_alternative<serialization::Doctor>(message)) return take_doctor();
    send_error({Errc::unsupported,
                "protocol.unknown",
                "not a request: " + std::string(kind_of(message)),
                {}});
}

void Agent::take_thaw(const serialization::Thaw& thaw) {
    if (thaw.lease_id == freeze_.lease_id) return feed(Event::thaw);
    send_error({Errc::invalid, "protocol.lease", "Thaw names another lease than Freeze did", {}});
}

void Agent::take_finish(const serialization::Finish& finish) {
    if (finish.job_id != prepare_.job_id) {
        return send_error(
            {Errc::invalid, "protocol.job", "Finish names another job than Prepare did", {}});
    }
    if (state_ == State::prepared || state_ == State::thawed) finish_success_ = finish.success;
    feed(Event::finish);
}

/// The second phase of the end, in idle: perhaps hours later, and by another connection.
void Agent::take_complete(const serialization::Complete& complete) {
    if (state_ != State::idle) return carry_out(quiesce::Action::send_order_error);
    if (complete.job_id != open_job_ || open_job_.empty()) {
        return send_error({Errc::invalid, "protocol.job", "no backup of that job is open", {}});
    }
    end_open(complete.success ? VssBackup::Outcome::success : VssBackup::Outcome::failure,
             Answer::completed);
}

/// Writers may take a minute to say how they are: the worker asks them, pings are answered
/// meanwhile, and a backup that begins ends it.
void Agent::take_doctor() {
    if (state_ != State::idle) return carry_out(quiesce::Action::send_order_error);
    const bool under_way = std::exchange(examined_for_, session_) != 0;
    if (under_way) return;  // for a host that is gone, or asked twice: answered once
    examine_until_ = os::now() + rules_.examine_within;
    parts_.worker.examine();
}

void Agent::take_report(serialization::Diagnosis& report) {
    examine_until_ = os::nanoseconds::max();
    const auto asked = std::exchange(examined_for_, 0);
    if (asked == session_) send(report);
}

void Agent::send(const Message& message) {
    if (session_ == 0) return;
    const std::uint32_t failed = parts_.line.send(
        serialization::encode_frame({session_, ++sent_, serialization::encode_message(message)}));
    if (failed == 0) return;
    parts_.log.line(Severity::warning, "answering the host: " + parts_.line.text_of(failed));
}

void Agent::send_error(const Error& error) {
    const bool retriable = error.code == Errc::busy || error.code == Errc::timeout;
    const std::string remedy = error.remedy.empty() ? "" : "; " + error.remedy;
    send(serialization::Failure{error.id, retriable, error.text + remedy});
}

}  // namespace stillpoint::windows_guest
