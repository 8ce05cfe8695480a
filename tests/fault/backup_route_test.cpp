#include <doctest/doctest.h>

#include <condition_variable>

#include "fakes/backup_world.hpp"
#include "route/backup_session.hpp"

/// The spine of a backup with every step failing in turn: what must hold whatever happens.
using namespace stillpoint;
using namespace stillpoint::fakes;

namespace {

void check_order(const Journal& journal) {
    // I1: nothing is published before it is durable; the stale-read guard comes before both.
    if (journal.called("run.publish")) {
        CHECK(journal.at("run.flush") < journal.at("run.publish"));
        CHECK(journal.called("snapshot.prove_alive"));
        CHECK(journal.at("snapshot.prove_alive") < journal.at("run.flush"));
        // I6: while the store takes its time, the guest's writes cost nothing any more.
        CHECK(journal.at("snapshot.prove_alive") < journal.at("snapshot.let_go"));
        CHECK(journal.at("snapshot.let_go") < journal.at("run.flush"));
        // Until then the keeper would drop the bitmaps of a dead owner's point.
        CHECK(journal.called("keeper.publishing"));
        CHECK(journal.at("keeper.publishing") < journal.at("run.publish"));
        CHECK(journal.failed() != "keeper.publishing");
    }
    // I2: the parent bitmap is retired only after the point is durable.
    if (journal.called("snapshot.end(published)")) {
        CHECK(journal.called("run.publish"));
        CHECK(journal.failed() != "run.publish");
    }
    // The keeper watches before anything exists that it would have to end.
    if (journal.called("snapshot.prepare")) {
        CHECK(journal.called("keeper.watch"));
        CHECK(journal.at("keeper.watch") < journal.at("snapshot.prepare"));
    }
}

void check_guest(const Journal& journal) {
    if (!journal.called("guest.freeze")) return;
    // Whatever failed, a guest that was asked to freeze is asked to thaw, before the transfer.
    const bool thawed = journal.called("guest.thaw(taken)") || journal.called("guest.thaw(failed)");
    CHECK(thawed);
    if (journal.called("snapshot.open_exports")) {
        CHECK(journal.at("guest.thaw(taken)") < journal.at("snapshot.open_exports"));
    }
    CHECK((journal.called("guest.finish") || journal.called("guest.cancel")));
}

/// Leaves only once it was told so and heard the heart beat after that.
class LingeringKeeper final : public keeper::KeeperHandle {
public:
    explicit LingeringKeeper(bool& heard) : heard_(heard) {}
    Status watch(const serialization::Value&) override { return {}; }
    Status publishing() override { return {}; }
    Status beat() override {
        const std::scoped_lock lock{mutex_};
        ++beats_;
        beaten_.notify_all();
        return {};
    }
    Status done() override {
        std::unique_lock lock{mutex_};
        const int before = beats_;
        heard_ = beaten_.wait_for(lock, std::chrono::seconds{20}, [&] { return beats_ > before; });
        return {};
    }
    keeper::Farewell hand_over() override { return keeper::Farewell::failed; }
    [[nodiscard]] pid_t pid() const override { return 0; }

private:
    bool& heard_;
    std::mutex mutex_;
    std::condition_variable beaten_;
    int beats_ = 0;
};

}  // namespace

TEST_CASE("route/backup: an undisturbed run publishes a filesystem-consistent point") {
    World world{-1};
    const auto report = world.back_up();
    REQUIRE(report);
    CHECK(report->level == serialization::Level::filesystem);
    CHECK(report->warnings.empty());
    CHECK(world.vault.held.size() == 1);
    CHECK(world.journal.calls().back() == "keeper.done");
    CHECK(std::filesystem::is_empty(world.options.jobs_folder));
}

TEST_CASE("route/backup: with every single step failing in turn, I1, I2 and the guest hold") {
    int faults = 0;
    for (int k = 0;; ++k) {
        World world{k};
        const auto report = world.back_up();
        const Journal& journal = world.journal;
        if (journal.failed().empty()) break;
        ++faults;
        CAPTURE(journal.failed());
        check_order(journal);
        check_guest(journal);
        const bool published = !world.vault.held.empty();
        const bool guest_failed = journal.failed().starts_with("guest.");
        CHECK(report.has_value() == published);
        if (guest_failed) {
            // A guest never fails the backup: it costs the level, and the reason is said.
            REQUIRE(report);
            CHECK_FALSE(report->warnings.empty());
            if (journal.failed() != "guest.finish") {
                CHECK(report->level == serialization::Level::crash);
            }
        }
        if (journal.failed() == "vm.configuration") {
            // Nor does what lies beside the disks.
            REQUIRE(report);
            CHECK(report->warnings.size() == 2);
            CHECK(report->configuration.size() == 2);
        }
        if (!published && journal.called("snapshot.prepare")) {
            CHECK(journal.called("snapshot.end(failed)"));
        }
        // Either the owner ended everything, or the keeper was not dismissed.
        if (journal.failed().starts_with("snapshot.end"))
            CHECK_FALSE(journal.called("keeper.done"));
    }
    CHECK(faults > 25);
}

