#pragma once
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "env/blocking_calls.hpp"
#include "route/governor.hpp"
#include "route/services.hpp"

namespace stillpoint::route {

/// Looks after the guest while its disks are read (I6): gives the backup up once scratch reaches
/// its limit, the scratch filesystem no longer answers, or the guest's writes take longer than they
/// may however slowly its disks are read.
/// @threads one at a time
class Caretaker {
public:
    /// @param cancel cancelled when the backup must be given up
    /// @param governor knows what the guest's writes took before the snapshot
    static Result<std::unique_ptr<Caretaker>> start(const BackupServices& services,
                                                    hypervisor::Snapshot& snapshot,
                                                    const Governor& governor,
                                                    const env::CancelToken& cancel);
    Caretaker(const Caretaker&) = delete;
    Caretaker& operator=(const Caretaker&) = delete;
    ~Caretaker() = default;
    /// Ends the looking. @return why the backup was given up
    [[nodiscard]] std::optional<Error> end();
    /// For people, after end(): how the guest's writes slowed the reading down; empty: they did
    /// not.
    [[nodiscard]] std::string slowed() const;

    static constexpr std::chrono::milliseconds look_every{250};
    static constexpr unsigned looks_per_question = 4;  // the hypervisor is asked once a second
    static constexpr std::chrono::seconds question_max{20};
    static constexpr std::chrono::seconds answer_max{5};  // of the scratch filesystem

private:
    struct Parts {
        const BackupServices& services;
        hypervisor::Snapshot& snapshot;
        std::unique_ptr<env::BlockingCalls> calls;
    };
    Caretaker(Parts parts, const Governor& governor, const env::CancelToken& cancel);
    void watch(const std::stop_token& stop);
    [[nodiscard]] Status look();
    [[nodiscard]] Status spare_guest();
    void give_up(const Error& why);

    Parts parts_;
    std::function<Status()> room_check_;
    env::CancelToken cancel_;
    Governor governor_;
    unsigned divisor_ = 1;
    std::mutex mutex_;
    std::condition_variable_any wake_;
    std::optional<Error> given_up_;  // written by the thread, read after its end
    std::jthread thread_;            // joined first: uses all above
};

}  // namespace stillpoint::route
