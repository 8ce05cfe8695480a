// What a guest says of itself (messages, each behind its length), to the level: no arithmetic
// overflows, and without a freeze and a thaw under our lease no level above crash comes out.
#include "fuzz.hpp"
#include "guest/clean_text.hpp"
#include "quiesce/level.hpp"

namespace stillpoint::fuzz {
namespace {

using namespace serialization;

quiesce::LevelInput session() {
    quiesce::LevelInput in;
    in.asked = Level::application;
    in.job_id = "job";
    in.lease_id = "lease";
    in.window = quiesce::HostWindow{1'000'000'000,
                                    1'010'000'000,
                                    1'011'000'000,
                                    1'040'000'000,
                                    1'041'000'000,
                                    1'050'000'000,
                                    0};
    return in;
}

template <class T>
void keep(Message& message, std::optional<T>& place) {
    if (auto* item = std::get_if<T>(&message)) place = std::move(*item);
}

}  // namespace

void fuzz_one(ByteView input) {
    quiesce::LevelInput in = session();
    ByteReader reader{input};
    while (const auto payload = reader.sized(limits::frame_bytes_max)) {
        auto message = decode_message(*payload);
        if (!message || !guest::clean_message(*message)) continue;
        keep(*message, in.welcome);
        keep(*message, in.prepared);
        keep(*message, in.frozen);
        keep(*message, in.thawed);
        keep(*message, in.finished);
    }
    const quiesce::LevelResult result = quiesce::compute_level(in);
    if (result.level == Level::filesystem) {
        SP_CHECK(in.frozen && in.thawed && in.thawed->held && in.thawed->lease_id == "lease");
    }
    SP_CHECK(result.level != Level::offline);
    SP_CHECK(result.level != Level::crash || !result.partial);
    (void)quiesce::judge_finish(in.finished, in.job_id);
}

}  // namespace stillpoint::fuzz