TEST_CASE(
    "route/backup: files of the configuration that are gone are named, and asked for in time") {
    World world{-1};
    world.vm.configured.definition = "<domain>now</domain>";
    world.vm.configured.places = {{.path = world.folder->path() / "gone.fd"},
                                  {.kind = serialization::ConfigurationKind::tpm,
                                   .obstacle = "nobody knows",
                                   .known = hypervisor::ConfigurationPlace::Known::perhaps}};
    const auto report = world.back_up();
    REQUIRE(report);
    REQUIRE(report->configuration.size() == 3);
    CHECK(report->configuration[0].bytes == world.vm.configured.definition.size());
    CHECK_FALSE(report->configuration[1].taken);
    CHECK(report->configuration[1].reason.find("gone.fd") != std::string::npos);
    CHECK(report->configuration[2].reason == "nobody knows");
    REQUIRE(report->warnings.size() == 1);  // of the one that the VM is known to have
    CHECK(report->warnings[0].code == "configuration.not_taken");
    CHECK(world.vault.held.at(0).disks.size() == 2);
    // After the instant and the thaw, before the transfer.
    CHECK(world.journal.at("guest.thaw(taken)") < world.journal.at("vm.configuration"));
    CHECK(world.journal.at("vm.configuration") < world.journal.at("snapshot.open_exports"));
}

TEST_CASE("route/backup: files of the configuration become roots of the point") {
    World world{-1};
    const env::Path file = world.folder->path() / "vars.fd";
    REQUIRE(env::write_durably(file, as_bytes("variables"), 0600, world.folder->path()));
    world.vm.configured.places = {{.path = file}};
    const auto report = world.back_up();
    REQUIRE(report);
    CHECK(report->warnings.empty());
    REQUIRE(world.vault.held.at(0).disks.size() == 3);
    CHECK(world.vault.held[0].disks[2].disk == "@nvram");
    CHECK(report->disks.size() == 2);
}

TEST_CASE("route/backup: no disk may have the name of such a root") {
    World world{-1};
    world.vm.told.disks[0].name = "@nvram";
    CHECK(world.back_up().error().id == "vault.disk_name");
}

TEST_CASE("route/backup: --require refuses before the transfer and keeps nothing") {
    World world{-1};
    world.options.require = serialization::Level::application;
    const auto report = world.back_up();
    REQUIRE_FALSE(report);
    CHECK(report.error().id == "backup.level");
    CHECK(report.error().code == Errc::refused);
    CHECK_FALSE(world.journal.called("snapshot.open_exports"));
    CHECK(world.journal.called("snapshot.end(failed)"));
    CHECK(world.vault.held.empty());
}

TEST_CASE("route/backup: below what is required, the guest's word tells whether to try again") {
    World world{-1};
    world.options.require = serialization::Level::application;
    world.connect_guest = [&](const env::Path&, const std::string&, const env::Deadline&,
                              const env::CancelToken&) {
        return std::make_unique<fakes::FakeGuest>(world.journal, world.clock,
                                                  std::vector<std::string>{}, true);
    };
    const auto refused = world.back_up();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().id == "backup.level");
    CHECK(refused.error().code == Errc::busy);
    CHECK(world.vault.held.empty());
    // What is not below is kept at once.
    world.options.require = serialization::Level::filesystem;
    CHECK(world.back_up());
}

TEST_CASE("route/backup: a cancelled backup ends clean and publishes nothing") {
    World world{-1};
    world.cancel.cancel();
    const auto report = world.back_up();
    REQUIRE_FALSE(report);
    CHECK(report.error().code == Errc::cancelled);
    CHECK(world.vault.held.empty());
}

TEST_CASE("route/backup: the heart beats until the keeper has left") {
    World world{-1};
    bool heard = false;
    world.make_keeper = [&] { return std::make_unique<LingeringKeeper>(heard); };
    REQUIRE(world.back_up());
    CHECK(heard);
}

TEST_CASE("route/backup: the guest hears of the durable point once its disks are its own again") {
    for (const bool published : {true, false}) {
        World world{-1};
        world.connect_guest =
            [&](const env::Path&, const std::string&, const env::Deadline&,
                const env::CancelToken&) -> Result<std::unique_ptr<guest::GuestClient>> {
            return std::make_unique<FakeGuest>(
                world.journal, world.clock,
                std::vector<std::string>{std::string{guest::completes_feature}});
        };
        if (!published) world.options.require = serialization::Level::application;
        CHECK(world.back_up().has_value() == published);
        const std::string ended = published ? "snapshot.end(published)" : "snapshot.end(failed)";
        const std::string told = published ? "guest.complete(success)" : "guest.complete(failure)";
        REQUIRE(world.journal.called(told));
        CHECK(world.journal.at(ended) < world.journal.at(told));
    }
}

TEST_CASE("route/backup: a second backup of the same VM is refused while one runs") {
    World world{-1};
    const auto lock = route::lock_vm(world.options.run_folder, running_vm());
    REQUIRE(lock);
    const auto report = world.back_up();
    REQUIRE_FALSE(report);
    CHECK(report.error().id == "backup.running");
}
