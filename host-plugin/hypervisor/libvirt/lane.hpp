#pragma once
#include <algorithm>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/result.hpp"
#include "env/clock.hpp"
#include "env/queue.hpp"

namespace stillpoint::hypervisor::libvirt {

/// What is left of a deadline in a form that the standard library can add to now.
[[nodiscard]] inline env::Nanoseconds wait_time(const env::Deadline& deadline) {
    return std::min<env::Nanoseconds>(deadline.left(), std::chrono::hours{24});
}

/// The answer of a call that runs on a Lane; copies share it.
/// @threads any
template <class T>
class Pending {
public:
    /// @errors the call's own; timeout, id "libvirt.timeout": no answer yet (it may come later)
    [[nodiscard]] Result<T> wait(const env::Deadline& deadline) const {
        std::unique_lock lock{cell_->mutex};
        if (!cell_->answered.wait_for(lock, wait_time(deadline),
                                      [&] { return cell_->answer.has_value(); })) {
            return fail(Errc::timeout, "libvirt.timeout", cell_->doing + ": no answer in time",
                        "see whether libvirtd and the VM's QEMU still answer (virsh domstate)");
        }
        return *cell_->answer;
    }
    void set(Result<T> answer) const {
        const std::scoped_lock lock{cell_->mutex};
        cell_->answer = std::move(answer);
        cell_->answered.notify_all();
    }
    explicit Pending(const std::string& doing) : cell_(std::make_shared<Cell>()) {
        cell_->doing = doing;
    }

private:
    struct Cell {
        std::mutex mutex;
        std::condition_variable answered;
        std::optional<Result<T>> answer;
        std::string doing;
    };
    std::shared_ptr<Cell> cell_;
};

/// One thread that makes libvirt calls in the order given, so that each wait for one has a
/// deadline: libvirt's own calls block as long as the daemon or QEMU does (I9). A call captures by
/// value what it needs, because it may end after its caller gave up.
/// @threads any
class Lane {
public:
    Lane();
    Lane(const Lane&) = delete;
    Lane& operator=(const Lane&) = delete;
    /// Lets the calls given so far end; a thread still stuck in libvirt after `close_max` is left
    /// to end with the process: nothing in libvirt can interrupt it.
    ~Lane();

    /// @param doing verb and object for the timeout's text
    template <class T>
    Pending<T> start(std::string doing, std::function<Result<T>()> call) {
        Pending<T> pending{std::move(doing)};
        if (!state_->calls.push([pending, call = std::move(call)] { pending.set(call()); })) {
            pending.set(fail(Errc::io, "libvirt.closed", "the libvirt connection was closed"));
        }
        return pending;
    }
    template <class T>
    Result<T> run(const env::Deadline& deadline, std::string doing,
                  std::function<Result<T>()> call) {
        return start<T>(std::move(doing), std::move(call)).wait(deadline);
    }
    static constexpr std::chrono::seconds close_max{5};

private:
    static constexpr std::size_t calls_max = 256;  // callers wait for answers, so a few at a time
    struct State {
        env::BoundedQueue<std::function<void()>> calls{calls_max};
        std::mutex mutex;
        std::condition_variable ended;
        bool has_ended = false;
    };
    std::shared_ptr<State> state_;
    std::thread thread_;
};

}  // namespace stillpoint::hypervisor::libvirt
