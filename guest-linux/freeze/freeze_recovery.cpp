#include "freeze/freeze_recovery.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "freeze/freeze_engine.hpp"
#include "freeze/freezer.hpp"
#include "freeze/open_target.hpp"
#include "os/process.hpp"

namespace stillpoint::linux_guest {
namespace {

using os::boottime;
using os::Nanoseconds;

constexpr Nanoseconds thaw_max = std::chrono::seconds{2};  // for one filesystem
constexpr Nanoseconds look_every = std::chrono::milliseconds{10};
constexpr int thaw_tries_max = 40;

DeviceId device_of(const FreezeRow& row) {
    return {row.device_major, row.device_minor};
}

/// In a child: the thaw of a filesystem may wait for the one below.
int serve_thaw(FreezeRow& row, int folder_fd) {
    const Step step = row.step;
    for (int tries = 0; tries < thaw_tries_max; ++tries) {
        const int error = thaw_once(folder_fd);
        if (error == 0 || error == EINVAL) {
            row.thaw_end_ns = boottime().count();
            return try_move(row, step, Step::rescued) ? error : 0;
        }
        ::poll(nullptr, 0, static_cast<int>(look_every.count() / 1'000'000));
    }
    return EAGAIN;
}

class Recovery {
public:
    Recovery(const FreezePlaces& places, FreezeTable& table, os::Waiter& waiter)
        : places_(places), table_(table), waiter_(waiter) {}

    Recovered run() {
        const auto lock = FreezeLock::take(places_, waiter_);
        // Who holds it longer is stuck in the kernel, or another product; rows that are frozen
        // are ours to thaw all the same, rows on their way are not.
        alone_ = lock.has_value();
        if (!alone_) found_.problems.push_back(lock.error().text);
        for (const std::size_t index : owed()) thaw(index);
        if (alone_) ::unlink(places_.state_file().c_str());
        return std::move(found_);
    }

private:
    /// From the base up.
    [[nodiscard]] std::vector<std::size_t> owed() const {
        std::vector<std::size_t> rows;
        for (std::size_t i = 0; i < table_.size(); ++i) {
            const Step step = table_.row(i).step;
            if (step == Step::frozen || (step == Step::entering && alone_)) rows.push_back(i);
        }
        std::ranges::stable_sort(rows, {}, [&](std::size_t i) { return table_.row(i).level; });
        return rows;
    }

    void thaw(std::size_t index) {
        FreezeRow& row = table_.row(index);
        if (!planned_) planned_ = SystemFreezeEngine{{}}.plan();
        if (!*planned_) return problem(row, planned_->error().text);
        const auto& targets = (*planned_)->targets;
        const auto target = std::ranges::find(targets, device_of(row), &Target::device);
        if (target == targets.end()) return problem(row, "it is mounted nowhere");
        const auto opened = open_target(*target);
        if (!opened) return problem(row, opened.error().text);
        const int fd = opened->folder.get();
        const std::array keep{fd};
        auto child = os::fork_child("sp-rescuer", keep, [&] { return serve_thaw(row, fd); });
        if (!child) return problem(row, child.error().text);
        const Nanoseconds until = boottime() + thaw_max;
        while (!settled(row.step) && boottime() < until) {
            waiter_.wait({}, boottime() + look_every);
        }
        if (!settled(row.step)) {
            child->release();  // it goes on
            return problem(row, "its thaw does not return");
        }
        found_.thawed.push_back(target->name);
    }

    void problem(const FreezeRow& row, const std::string& text) {
        found_.problems.push_back("the filesystem on " + device_of(row).text() +
                                  " may be frozen: " + text);
    }

    const FreezePlaces& places_;
    FreezeTable& table_;
    os::Waiter& waiter_;
    std::optional<Result<FreezePlan>> planned_;
    bool alone_ = false;
    Recovered found_;
};

}  // namespace

Recovered recover_frozen(const FreezePlaces& places, os::Waiter& waiter) {
    auto table = FreezeTable::open(places.state_file());
    if (!table && table.error().code == Errc::not_found) return {};
    if (!table) return {{}, {table.error().text}};
    return Recovery{places, *table, waiter}.run();
}

}  // namespace stillpoint::linux_guest
