#include <doctest/doctest.h>

#include <algorithm>

#include "fakes/backup_world.hpp"
#include "fakes/fake_extension.hpp"
#include "support/instrumented.hpp"

/// A backup of a VM whose guest lies, stalls or floods: it costs the level and nothing else.
using namespace stillpoint;
using namespace stillpoint::fakes;
using namespace std::chrono_literals;

TEST_CASE("route/backup: whatever the guest does, there is a point with the level it has earned") {
    for (const HostileCase& hostile : hostile_cases()) {
        CAPTURE(hostile.script.name);
        World world{-1};
        const env::Path socket = world.folder->path() / "port";
        const FakeExtension extension{socket, hostile.script, world.clock};
        // Whoever floods us is to meet the bound on bytes, however slow the machine is.
        world.options.still_point.greet_budget = hostile.times_out ? 1200ms * test::slowness : 60s;
        if (hostile.times_out) {
            world.options.still_point.hooks_budget = 100ms * test::slowness;
            world.options.still_point.freeze_budget = 100ms * test::slowness;
            world.options.still_point.answer_margin = 100ms * test::slowness;
        }
        world.connect_guest = [&](const env::Path&, const std::string& uuid,
                                  const env::Deadline& deadline, const env::CancelToken& cancel) {
            return guest::connect_guest(socket, uuid, deadline, cancel, world.clock);
        };
        const auto report = world.back_up();
        REQUIRE(report);
        CHECK(report->level == hostile.level);
        CHECK(world.vault.held.size() == 1);
        if (!hostile.reason.empty()) {
            CHECK(std::any_of(report->warnings.begin(), report->warnings.end(),
                              [&](const auto& warning) { return warning.code == hostile.reason; }));
        }
        CHECK(extension.settles());
        const ExtensionRecord record = extension.record();
        CHECK(record.freezes == record.thaws);
    }
}
