#pragma once
#include <functional>
#include <memory>

#include "fakes/route_fakes.hpp"

/// A VM with two disks, a vault and a keeper, all faked; the guest is whatever a test gives.
namespace stillpoint::fakes {

inline hypervisor::VmInfo running_vm() {
    hypervisor::VmInfo vm;
    vm.name = "web1";
    vm.uuid = "11111111-2222-3333-4444-555555555555";
    vm.guest_channel = "/fake/channel";
    for (const char* name : {"vda", "vdb"}) {
        hypervisor::DiskInfo disk;
        disk.name = name;
        disk.path = std::string("/images/") + name;
        disk.format = "qcow2";
        disk.size = ByteCount{1u << 20};
        disk.persistent_bitmaps = true;
        vm.disks.push_back(disk);
    }
    return vm;
}

struct World {
    explicit World(int fail_at)
        : journal(fail_at), vault(journal), vm(journal, clock, running_vm()) {
        options.jobs_folder = folder->path() / "jobs";
        options.run_folder = folder->path() / "run";
    }
    Result<serialization::PointReport> back_up() {
        const route::BackupServices services{
            .clock = clock,
            .vault = vault,
            .vm = vm,
            .reporter = reporter,
            .connect_guest = connect_guest,
            .connect_nbd = [this](const capture::NbdAddress&, const env::CancelToken&)
                -> Result<std::unique_ptr<capture::NbdSource>> {
                SP_TRY(journal.call("nbd.connect"));
                return std::make_unique<FakeSource>(journal, ByteCount{1u << 20});
            },
            .spawn_keeper = [this]() -> Result<std::unique_ptr<keeper::KeeperHandle>> {
                SP_TRY(journal.call("keeper.spawn"));
                return make_keeper();
            }};
        return route::run_backup(services, options, cancel);
    }

    /// A fake guest in the journal, unless a test sets another.
    route::ConnectGuest connect_guest =
        [this](const env::Path&, const std::string&, const env::Deadline&,
               const env::CancelToken&) -> Result<std::unique_ptr<guest::GuestClient>> {
        SP_TRY(journal.call("guest.connect"));
        return std::make_unique<FakeGuest>(journal, clock);
    };
    std::function<std::unique_ptr<keeper::KeeperHandle>()> make_keeper = [this] {
        return std::make_unique<FakeKeeper>(journal);
    };
    Journal journal;
    env::SystemClock clock;
    FakeVault vault;
    FakeVm vm;
    SilentReporter reporter;
    env::CancelToken cancel;
    Result<env::TemporaryFolder> folder = env::TemporaryFolder::create("/tmp", "sp-route-");
    route::BackupOptions options;
};

}  // namespace stillpoint::fakes
