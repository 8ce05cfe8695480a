#include "support/sample_messages.hpp"

namespace stillpoint::test {

using namespace serialization;

namespace {

std::vector<Evidence> filesystems() {
    return {{EvidenceKind::filesystem, "/", "ext4", true, false, 12'345'678, "", true},
            {EvidenceKind::filesystem, "/boot/efi", "vfat", true, false, 0, "unwritten", false},
            {EvidenceKind::filesystem, "/mnt/données", "xfs", false, true, 0, "excluded", true}};
}

std::vector<Evidence> hooks() {
    return {{EvidenceKind::hook, "50-db", "", true, false, 1'500'000'000, "", true},
            {EvidenceKind::writer, "SqlServerWriter", "", false, false, -1, "timed out", true}};
}

std::vector<Volume> volumes() {
    return {{"/", "ext4", "254:1", true, false, ""},
            {"/boot/efi", "vfat", "254:15", false, true, "cannot be frozen"}};
}

constexpr std::int64_t second = 1'000'000'000;

}  // namespace

std::vector<Message> sample_messages() {
    return {
        Unknown{"Progress"},
        Hello{1, 3, "4dea22b3-1d52-d8f3-2516-782e98ab3fa0", {"heartbeat", "writers"}},
        Prepare{"0192f0c4a7b87d1e8f3a5b6c7d8e9f00", Level::application, BackupType::copy,
                30 * second, 2 * second},
        Freeze{"00112233445566778899aabbccddeeff", 4 * second},
        Thaw{"00112233445566778899aabbccddeeff", true},
        Finish{"0192f0c4a7b87d1e8f3a5b6c7d8e9f00", true},
        Cancel{"the user asked to stop"},
        Ping{4'294'967'295},
        Welcome{2,
                "1.2.3",
                "linux",
                "Debian GNU/Linux 12 (bookworm)",
                {"heartbeat"},
                volumes(),
                true,
                "post hooks owed for job 0192f0c4a7b87d1e8f3a5b6c7d8e9f00",
                {"the service stillpoint-guest"}},
        Prepared{"0192f0c4a7b87d1e8f3a5b6c7d8e9f00", hooks(), false, "hook 50-db: exit code 1"},
        Frozen{"00112233445566778899aabbccddeeff", 5'000'000'001, 5'012'345'679, filesystems()},
        Thawed{"00112233445566778899aabbccddeeff", true, 5'000'000'001, 5'012'345'679,
               5'040'000'000, 5'043'210'987, filesystems()},
        Finished{"0192f0c4a7b87d1e8f3a5b6c7d8e9f00", hooks()},
        Pong{4'294'967'295, "frozen"},
        Log{"warning", "thawing took 250 ms"},
        Failure{"freeze.foreign", true, "/data is frozen by somebody else"},
        Doctor{false},
        Diagnosis{
            1'700'000'000'123'456'789,
            {{"/mnt/données", "xfs", "254:17", 1, true, 3'000'000, 55'000'000, 100'000, "note"}},
            {{"doctor.listener", "warning", "/mnt/données", "scanner decides about opens",
              "exclude it"}}},
        Complete{"0192f0c4a7b87d1e8f3a5b6c7d8e9f00", true},
        Completed{"0192f0c4a7b87d1e8f3a5b6c7d8e9f00", hooks()},
    };
}

}  // namespace stillpoint::test
