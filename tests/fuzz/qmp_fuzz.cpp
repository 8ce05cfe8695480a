// A monitor's bytes: cut into messages the same way however they arrive, and what QEMU says of its
// disks is read or refused, never believed to the point of a crash.
#include "fuzz.hpp"
#include "hypervisor/qmp/facts.hpp"
#include "hypervisor/qmp/message.hpp"

namespace stillpoint::fuzz {
namespace {

using namespace hypervisor::qmp;

constexpr std::size_t small_bytes = 64;  // the splitter's limit is met by short inputs too

struct Cut {
    std::vector<std::string> objects;
    bool broken = false;
    friend bool operator==(const Cut&, const Cut&) = default;
};

void take_all(MessageSplitter& splitter, Cut& cut) {
    while (true) {
        auto object = splitter.next();
        if (!object) {
            cut.broken = true;
            return;
        }
        if (!object->has_value()) return;
        cut.objects.push_back(std::move(**object));
    }
}

Cut cut_in_steps(ByteView input, std::size_t step, std::size_t bytes_max) {
    MessageSplitter splitter{bytes_max};
    Cut cut;
    for (std::size_t at = 0; at < input.size() && !cut.broken; at += step) {
        splitter.feed(input.subspan(at, std::min(step, input.size() - at)));
        take_all(splitter, cut);
    }
    return cut;
}

}  // namespace

void fuzz_one(ByteView input) {
    const Cut whole = cut_in_steps(input, input.size() + 1, message_bytes_max);
    SP_CHECK(cut_in_steps(input, 1, message_bytes_max) == whole);
    SP_CHECK(cut_in_steps(input, 1, small_bytes) ==
             cut_in_steps(input, input.size() + 1, small_bytes));
    std::vector<serialization::Value> answers;
    for (const std::string& object : whole.objects) {
        SP_CHECK(object.front() == '{' && object.back() == '}');
        const auto message = parse_message(object);
        const auto* reply = message ? std::get_if<Reply>(&*message) : nullptr;
        if (reply != nullptr) answers.push_back(reply->value);
    }
    if (answers.size() < 2) return;
    answers.resize(3);
    const auto devices = read_devices({answers[0], answers[1], answers[2]});
    if (!devices) return;
    for (const DeviceFacts& device : *devices)
        SP_CHECK(!device.disk.empty() || device.root.empty());
}

}  // namespace stillpoint::fuzz
