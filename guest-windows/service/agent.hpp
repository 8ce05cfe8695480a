#pragma once
#include <algorithm>
#include <deque>
#include <functional>
#include <optional>

#include "provider/hold_gate.hpp"
#include "quiesce/session.hpp"
#include "service/frozen_frame.hpp"
#include "service/guest_config.hpp"
#include "service/guest_log.hpp"
#include "service/inbox.hpp"

namespace stillpoint::windows_guest {

/// Where frames go. @threads one at a time
class Line {
public:
    virtual ~Line() = default;
    /// Writes one encoded frame; waits a second at most for the host to take it. Takes no memory
    /// and reads no file, also when it fails: what is wrong is told as a number.
    /// @return 0, or the system's code
    virtual std::uint32_t send(ByteView frame) noexcept = 0;
    /// The system's words for such a code.
    [[nodiscard]] virtual std::string text_of(std::uint32_t code) const = 0;
};

struct AgentRules {
    // From DoSnapshotSet until the provider is called: the writers' own limit is 60 seconds.
    os::nanoseconds writers_budget = std::chrono::seconds{60};
    // How long a backup stays open for the host's word that its data is safe.
    os::nanoseconds complete_within = std::chrono::hours{6};
    // The writers' part of an examination; the host waits for two minutes.
    os::nanoseconds examine_within = std::chrono::seconds{60};
};

/// The extension: takes the host's requests, drives one quiesce session by its table of moves, and
/// carries out its actions. VSS's calls last long, so they run on the worker's thread; this one
/// only decides, and answers a ping whatever is under way.
/// @threads one; Parts are used by others as they say
class Agent {
public:
    struct Parts {
        Line& line;
        Inbox& inbox;
        os::Event& wake;  // set by inbox and gate
        HoldGate& gate;
        VssWorker& worker;
        HookWorker& hooks;
        GuestLog& log;
        std::function<std::vector<GuestVolume>()> volumes;
        /// Writes a volume's cached data out; the last rung before nothing.
        std::function<Status(const GuestVolume&)> flush;
        /// What is changed in this system, for people.
        std::function<std::vector<std::string>()> changes;
        std::string os_release;
        /// Reads the configuration; asked before each backup.
        std::function<Result<GuestConfig>()> configure;
    };
    Agent(AgentRules rules, Parts parts) : rules_(std::move(rules)), parts_(std::move(parts)) {}

    /// Serves until StopAsked came and nothing is owed any more.
    void run();

private:
    enum class Answer { none, finished, completed };
    struct Owed {
        Answer answer = Answer::none;
        std::string job_id;
    };
    void feed(quiesce::Event event);
    void carry_out(quiesce::Action action);
    void round();
    void look_at_gate();
    [[nodiscard]] os::nanoseconds session_timer() const;
    [[nodiscard]] os::nanoseconds timer() const {
        return std::min(session_timer(), examine_until_);
    }
    void take_timer();

    void take(InboxItem& item);
    void take_frame(const serialization::Frame& frame);
    void take_message(const serialization::Message& message);
    void take_hello(serialization::SessionId session, const serialization::Hello& hello);
    void adopt_hello();
    void take_thaw(const serialization::Thaw& thaw);
    void take_finish(const serialization::Finish& finish);
    void take_complete(const serialization::Complete& complete);
    void take_report(PrepareReport& report);
    void take_report(SnapshotReport& report);
    void take_report(ConcludeReport& report);
    void take_hooks(HookReport& report);
    void take_pre(HookReport& report);
    void take_report(serialization::Diagnosis& report);
    void take_doctor();
    void send(const serialization::Message& message);
    void send_error(const Error& error);
    serialization::Welcome make_welcome();

    void read_configuration();
    void run_pre();
    void run_post(bool success);
    void start_freeze();
    void refuse_freeze(Error why);
    void send_frozen();
    void start_thaw();
    void finish_thaw();
    void end_backup(bool success);
    void keep_open();
    void end_open(VssBackup::Outcome outcome, Answer answer = Answer::none);
    void conclude(VssBackup::Outcome outcome, Owed owed);
    [[nodiscard]] std::vector<serialization::Evidence> volume_evidence(bool quiesced,
                                                                       os::nanoseconds span) const;

    AgentRules rules_;
    Parts parts_;
    GuestConfig config_;
    quiesce::State state_ = quiesce::State::idle;
    os::nanoseconds entered_{};  // state_ since
    bool stopping_ = false;
    bool recovered_ = false;  // what an earlier life owed to hooks is paid
    std::string journal_ = "clean";

    serialization::SessionId session_ = 0;  // 0: none yet
    std::uint32_t sent_ = 0;                // sequence numbers
    std::uint32_t received_ = 0;
    struct NewSession {
        serialization::SessionId id = 0;
        serialization::Hello hello;
    };
    std::optional<NewSession> new_session_;  // answered once the old session has ended
    bool host_completes_ = false;            // this host will say when the data is safe
    serialization::Welcome welcome_;

    serialization::Prepare prepare_;
    serialization::Freeze freeze_;
    serialization::Prepared prepared_;
    serialization::Frozen frozen_;
    serialization::Thawed thawed_;
    serialization::Finished finished_;
    std::vector<GuestVolume> volumes_;  // of this session
    PrepareReport ready_;
    std::optional<SnapshotReport> snapshot_;
    bool snapshot_running_ = false;
    std::optional<FrozenFrame> frozen_frame_;
    os::nanoseconds hold_{};
    bool thaw_asked_ = false;   // … by the host, while writes were held
    bool hooks_begun_ = false;  // pre hooks of this backup were run
    std::optional<Error> freeze_error_;
    bool finish_success_ = false;
    bool end_success_ = false;     // what run_post was told
    os::nanoseconds pre_until_{};  // of VSS's attempts and the pre hooks together

    serialization::SessionId examined_for_ = 0;  // an examination is under way; 0: none
    os::nanoseconds examine_until_ = os::nanoseconds::max();
    std::string open_job_;  // its VSS backup waits for Complete; empty: none
    os::nanoseconds open_until_{};
    std::deque<Owed> owed_;  // what each conclude under way is answered with, in their order
};

}  // namespace stillpoint::windows_guest
