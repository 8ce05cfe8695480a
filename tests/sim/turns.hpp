#pragma once
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>

#include "sim/dice.hpp"

namespace stillpoint::sim {

/// Lets one disk's thread go on at a time, in an order from the seed, so that a parallel transfer
/// takes the same course each time. @threads any
class Turns {
public:
    explicit Turns(Dice dice) : dice_(dice) {}
    /// Before the first wait: so many take part.
    void begin(std::size_t disks) { disks_ = disks; }
    /// A connection for this disk's thread; it may have a second one before it gives up the first.
    void join(const std::string& disk) {
        const std::scoped_lock lock{mutex_};
        ++connections_[disk];
    }
    /// Gives the turn up and waits for the next. After join().
    /// @return false: nobody gave it in ten real seconds; the course is no longer the seed's
    bool wait(const std::string& disk) {
        std::unique_lock lock{mutex_};
        states_[disk] = State::waiting;
        grant();
        return changed_.wait_for(lock, patience, [&] { return states_[disk] == State::running; });
    }
    /// Takes a join() back; with the last one the disk takes part no longer.
    void leave(const std::string& disk) {
        const std::scoped_lock lock{mutex_};
        if (--connections_[disk] > 0) return;
        states_[disk] = State::gone;
        grant();
    }

private:
    enum class State { waiting, running, gone };
    static constexpr std::chrono::seconds patience{10};

    void grant() {
        if (states_.size() < disks_) return;  // not all have arrived
        std::vector<State*> waiting;
        for (auto& [disk, state] : states_) {
            if (state == State::running) return;
            if (state == State::waiting) waiting.push_back(&state);
        }
        if (waiting.empty()) return;
        *dice_.pick(waiting) = State::running;
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::size_t disks_ = 0;
    Dice dice_;
    std::map<std::string, State> states_;
    std::map<std::string, unsigned> connections_;
};

}  // namespace stillpoint::sim
