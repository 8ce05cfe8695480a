#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

/// What the double is told to play, and what it was asked. A script is a text:
///
///     writer "SqlServerWriter" DoSnapshotSet=9,0x800423f4     a writer; its status after a call
///     call DoSnapshotSet async=0x80042314                     how an asynchronous call ends
///     call StartSnapshotSet result=0x80042316 times=2         how a call ends, the first times
///     call again result=1 times=1                             the provider is called out of order
///
/// Out of order are: other-set (CommitSnapshots of a set that was never begun), again (twice),
/// unprepared (no BeginPrepareSnapshot), aborted (AbortSnapshots before it).
///
/// Without a script there are three writers and everything succeeds.
namespace stillpoint::vss_double {

struct Status {
    unsigned state = 0;
    std::uint32_t failure = 0;
};
struct Writer {
    std::string name;
    std::map<std::string, Status> after;  // by the call
};
struct Call {
    std::uint32_t result = 0;
    std::uint32_t async = 0;
    int times = 1'000'000;  // how often it is played
};

/// @threads any
class Script {
public:
    /// From $VSS_DOUBLE/script.txt; the answer to `note` goes to $VSS_DOUBLE/log.txt. Without the
    /// variable the folder is C:\vss-double: a service has no environment of the test's.
    Script();
    [[nodiscard]] const std::vector<Writer>& writers() const { return writers_; }
    /// How this call ends; counts it.
    Call play(const std::string& call);
    void note(const std::string& line);

private:
    void read(const std::string& path);
    std::mutex lock_;
    std::string folder_;
    std::vector<Writer> writers_;
    std::map<std::string, Call> calls_;
};

}  // namespace stillpoint::vss_double
