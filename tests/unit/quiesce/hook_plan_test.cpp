#include "quiesce/hook_plan.hpp"

#include <doctest/doctest.h>

#include <array>

using namespace stillpoint::quiesce;

TEST_CASE("quiesce/hooks: what follows a pre") {
    using R = PreResult;
    for (const auto on : {OnFailure::fail, OnFailure::fallback, OnFailure::carry_on}) {
        CHECK(after_pre({on}, R::succeeded) == AfterPre::go_on);
        CHECK(after_pre({on}, R::cut) == AfterPre::undo_all);
        const auto failed = on == OnFailure::carry_on ? AfterPre::undo_this : AfterPre::undo_all;
        CHECK(after_pre({on}, R::failed) == failed);
        CHECK(after_pre({on}, R::not_started) == failed);
    }
}

TEST_CASE("quiesce/hooks: how each hook is ended") {
    struct Row {
        PreResult result;
        Ending ending;
        EndWith both, post_only, abort_only;
    };
    using E = EndWith;
    const std::array rows{
        Row{PreResult::succeeded, Ending::success, E::post, E::post, E::nothing},
        Row{PreResult::succeeded, Ending::failure, E::post, E::post, E::nothing},
        Row{PreResult::succeeded, Ending::aborted, E::abort, E::post_told_aborted, E::abort},
        Row{PreResult::failed, Ending::success, E::abort, E::post_told_aborted, E::abort},
        Row{PreResult::cut, Ending::failure, E::abort, E::post_told_aborted, E::abort},
        Row{PreResult::not_started, Ending::aborted, E::nothing, E::nothing, E::nothing}};
    for (const Row& row : rows) {
        CHECK(end_with({.has_post = true, .has_abort = true}, row.result, row.ending) == row.both);
        CHECK(end_with({.has_post = true}, row.result, row.ending) == row.post_only);
        CHECK(end_with({.has_abort = true}, row.result, row.ending) == row.abort_only);
        CHECK(end_with({}, row.result, row.ending) == E::nothing);
    }
}

TEST_CASE("quiesce/hooks: a freeze is needed unless every hook stands for itself") {
    const HookFate alone{{.freeze_needed = false}, PreResult::succeeded};
    const HookFate failed{{.freeze_needed = false}, PreResult::failed};
    const HookFate needing{{}, PreResult::succeeded};
    CHECK(freeze_needed({}));
    CHECK(!freeze_needed(std::array{alone}));
    CHECK(!freeze_needed(std::array{alone, alone}));
    CHECK(freeze_needed(std::array{alone, failed}));
    CHECK(freeze_needed(std::array{alone, needing}));
}
