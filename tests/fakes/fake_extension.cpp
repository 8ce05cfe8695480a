#include "fakes/fake_extension.hpp"

#include <algorithm>

#include "serialization/version.hpp"

namespace stillpoint::fakes {
namespace {

using quiesce::Action;
using quiesce::Event;
using quiesce::State;
using serialization::Evidence;
using serialization::EvidenceKind;
using serialization::Message;

// The guest's clock is another one than the host's.
constexpr std::int64_t guest_clock_offset_ns = 77'000'000'000;
constexpr env::Nanoseconds settle_budget = std::chrono::seconds{10};
constexpr env::Nanoseconds trickle_interval = std::chrono::milliseconds{5};
constexpr env::Nanoseconds forever = std::chrono::hours{24};
constexpr std::size_t log_text_bytes = 1000;
constexpr std::size_t misdeed_text_bytes = 100'000;

/// The event that a request is, for the table of moves.
std::optional<Event> event_of(const Message& request) {
    if (std::holds_alternative<serialization::Prepare>(request)) return Event::prepare;
    if (std::holds_alternative<serialization::Freeze>(request)) return Event::freeze;
    if (std::holds_alternative<serialization::Thaw>(request)) return Event::thaw;
    if (std::holds_alternative<serialization::Finish>(request)) return Event::finish;
    if (std::holds_alternative<serialization::Cancel>(request)) return Event::cancel;
    return std::nullopt;
}

Evidence hook_evidence() {
    Evidence hook;
    hook.kind = EvidenceKind::hook;
    hook.name = "db";
    hook.quiesced = true;
    return hook;
}

}  // namespace

FakeExtension::FakeExtension(const env::Path& socket, ExtensionScript script,
                             const env::Clock& clock)
    : script_(std::move(script)),
      clock_(clock),
      listener_(socket),
      stop_(env::Doorbell::create().value()),
      thread_([this] { run(); }) {}

FakeExtension::~FakeExtension() {
    stop_.ring();
    thread_.join();
}

ExtensionRecord FakeExtension::record() const {
    const std::scoped_lock lock{mutex_};
    return record_;
}

bool FakeExtension::settles() const {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, settle_budget, [&] { return record_.state == State::idle; });
}

template <class F>
void FakeExtension::note(F&& change) {
    const std::scoped_lock lock{mutex_};
    change(record_);
    changed_.notify_all();
}

void FakeExtension::run() {
    while (auto peer = listener_.accept(stop_)) {
        serve(*peer);
        dispatch(nullptr, Event::channel_lost);
    }
}

void FakeExtension::serve(Peer& peer) {
    serialization::FrameReader reader;
    Bytes bytes;
    if (!peer.write(script_.greeting)) return;
    while (true) {
        switch (peer.read(bytes, hold_.value_or(env::Deadline{clock_, forever}))) {
            case Peer::Event::closed:
            case Peer::Event::stopped:
                return;
            case Peer::Event::deadline:
                dispatch(&peer, Event::deadline);
                break;
            case Peer::Event::bytes:
                if (!on_bytes(peer, reader, bytes)) return;
                break;
        }
    }
}

bool FakeExtension::on_bytes(Peer& peer, serialization::FrameReader& reader, ByteView bytes) {
    while (!bytes.empty()) {
        const auto piece = bytes.first(std::min(bytes.size(), reader.room()));
        reader.feed(piece);
        bytes = bytes.subspan(piece.size());
        while (const auto frame = reader.next()) {
            if (!on_frame(peer, *frame)) return false;
        }
    }
    return true;
}

/// @return false: the connection ends
bool FakeExtension::on_frame(Peer& peer, const serialization::Frame& frame) {
    auto message = serialization::decode_message(frame.payload);
    if (!message) return true;
    const bool hello = std::holds_alternative<serialization::Hello>(*message);
    if (hello && frame.session != session_) {
        dispatch(&peer, Event::channel_lost);
        session_ = frame.session;
        sequence_ = 0;
    }
    if (frame.session != session_) return true;
    request_ = std::move(*message);
    note([&](ExtensionRecord& r) { r.received.emplace_back(kind_of(request_)); });
    if (dead_) return true;
    return kind_of(request_) == script_.at ? misbehave(peer) : on_request(peer);
}

bool FakeExtension::on_request(Peer& peer) {
    if (const auto* hello = std::get_if<serialization::Hello>(&request_)) {
        if (serialization::choose_version({}, {hello->version_min, hello->version_max})) {
            return answer(&peer, welcome());
        }
        return answer(&peer,
                      serialization::Failure{"protocol.version", false, "no common version"});
    }
    if (const auto* ping = std::get_if<serialization::Ping>(&request_)) {
        return answer(&peer, serialization::Pong{ping->number, std::string(name_of(state_))});
    }
    const auto event = event_of(request_);
    if (event) return dispatch(&peer, *event);
    return answer(&peer, serialization::Failure{"protocol.unknown", false, "unknown kind"});
}

