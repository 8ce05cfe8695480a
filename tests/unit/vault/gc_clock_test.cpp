// Hosts whose clocks are far apart: what must not be lost even then.
#include <doctest/doctest.h>

#include "fakes/hook_store.hpp"
#include "support/vault_lab.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::VaultLab;

namespace {

constexpr std::size_t disk_bytes = 10 * VaultLab::chunk_bytes;

void check_clean(VaultLab& lab) {
    const auto found = lab.vault().check(CheckDepth::read_data, {}, {}).value();
    for (const auto& damage : found.damage) FAIL_CHECK(damage.text);
}

/// A backup under way on a host.
struct Backup {
    Backup(VaultLab& on, const VaultLab& here, env::Nanoseconds ahead) : host(on) {
        VaultLab::join_time(host, here);
        host.clock().pass(ahead);
        point = {.id = host.new_id(), .vm_name = "vm", .vm_uuid = "", .disks = {}, .document = {}};
        run = host.vault().begin_run(point.id).value();
    }
    /// Looks every block up, or stores it.
    void write(const Bytes& disk, const DiskRoot* parent = nullptr, const Bytes* before = nullptr) {
        writer = run->open_disk("vda", ByteCount{disk.size()},
                                parent ? std::optional{*parent} : std::nullopt)
                     .value();
        REQUIRE(host.ship(*writer, before, disk));
    }
    Status publish() {
        SP_ASSIGN(const DiskRoot root, writer->finish());
        point.disks.push_back(root);
        SP_TRY(run->flush());
        return run->publish(point);
    }
    VaultLab& host;
    Point point;
    std::unique_ptr<Run> run;
    std::unique_ptr<DiskWriter> writer;
};

}  // namespace

TEST_CASE("vault/gc: a host whose clock is months ahead cannot let a living run lose data") {
    MemoryStore store;
    VaultLab lab{store};
    store.keep_times(lab.clock());  // the store's clock is right
    const Bytes disk = test::random_disk(disk_bytes, 1);
    const auto forgotten = lab.backup({{"vda", disk}}).value();
    REQUIRE(lab.vault().forget(forgotten.id));
    lab.clock().pass(std::chrono::hours{1});
    VaultLab second{store};
    Backup backup{second, lab, {}};
    Bytes next = disk;
    next[5] ^= std::byte{1};
    backup.write(next);  // nearly all of it is in packs that nobody else needs
    VaultLab third{store};
    VaultLab::join_time(third, lab);
    third.clock().pass(std::chrono::hours{24 * 90});
    CHECK(third.vault().collect({}, {}, {}).value().freed_packs > 0);
    // It took the run for dead; what is in the run's way stays there.
    CHECK(backup.publish().error().id == "vault.run_fenced");
    CHECK(lab.vault().points().value().empty());
    check_clean(lab);
}

TEST_CASE("vault/gc: a run whose clock is ahead may have found what was forgotten since") {
    MemoryStore store;
    VaultLab lab{store};
    store.keep_times(lab.clock());
    Bytes disk = test::random_disk(disk_bytes, 1);
    const auto first = lab.backup({{"vda", disk}}).value();
    REQUIRE(lab.vault().forget(first.id));
    lab.clock().pass(std::chrono::hours{1});
    // Its packs are condemned while a run that knows nothing of it builds on them.
    VaultLab second{store};
    Point parent;
    {
        Backup backup{second, lab, {}};
        CHECK(lab.vault().collect({}, {}, {}).value().waiting_bytes > 0);
        backup.write(disk);
        REQUIRE(backup.publish());
        parent = backup.point;
    }
    VaultLab third{store};
    Backup late{third, lab, std::chrono::hours{20}};
    REQUIRE(third.vault().point(parent.id));
    REQUIRE(lab.vault().forget(parent.id));
    lab.reopen();
    REQUIRE(lab.vault().collect({}, {}, {}));
    const Bytes before = disk;
    disk[3] ^= std::byte{1};
    late.write(disk, &parent.disks.at(0), &before);
    REQUIRE(late.publish());
    lab.reopen();
    CHECK(lab.read(late.point.disks.at(0)).value() == disk);
    check_clean(lab);
}
