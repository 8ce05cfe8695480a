#include <cstdlib>

#include "abi/handlers.hpp"
#include "abi/vm_access.hpp"
#include "guest/guest_client.hpp"
#include "serialization/requests.hpp"

namespace stillpoint::abi {
namespace {

using serialization::from_value;
using serialization::Map;
using serialization::to_value;
using serialization::Value;

constexpr env::Nanoseconds inspect_budget = std::chrono::seconds{15};
/// A dry run of many filesystems, each synced and frozen by itself.
constexpr env::Nanoseconds doctor_budget = std::chrono::minutes{2};
/// More than a round trip under load; less than what misleads who reads logs of both sides.
constexpr std::int64_t skew_ns_max = 5'000'000'000;

Value describe_guest(const hypervisor::VmInfo& vm, const guest::GuestClient& client,
                     env::Nanoseconds round_trip) {
    const serialization::Welcome& welcome = client.welcome();
    return Map{{"vm", vm.name},
               {"uuid", vm.uuid},
               {"extension", true},
               {"agent_version", welcome.agent_version},
               {"protocol_version", std::int64_t{welcome.version}},
               {"os", welcome.os},
               {"os_release", welcome.os_release},
               {"hooks_configured", welcome.hooks_configured},
               {"journal", welcome.journal},
               {"changes", to_value(welcome.changes)},
               {"volumes", to_value(welcome.volumes)},
               {"round_trip_ms", env::to_ms(round_trip)}};
}

struct Connected {
    hypervisor::VmInfo vm;
    std::unique_ptr<guest::GuestClient> client;
};

Result<Connected> connect_to(const serialization::VmAccess& access, const JobContext& context) {
    SP_ASSIGN(const OpenVm machine, open_vm(access, context.clock, context.libvirt_loop));
    SP_ASSIGN(auto vm, machine.vm->inspect({context.clock, inspect_budget}));
    if (vm.guest_channel.empty()) {
        return fail(Errc::not_found, "guest.no_channel",
                    "VM " + vm.name + " has no port org.stillpoint.guest.0",
                    "add a virtio-serial channel of that name to the VM; on plain QEMU name its "
                    "socket with --guest-channel");
    }
    SP_ASSIGN(auto client, guest::connect_guest(vm.guest_channel, vm.uuid,
                                                {context.clock, context.config.greet_budget},
                                                context.cancel, context.clock));
    return Connected{std::move(vm), std::move(client)};
}

/// Only the host can tell whether the two clocks agree.
void judge_clock(serialization::Diagnosis& found, std::int64_t host_ns) {
    const std::int64_t skew = found.realtime_ns - host_ns;
    if (found.realtime_ns <= 0 || (skew < skew_ns_max && skew > -skew_ns_max)) return;
    const std::int64_t seconds = std::abs(skew / 1'000'000'000);
    found.findings.push_back({"doctor.skew", "warning", "",
                              "the guest's clock is " + std::to_string(seconds) + " s " +
                                  (skew > 0 ? "ahead of" : "behind") + " the host's",
                              "let a time service keep it"});
}

}  // namespace

Result<JobResult> handle_guest_status(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request,
              from_value<serialization::GuestStatusRequest>(document, "guest.status"));
    SP_ASSIGN(const Connected guest, connect_to(request.vm, context));
    SP_ASSIGN(const auto round_trip,
              guest.client->ping({context.clock, context.config.greet_budget}));
    return JobResult{exit_done, describe_guest(guest.vm, *guest.client, round_trip)};
}

Result<JobResult> handle_guest_doctor(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request,
              from_value<serialization::GuestDoctorRequest>(document, "guest.doctor"));
    SP_ASSIGN(const Connected guest, connect_to(request.vm, context));
    SP_ASSIGN(auto found, guest.client->doctor({request.dry_run}, {context.clock, doctor_budget}));
    judge_clock(found, context.clock.wall().count());
    const bool repair = needs_repair(found);
    Value answer = to_value(found);
    (*answer.map())["vm"] = guest.vm.name;
    (*answer.map())["ok"] = !repair;
    return JobResult{repair ? exit_warnings : exit_done, std::move(answer)};
}

}  // namespace stillpoint::abi