/// Does what the script says in place of answering. What was asked is done all the same, so that a
/// freeze whose answer never comes is a real one.
bool FakeExtension::misbehave(Peer& peer) {
    const auto event = event_of(request_);
    if (event) dispatch(nullptr, *event);
    if (script_.misdeed == Misdeed::close) return false;
    if (script_.misdeed == Misdeed::silence) return true;
    dead_ = script_.misdeed == Misdeed::death;
    if (dead_) return true;
    const serialization::Log log{"info", std::string(misdeed_text_bytes, 'x')};
    while (send(peer, log)) {
        if (script_.misdeed == Misdeed::endless) continue;
        Bytes ignored;
        const env::SystemClock real;
        const auto heard = peer.read(ignored, {real, trickle_interval});
        if (heard == Peer::Event::closed || heard == Peer::Event::stopped) return false;
    }
    return false;
}

/// One step of the table, and those that follow from its action at once.
bool FakeExtension::dispatch(Peer* peer, Event event) {
    const quiesce::Step step = quiesce::step(state_, event);
    state_ = step.next;
    if (event == Event::deadline && step.action == Action::start_thaw) thawed_.held = false;
    note([&](ExtensionRecord& r) { r.state = state_; });
    return carry_out(peer, step.action);
}

bool FakeExtension::carry_out(Peer* peer, Action action) {
    const auto run_post = [&](bool success) {
        note([&](ExtensionRecord& r) { ++r.posts, r.last_post_success = success; });
        return dispatch(peer, Event::post_done);
    };
    switch (action) {
        case Action::none:
            return true;
        case Action::run_pre:
            prepare_ = std::get<serialization::Prepare>(request_);
            return dispatch(peer, Event::pre_done);
        case Action::send_prepared:
            return answer(peer, prepared());
        case Action::start_freeze:
            begin_freeze();
            return dispatch(peer, Event::froze);
        case Action::send_frozen:
            return answer(peer, frozen());
        case Action::start_thaw:
            end_freeze();
            return dispatch(peer, Event::thaw_done);
        case Action::send_thawed:
            return answer(peer, thawed_);
        case Action::run_post:
            return run_post(std::get<serialization::Finish>(request_).success);
        case Action::run_post_failed:
            return run_post(false);
        case Action::send_finished:
            return answer(peer, finished());
        case Action::send_freeze_failed:
            return answer(peer, serialization::Failure{"freeze.failed", false, "could not freeze"});
        case Action::send_order_error:
            return answer(peer, serialization::Failure{"protocol.order", true, "not possible now"});
    }
    return true;
}

bool FakeExtension::answer(Peer* peer, Message message) {
    if (peer == nullptr) return true;
    std::size_t chatter = 0;
    while (chatter < script_.chatter_bytes) {
        if (!send(*peer, serialization::Log{"info", std::string(log_text_bytes, 'x')}))
            return false;
        chatter += log_text_bytes;
    }
    if (script_.alter) script_.alter(message);
    return send(*peer, message);
}

bool FakeExtension::send(Peer& peer, const Message& message) {
    serialization::Frame frame{session_, ++sequence_, serialization::encode_message(message)};
    if (script_.alter_frame) script_.alter_frame(frame, kind_of(message));
    return peer.write(serialization::encode_frame(frame));
}

serialization::Welcome FakeExtension::welcome() const {
    serialization::Welcome out;
    out.agent_version = "fake";
    out.os = "linux";
    out.os_release = "fake";
    out.hooks_configured = script_.hooks;
    out.journal = "clean";
    for (const std::string& name : script_.filesystems) {
        out.volumes.push_back({name, "ext4", "0:0", true, false, ""});
    }
    return out;
}

serialization::Prepared FakeExtension::prepared() const {
    serialization::Prepared out{prepare_.job_id, {}, script_.freeze_needed};
    if (script_.hooks) out.evidence.push_back(hook_evidence());
    return out;
}

serialization::Frozen FakeExtension::frozen() const {
    return {thawed_.lease_id, thawed_.first_freeze_ns, thawed_.frozen_ns, volumes(1)};
}

serialization::Finished FakeExtension::finished() const {
    serialization::Finished out{prepare_.job_id, {}};
    if (script_.hooks) out.evidence.push_back(hook_evidence());
    return out;
}

std::vector<Evidence> FakeExtension::volumes(std::int64_t duration_ns) const {
    std::vector<Evidence> out;
    for (const std::string& name : script_.filesystems) {
        Evidence volume;
        volume.kind = EvidenceKind::filesystem;
        volume.name = name;
        volume.type = "ext4";
        volume.quiesced = true;
        volume.duration_ns = duration_ns;
        out.push_back(std::move(volume));
    }
    return out;
}

void FakeExtension::begin_freeze() {
    const auto& request = std::get<serialization::Freeze>(request_);
    hold_.emplace(clock_, env::Nanoseconds{request.hold_budget_ns});
    thawed_ = {};
    thawed_.lease_id = request.lease_id;
    thawed_.held = true;
    thawed_.first_freeze_ns = now_ns();
    thawed_.frozen_ns = now_ns();
    note([](ExtensionRecord& r) { ++r.freezes; });
}

void FakeExtension::end_freeze() {
    hold_.reset();
    thawed_.thaw_ns = now_ns();
    thawed_.thawed_ns = now_ns();
    thawed_.evidence = volumes(thawed_.thawed_ns - thawed_.first_freeze_ns);
    note([](ExtensionRecord& r) { ++r.thaws; });
}

std::int64_t FakeExtension::now_ns() const {
    return clock_.monotonic().count() + guest_clock_offset_ns;
}

}  // namespace stillpoint::fakes
