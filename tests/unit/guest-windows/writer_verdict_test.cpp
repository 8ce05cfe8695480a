#include "vss/writer_verdict.hpp"

#include <doctest/doctest.h>

#include <array>

#include "support/golden.hpp"
#include "vss/component_plan.hpp"

namespace stillpoint::test {
namespace {

using namespace windows_guest;

constexpr std::array phases{StatusPhase::prepared, StatusPhase::snapshot, StatusPhase::completed};
constexpr std::array<Hresult, 13> failures{vss::ok,
                                           vss::inconsistent_snapshot,
                                           vss::out_of_resources,
                                           vss::writer_timeout,
                                           vss::writer_retryable,
                                           vss::writer_nonretryable,
                                           vss::writer_recovery_failed,
                                           vss::partial_failure,
                                           vss::writer_status_not_available,
                                           vss::writer_not_responding,
                                           vss::async_pending,
                                           vss::access_denied,
                                           0x8000ffff};

std::string table() {
    std::string text = "phase\tstate\tfailure\tverdict\n";
    for (const StatusPhase phase : phases) {
        for (std::uint32_t number = 0; number <= writer_state_count; ++number) {
            const auto state = static_cast<WriterState>(number);
            for (const Hresult failure : failures) {
                text += std::string(name_of(phase)) + "\t" + name_of(state) + "\t" +
                        code_text(failure) + "\t" +
                        std::string(name_of(judge_writer(phase, state, failure))) + "\n";
            }
        }
    }
    return text;
}

WriterStatus sql(WriterState state, Hresult failure) {
    return {"SqlServerWriter", "{a65faa63-5ea8-4ebc-9dbd-a0c4db26912a}", "{…}", state, failure};
}

}  // namespace

TEST_CASE("windows/writers: every state, failure and phase has the verdict that was agreed on") {
    CHECK(matches_golden("vss-verdicts.txt", table()));
}

TEST_CASE("windows/writers: a failure code is never quiesced while it can matter") {
    for (const StatusPhase phase : {StatusPhase::prepared, StatusPhase::snapshot}) {
        for (std::uint32_t number = 0; number <= writer_state_count; ++number) {
            const auto state = static_cast<WriterState>(number);
            for (const Hresult failure : failures) {
                const bool afterwards = state == WriterState::failed_at_backup_complete ||
                                        state == WriterState::failed_at_backup_shutdown;
                const bool quiesced = is_quiesced(judge_writer(phase, state, failure));
                CHECK_FALSE((quiesced && failure != vss::ok && !afterwards));
            }
        }
    }
}

TEST_CASE("windows/writers: the evidence names the writer, its state, its code and its service") {
    const auto evidence =
        evidence_of(StatusPhase::snapshot, sql(WriterState::failed_at_freeze, vss::writer_timeout));
    CHECK(evidence.kind == serialization::EvidenceKind::writer);
    CHECK(evidence.name == "SqlServerWriter");
    CHECK_FALSE(evidence.quiesced);
    CHECK(evidence.note ==
          "FAILED_AT_FREEZE, VSS_E_WRITERERROR_TIMEOUT 0x800423f2; try again in 10 minutes; "
          "restart the Windows service SQLWriter");
    CHECK(evidence_of(StatusPhase::snapshot, sql(WriterState::stable, vss::ok)).quiesced);
}

TEST_CASE("windows/components: who stands below another component is not named by itself") {
    const std::vector<WriterComponent> all{{1, "", "server"},
                                           {1, "server", "a"},
                                           {1, "server\\deep", "b"},
                                           {1, "serverless", "c"},
                                           {1, "", "d"}};
    CHECK(plan_components(all) == std::vector<std::size_t>{0, 3, 4});
}

TEST_CASE("windows/components: what cannot be selected stands for nothing below it") {
    // The example of Microsoft's page: without ConfigFiles named, the writer would not back it up.
    const std::vector<WriterComponent> all{{2, "", "Executables", false},
                                           {2, "Executables", "ConfigFiles", false},
                                           {2, "Executables", "Plugins", true},
                                           {2, "Executables\\Plugins", "Cache", false},
                                           {2, "", "Set1", true},
                                           {2, "Set1", "Jan", false},
                                           {2, "Set1\\Jan", "Old", true}};
    CHECK(plan_components(all) == std::vector<std::size_t>{0, 1, 2, 4});
}

TEST_CASE("windows/components: a writer is chosen by its name or class, in any case") {
    const WriterChoice without{{}, {"sqlserverwriter", "{A65FAA63}"}};
    CHECK(without.leaves_out("SqlServerWriter", "{0}"));
    CHECK(without.leaves_out("x", "{a65faa63}"));
    CHECK_FALSE(without.leaves_out("SqlServer", "{a65faa6}"));
    const WriterChoice only{{"SqlServerWriter", "System Writer"}, {"system writer"}};
    CHECK_FALSE(only.leaves_out("sqlserverwriter", "{0}"));
    CHECK(only.leaves_out("System Writer", "{0}"));
    CHECK(only.leaves_out("Registry Writer", "{0}"));
    CHECK(is_class_id("{a65faa63-5ea8-4ebc-9dbd-a0c4db26912A}"));
    for (const char* text : {"{a65faa63}", "a65faa63-5ea8-4ebc-9dbd-a0c4db26912a",
                             "{g65faa63-5ea8-4ebc-9dbd-a0c4db26912a}", ""}) {
        CHECK_FALSE(is_class_id(text));
    }
}

}  // namespace stillpoint::test
