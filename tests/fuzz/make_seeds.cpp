// make_seeds FOLDER: writes the hand-made part of the corpus (frame, message, json, cbor, level).
// Run once when a target is added: ninja tests/fuzz/make_seeds && tests/fuzz/make_seeds
// ../tests/fuzz/corpus
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "fakes/fake_extension.hpp"
#include "serialization/frame.hpp"
#include "support/sample_messages.hpp"

using namespace stillpoint;
using namespace stillpoint::serialization;

namespace {

void write(const std::filesystem::path& path, ByteView bytes) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream file{path, std::ios::binary | std::ios::trunc};
    file << as_text(bytes);
}

void append(Bytes& out, const Message& message) {
    const Bytes frame = encode_frame({1, 1, encode_message(message)});
    out.insert(out.end(), frame.begin(), frame.end());
}

void append_sized(Bytes& out, const Message& message) {
    ByteWriter{out}.sized(encode_message(message));
}

/// A session that proves the application level, as level_fuzz.cpp's host saw it.
Bytes good_session() {
    constexpr std::int64_t ms = 1'000'000;
    Evidence hook{EvidenceKind::hook, "db", "", true, false, ms, "", true};
    Evidence root{EvidenceKind::filesystem, "/", "ext4", true, false, 44 * ms, "", true};
    Evidence efi{EvidenceKind::filesystem, "/efi", "vfat", true, false, 0, "unwritten", false};
    Bytes out;
    append_sized(
        out,
        Welcome{1, "1", "linux", "x", {}, {{"/", "ext4", "8:1", true, false, ""}}, true, "clean"});
    append_sized(out, Prepared{"job", {hook}, true});
    append_sized(out, Frozen{"lease", 7 * ms, 15 * ms, {root, efi}});
    append_sized(out, Thawed{"lease", true, 7 * ms, 15 * ms, 48 * ms, 52 * ms, {root, efi}});
    append_sized(out, Finished{"job", {hook}});
    return out;
}

/// What frozen_frame_fuzz.cpp reads.
Bytes frozen_frame(const Frozen& message) {
    Bytes out;
    ByteWriter{out}.u64(0x0123456789abcdef).u64(1ull << 40).u64(1ull << 41).u32(7);
    ByteWriter{out}.raw(encode_message(message));
    return out;
}

void write_messages(const std::filesystem::path& folder) {
    Bytes stream{std::byte{16}};  // the first byte of frame's input is the size of the pieces
    for (const Message& message : test::sample_messages()) {
        const std::string name{kind_of(message)};
        write(folder / "message" / name, encode_message(message));
        write(folder / "cbor" / name, encode_message(message));
        write(folder / "json" / name, as_bytes(message_to_json(message)));
        append(stream, message);
        if (const auto* frozen = std::get_if<Frozen>(&message)) {
            write(folder / "frozen_frame" / "sample", frozen_frame(*frozen));
            write(folder / "frozen_frame" / "bare", frozen_frame({"", 0, 0, {}}));
        }
    }
    write(folder / "frame" / "all-kinds", stream);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    const std::filesystem::path folder{argv[1]};
    write_messages(folder);
    for (const fakes::HostileCase& item : fakes::hostile_cases()) {
        if (item.script.greeting.empty() || item.script.greeting.size() > 60'000) continue;
        std::string name = item.script.name;
        std::replace(name.begin(), name.end(), ' ', '-');
        write(folder / "frame" / name, item.script.greeting);
    }
    write(folder / "level" / "good", good_session());
    write(folder / "json" / "numbers",
          as_bytes(R"([0,-1,1.5,-0.0,1e300,9223372036854775807,true,null])"));
    write(folder / "json" / "deep", as_bytes(std::string(40, '[')));
    return 0;
}
