#pragma once
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/bytes.hpp"
#include "serialization/value.hpp"

/// The bytes of QMP, without a socket: pure, bounded, fuzzed.
/// @source QEMU docs/interop/qmp-spec.txt sections 2.2-2.5
namespace stillpoint::hypervisor::qmp {

// query-named-block-nodes of a machine with hundreds of images is a few MiB.
inline constexpr std::size_t message_bytes_max = 16u << 20;
// query-block nests one level per backing image; QEMU users keep chains of 100 and more.
inline constexpr int message_depth_max = 512;

struct Version {
    std::int64_t major = 0;
    std::int64_t minor = 0;
    std::int64_t micro = 0;
    friend auto operator<=>(const Version&, const Version&) = default;
};

struct Greeting {
    Version version;
};
struct Reply {
    std::int64_t id = 0;
    serialization::Value value;
};
/// QEMU's "error" message. Without an id it answers text that QEMU could not even parse.
struct Refusal {
    std::optional<std::int64_t> id;
    std::string error_class;  // GenericError, CommandNotFound, DeviceNotFound, …
    std::string description;
};
struct Event {
    std::string name;
    serialization::Value data;  // null when the event has none
};
using Message = std::variant<Greeting, Reply, Refusal, Event>;

/// @param text exactly one JSON object
/// @errors corrupt, id "qmp.malformed": not JSON, over a limit, or none of the four kinds
[[nodiscard]] Result<Message> parse_message(std::string_view text);

/// Cuts a byte stream into JSON objects by counting braces outside strings, so that monitors in
/// pretty mode (objects over several lines) work too.
/// After an error the stream is lost: every later call fails likewise.
/// @threads one at a time
class MessageSplitter {
public:
    explicit MessageSplitter(std::size_t bytes_max = message_bytes_max) : bytes_max_(bytes_max) {}
    void feed(ByteView bytes) { buffer_ += as_text(bytes); }
    /// @return the next whole object; nullopt: more bytes are needed
    /// @errors corrupt, id "qmp.malformed": bytes between objects, or an object over the limit
    Result<std::optional<std::string>> next();

private:
    enum class Step { more, complete, garbage };
    Step step(char c);

    std::string buffer_;
    std::size_t scanned_ = 0;
    std::size_t depth_ = 0;
    bool in_string_ = false;
    bool escaped_ = false;
    bool broken_ = false;
    std::size_t bytes_max_;
};

}  // namespace stillpoint::hypervisor::qmp
