#include "sim/stage.hpp"

namespace stillpoint::sim {
namespace {

constexpr std::size_t trace_lines_most = 400;
constexpr env::Nanoseconds call_takes = std::chrono::milliseconds{1};
constexpr env::Nanoseconds nap = std::chrono::hours{2};
constexpr env::Nanoseconds hang = std::chrono::seconds{8};

}  // namespace

void Trace::add(std::string line) {
    const std::scoped_lock lock{mutex_};
    for (const char c : line) {
        digest_ = (digest_ ^ static_cast<unsigned char>(c)) * 1099511628211ull;
    }
    lines_.push_back(std::move(line));
    if (lines_.size() > trace_lines_most) lines_.pop_front();
}

std::string Trace::text() const {
    const std::scoped_lock lock{mutex_};
    std::string all;
    for (const std::string& line : lines_) all += "  " + line + "\n";
    return all;
}

std::uint64_t Trace::digest() const {
    const std::scoped_lock lock{mutex_};
    return digest_;
}

const char* name_of(Incident incident) {
    switch (incident) {
        case Incident::none:
            return "none";
        case Incident::call_fails:
            return "call fails";
        case Incident::answer_lost:
            return "answer lost";
        case Incident::cancelled:
            return "cancelled";
        case Incident::owner_dies:
            return "owner dies";
        case Incident::qemu_killed:
            return "QEMU killed";
        case Incident::host_power_lost:
            return "host power lost";
        case Incident::shut_down:
            return "VM shut down";
        case Incident::job_ended:
            return "job ended by somebody";
        case Incident::scratch_full:
            return "scratch full";
        case Incident::extension_dies:
            return "extension dies";
        case Incident::time_jumps:
            return "time jumps";
        case Incident::slow_host:
            return "slow host";
    }
    return "?";
}

void Stage::owner_dies() {
    dead = true;
    quiet_ = true;
}

void Stage::broken_rule(const std::string& text) {
    trace.add("BROKEN RULE: " + text);
    broken_rules.push_back(text);
}

void Stage::pass(env::Nanoseconds time) {
    clock.pass(time);
    machine.guest.look_at(clock.monotonic());
}

Stage::Verdict Stage::enter(const std::string& seam) {
    if (dead) return Verdict::fails;
    if (quiet_) return Verdict::done;
    pass(call_takes);
    machine.some_io(dice_, plan.busy_guest);
    const std::uint64_t number = calls_++;
    if (plan.incident == Incident::none || number != plan.at_call) return Verdict::done;
    trace.add(std::string("incident at ") + seam + ": " + name_of(plan.incident));
    disturb();
    return strike();
}

Stage::Verdict Stage::strike() {
    const Incident what = plan.incident;
    if (what == Incident::call_fails || what == Incident::answer_lost) {
        quiet();
        return what == Incident::call_fails ? Verdict::fails : Verdict::answer_lost;
    }
    if (what == Incident::owner_dies) {
        owner_dies();
        return dice_.one_in(2) ? Verdict::fails : Verdict::answer_lost;
    }
    if (what == Incident::host_power_lost) {
        owner_dies();
        machine.power_loss(dice_);
        return Verdict::fails;
    }
    strike_machine();
    return Verdict::done;
}

/// What leaves the call itself as it is.
void Stage::strike_machine() {
    const Incident what = plan.incident;
    const bool ends = what == Incident::qemu_killed || what == Incident::shut_down;
    if (ends || what == Incident::cancelled) quiet();
    if (what == Incident::cancelled) cancel.cancel();
    if (what == Incident::qemu_killed) machine.kill_qemu();
    if (what == Incident::shut_down) machine.shut_down();
    if (what == Incident::job_ended && machine.session) {
        machine.session->keeps_old_data = false;
    }
    if (what == Incident::scratch_full && machine.session) {
        machine.session->scratch_cells_left = 0;
    }
    if (what == Incident::extension_dies) machine.guest.die();
    if (what == Incident::time_jumps) pass(nap);
    if (what == Incident::slow_host) pass(hang);
}

}  // namespace stillpoint::sim
