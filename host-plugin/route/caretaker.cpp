#include "route/caretaker.hpp"

#include "capture/throttle.hpp"

namespace stillpoint::route {
namespace {

std::string in_ms(env::Nanoseconds time) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
    return us < 10'000 ? std::to_string(us) + " us" : std::to_string(us / 1000) + " ms";
}

}  // namespace

Result<std::unique_ptr<Caretaker>> Caretaker::start(const BackupServices& services,
                                                    hypervisor::Snapshot& snapshot,
                                                    const Governor& governor,
                                                    const env::CancelToken& cancel) {
    SP_ASSIGN(auto calls, env::BlockingCalls::create({.threads = 1}, env::CancelToken{}));
    return std::unique_ptr<Caretaker>{new Caretaker{// NOLINT: private
                                                    {services, snapshot, std::move(calls)},
                                                    governor,
                                                    cancel}};
}

Caretaker::Caretaker(Parts parts, const Governor& governor, const env::CancelToken& cancel)
    : parts_(std::move(parts)),
      room_check_(parts_.snapshot.room_check()),
      cancel_(cancel),
      governor_(governor),
      thread_([this](const std::stop_token& stop) { watch(stop); }) {}

Status Caretaker::look() {
    const auto answer = parts_.calls->run<Status>(room_check_, answer_max);
    if (answer) return *answer;
    return fail(Errc::refused, "snapshot.broken", "the scratch filesystem no longer answers",
                "see whether its disk or server is alive, or choose another scratch folder");
}

Status Caretaker::spare_guest() {
    if (!parts_.services.throttle) return {};
    const auto writes = parts_.snapshot.guest_writes({parts_.services.clock, question_max});
    if (!writes) return {};  // nothing is known: the configured limits hold
    const unsigned divisor = governor_.look(*writes);
    if (governor_.gives_up()) {
        return fail(Errc::refused, "guest.writes_suffer",
                    "the guest's writes took more than " + in_ms(governor_.unbearable()) +
                        " on average, although its disks were read as slowly as possible: keeping "
                        "what they overwrite in scratch is too slow",
                    "put scratch on a faster disk, back up when the guest writes less, or allow "
                    "more with <limits write-latency=\"\">");
    }
    if (divisor == divisor_) return {};
    divisor_ = divisor;
    parts_.services.throttle->slow_down(divisor);
    parts_.services.reporter.log(Severity::debug,
                                 "reading at 1/" + std::to_string(divisor) +
                                     " of full speed; the guest's writes may take " +
                                     in_ms(governor_.limit()));
    return {};
}

void Caretaker::watch(const std::stop_token& stop) {
    std::unique_lock lock{mutex_};
    for (unsigned n = 0; !stop.stop_requested(); ++n) {
        if (const Status room = look(); !room) return give_up(room.error());
        if (n % looks_per_question == 0) {
            if (const Status spared = spare_guest(); !spared) return give_up(spared.error());
        }
        wake_.wait_for(lock, stop, look_every, [] { return false; });
    }
}

void Caretaker::give_up(const Error& why) {
    given_up_ = why;
    cancel_.cancel();
}

std::optional<Error> Caretaker::end() {
    thread_ = {};
    if (parts_.services.throttle) parts_.services.throttle->slow_down(1);
    return given_up_;
}

std::string Caretaker::slowed() const {
    if (governor_.slowed() == 0) return {};
    return "read more slowly for " + std::to_string(governor_.slowed()) +
           " s: the guest's writes took more than " + in_ms(governor_.limit()) + " on average";
}

}  // namespace stillpoint::route
